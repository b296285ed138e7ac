//! `banger ext4 stat`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;

use banger_proto::{Bytes, Ext4Attribute, Ext4Entry, Ext4Line};
use serde::Serialize;

use super::image_path::ImagePath;
use super::view::{Json as JsonEntry, escaped, permissions, size, text_and_hex, word};
use super::worker::{Use, Worker, image};
use crate::failure::Outcome;
use crate::terminal::{Terminal, bytes, fields, moment};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A link is shown itself, with where it leads. Access control lists are shown as by getfacl -n.")]
pub(crate) struct Arguments {
    /// File with an ext4 filesystem
    image: PathBuf,
    /// Entry in it
    #[arg(value_parser = ImagePath::parser())]
    path: ImagePath,
    /// As JSON, for scripts
    #[arg(long)]
    json: bool,
}

/// What scripts get; fields are added and never change their meaning.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Ext4Stat"))]
pub(crate) struct Json {
    #[serde(flatten)]
    entry: JsonEntry,
    /// Extended attributes, sorted by name.
    attributes: Vec<JsonAttribute>,
}

/// An extended attribute.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Ext4Attribute"))]
struct JsonAttribute {
    name: String,
    /// The value; bytes that are no UTF-8 replaced. Access control lists as text.
    value: String,
    /// The bytes of a value that is no UTF-8, in hexadecimal digits.
    value_hex: Option<String>,
}

impl From<&Ext4Attribute> for JsonAttribute {
    fn from(attribute: &Ext4Attribute) -> Self {
        let (value, value_hex) = text_and_hex(&attribute.value.0);
        Self { name: text_and_hex(&attribute.name.0).0, value, value_hex }
    }
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let file = image(&self.image, Use::Read)?;
        let request = [OsStr::new("stat"), self.path.as_os_str()];
        let mut worker = Worker::start(terminal, file, &request, Stdio::null())?;
        let (mut found, mut attributes) = (None, Vec::new());
        while let Some(line) = worker.next().await {
            match line {
                Ext4Line::Entry(entry) => found = Some(entry),
                Ext4Line::Attributes { attributes: all } => attributes = all,
                _ => {}
            }
        }
        worker.end().await?;
        let Some(entry) = found else { return Ok(0) };
        if self.json {
            let attributes = attributes.iter().map(JsonAttribute::from).collect();
            terminal.json(&Json { entry: JsonEntry::from(&*entry), attributes })?;
        } else {
            terminal.result(&render(&entry, &attributes))?;
        }
        Ok(0)
    }
}

fn render(entry: &Ext4Entry, attributes: &[Ext4Attribute]) -> String {
    let [accessed, modified, changed] = entry.times.map(moment);
    let target = entry.target.as_ref().map_or_else(String::new, |Bytes(target)| escaped(target));
    let mode = format!("{:04o} {}", entry.mode, permissions(entry.kind, entry.mode));
    let mut rows = vec![
        ("path", escaped(&entry.path.0)),
        ("kind", word(entry.kind).replace('_', " ")),
        ("target", target),
        ("mode", mode),
        ("owner", format!("{}:{}", entry.uid, entry.gid)),
        (if entry.device.is_some() { "device" } else { "size" }, size(entry)),
        ("allocated", bytes(entry.allocated)),
        ("links", entry.links.to_string()),
        ("inode", entry.inode.to_string()),
        ("accessed", accessed),
        ("modified", modified),
        ("changed", changed),
    ];
    for Ext4Attribute { name, value } in attributes {
        rows.push(("attribute", format!("{}={}", escaped(&name.0), escaped(&value.0))));
    }
    fields(&rows)
}
