//! How an image is shown: rows, fields, JSON.

use banger_proto::{Image, Mib};
use serde::Serialize;

use crate::terminal::{age, bytes, fields, moment, table};

/// An image as JSON. Names and units are a promise to scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Image"))]
pub(crate) struct Json<'a> {
    name: &'a str,
    id: &'a str,
    source: &'a str,
    /// Seconds since the epoch.
    created_at: i64,
    rootfs_size_mib: u64,
    /// `null` when the image has no work seed.
    work_seed_size_mib: Option<u64>,
    kernel_release: &'a str,
    has_initrd: bool,
    directory: String,
    allocated_bytes: u64,
    used_by: Vec<&'a str>,
}

impl<'a> From<&'a Image> for Json<'a> {
    fn from(image: &'a Image) -> Self {
        Self {
            name: image.name.as_str(),
            id: &image.id,
            source: &image.source,
            created_at: image.created_at,
            rootfs_size_mib: image.rootfs_size.get(),
            work_seed_size_mib: image.work_seed_size.map(Mib::get),
            kernel_release: &image.kernel_release,
            has_initrd: image.has_initrd,
            directory: image.directory.to_string_lossy().into_owned(),
            allocated_bytes: image.allocated_bytes,
            used_by: image.used_by.iter().map(banger_proto::VmName::as_str).collect(),
        }
    }
}

/// One row an image.
pub(super) fn rows(images: &[Image]) -> String {
    let rows = images
        .iter()
        .map(|image| {
            vec![
                image.name.to_string(),
                image.source.clone(),
                image.kernel_release.clone(),
                image.rootfs_size.to_string(),
                bytes(image.allocated_bytes),
                format!("{} ago", age(image.created_at)),
                image.used_by.len().to_string(),
            ]
        })
        .collect();
    table(&["NAME", "SOURCE", "KERNEL", "SIZE", "ON HOST", "MADE", "VMS"], rows)
}

/// Every field of one image.
pub(super) fn details(image: &Image) -> String {
    let used_by: Vec<_> = image.used_by.iter().map(ToString::to_string).collect();
    let seed =
        image.work_seed_size.map_or_else(|| "none: /root begins empty".into(), |s| s.to_string());
    fields(&[
        ("name", image.name.to_string()),
        ("id", image.id.clone()),
        ("source", image.source.clone()),
        ("created", moment(image.created_at)),
        ("kernel", image.kernel_release.clone()),
        ("initrd", if image.has_initrd { "yes".into() } else { "no".into() }),
        ("rootfs", image.rootfs_size.to_string()),
        ("work seed", seed),
        ("files", image.directory.display().to_string()),
        ("on host", bytes(image.allocated_bytes)),
        ("used by", used_by.join(", ")),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image {
            name: "debian".parse().unwrap(),
            id: "9c0e".into(),
            created_at: 1_795_219_512,
            rootfs_size: Mib::new(4096).unwrap(),
            allocated_bytes: 640 << 20,
            kernel_release: "6.1.0-41-cloud-amd64".into(),
            has_initrd: true,
            work_seed_size: Mib::new(512).ok(),
            source: "debian bookworm".into(),
            directory: "/home/ann/.local/share/banger/images/debian".into(),
            used_by: vec!["web".parse().unwrap(), "db".parse().unwrap()],
        }
    }

    #[test]
    fn an_image_in_full() {
        insta::assert_snapshot!(details(&image()));
    }

    #[test]
    fn json_for_scripts() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&Json::from(&image())).unwrap());
    }

    #[test]
    fn a_row_has_what_people_look_for() {
        let rows = rows(&[image()]);
        assert!(rows.starts_with("NAME     SOURCE"), "{rows}");
        assert!(rows.contains("debian   debian bookworm   6.1.0-41-cloud-amd64   4 GiB"), "{rows}");
    }
}
