//! `banger vm sync`: a folder of the host's in a VM, again and again.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use banger_proto::VmRef;

use super::cp::{Way, told};
use crate::copy::place::{GuestFile, Place};
use crate::failure::{Failure, Outcome};
use crate::sync::{Mirror, Plan};
use crate::terminal::{Counter, Terminal, bytes, copying, during};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
One way, from the host to the guest: what is in DIR is in PATH then. Files whose size, time and
mode are the same on both sides are not sent again; links are kept as links, and what arrives is
root's. What only the guest has stays there unless --delete is given.

The guest needs find, stat, xargs and tar, of busybox or of GNU.")]
pub(crate) struct Arguments {
    /// Folder of the host
    dir: PathBuf,
    /// VM, and the folder there [default: /root/NAME, NAME being that of DIR]
    #[arg(value_name = "VM[:PATH]")]
    target: OsString,
    /// Remove from PATH what is not in DIR
    #[arg(long)]
    delete: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let failed = |source| Failure::Input { path: self.dir.clone(), source };
        let host = self.dir.canonicalize().map_err(failed)?;
        host.read_dir().map_err(failed)?;
        let (vm, guest) = target(&self.target, host.file_name())?;
        if self.delete && is_a_home(guest.path().as_bytes()) {
            return Err(Failure::DeletesHome);
        }
        let mut way = Way::to(terminal, &vm).await?;
        let mut mirror = Mirror {
            vm: (&way.name, &way.target),
            host,
            guest: &guest,
            interrupts: &mut way.interrupts,
        };
        let plan = during(terminal, "comparing", mirror.plan(self.delete)).await?;
        if !plan.in_the_way.is_empty() {
            return Err(Failure::InTheWay(
                plan.in_the_way.iter().map(|name| shown(name)).collect(),
            ));
        }
        let left_out: Vec<_> = plan.left_out.iter().map(|name| shown(name)).collect();
        told(terminal, "left out, being neither file nor folder", &left_out);
        if self.dry_run {
            terminal.raw(listed(&plan).as_bytes())?;
            return Ok(0);
        }
        if plan.send.is_empty() && plan.remove.is_empty() {
            terminal.note(&format!("nothing to send: {} has it all", way.name));
            return Ok(0);
        }
        let counter = Counter::default();
        let work = mirror.carry_out(&plan, counter.clone());
        let packed = copying(terminal, "sending", &counter, work).await?;
        let changed: Vec<_> =
            packed.changed.iter().map(|path| path.display().to_string()).collect();
        told(terminal, "changed while it was copied", &changed);
        terminal.note(&format!(
            "sent {} ({}), removed {}",
            plan.send.len(),
            bytes(counter.get()),
            plan.remove.len()
        ));
        Ok(0)
    }
}

/// The VM and the folder there.
fn target(given: &OsStr, name: Option<&OsStr>) -> Result<(VmRef, GuestFile), Failure> {
    if let Place::Guest(vm, path) = Place::parse(given) {
        return Ok((vm, path));
    }
    let vm = given.to_str().and_then(|vm| vm.parse().ok());
    let vm = vm.ok_or_else(|| Failure::NoVm(given.to_string_lossy().into_owned()))?;
    let name = name.ok_or(Failure::NoFolderName)?;
    Ok((vm, GuestFile::new(&[b"/root/", name.as_bytes()].concat())))
}

/// Whether a path is the whole guest, or root's home with the key that opens it.
fn is_a_home(path: &[u8]) -> bool {
    let components: Vec<_> = path
        .split(|&byte| byte == b'/')
        .filter(|component| !matches!(*component, b"" | b"."))
        .collect();
    components.contains(&&b".."[..])
        || components.is_empty()
        || (path.starts_with(b"/") && components == [b"root"])
}

/// A name on one line, whoever chose it.
fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

fn listed(plan: &Plan) -> String {
    let removed = plan.remove.iter().map(|name| format!("remove  {}\n", shown(name)));
    let sent = plan.send.iter().map(|name| format!("send    {}\n", shown(name)));
    removed.chain(sent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_a_folder_of_the_same_name_in_roots_home() {
        let name = Some(OsStr::new("my src"));
        let (vm, path) = target("web".as_ref(), name).unwrap();
        assert_eq!((vm, path.path()), ("web".parse().unwrap(), OsStr::new("/root/my src")));
        let (_, path) = target("web:x".as_ref(), name).unwrap();
        assert_eq!(path.path(), "./x");
        assert!(target("web".as_ref(), None).is_err());
        assert!(target("no name".as_ref(), name).is_err());
    }

    #[test]
    fn nothing_deletes_a_guest_or_its_key() {
        for path in ["/", "//", "/.", "/root", "/root/", "/root/.", "", "./", "a/..", "/root/x/.."]
        {
            assert!(is_a_home(GuestFile::new(path.as_bytes()).path().as_bytes()), "{path}");
        }
        for path in ["/root/x", "x", "/srv", "root"] {
            assert!(!is_a_home(GuestFile::new(path.as_bytes()).path().as_bytes()), "{path}");
        }
    }
}
