//! What has to be done so that the guest's copy is as the host's folder: pure.

use super::listing::{Entry, Kind, Listing};

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Names that go from the guest's side first, the outermost of each tree.
    pub(crate) remove: Vec<Vec<u8>>,
    /// Names that are sent, folders before what is in them.
    pub(crate) send: Vec<Vec<u8>>,
    /// Folders of the guest's where the host has something else: only `--delete` removes them.
    pub(crate) in_the_way: Vec<Vec<u8>>,
    /// Names on the host that are neither file, folder nor link.
    pub(crate) left_out: Vec<Vec<u8>>,
}

/// Whether the guest's entry need not be sent.
fn same(host: &Entry, guest: &Entry) -> bool {
    host.kind == guest.kind
        && match host.kind {
            Kind::Folder => host.mode == guest.mode,
            // Their modes mean nothing.
            Kind::Link => host.size == guest.size && host.mtime == guest.mtime,
            _ => (host.mode, host.size, host.mtime) == (guest.mode, guest.size, guest.mtime),
        }
}

/// The plan; with `delete` what only the guest has goes.
pub(crate) fn plan(host: &Listing, guest: &Listing, delete: bool) -> Plan {
    let mut plan = Plan::default();
    for (name, entry) in host {
        let there = guest.get(name);
        match (entry.kind, there) {
            (Kind::Other, _) => {
                plan.left_out.push(name.clone());
                continue;
            }
            (_, Some(there)) if same(entry, there) => continue,
            // A folder may hold what nobody has elsewhere.
            (kind, Some(there)) if there.kind == Kind::Folder && kind != Kind::Folder => {
                if delete {
                    plan.remove.push(name.clone());
                } else {
                    plan.in_the_way.push(name.clone());
                }
            }
            (kind, Some(there)) if there.kind != kind => plan.remove.push(name.clone()),
            _ => {}
        }
        plan.send.push(name.clone());
    }
    if delete {
        plan.remove.extend(guest.keys().filter(|name| !host.contains_key(*name)).cloned());
    }
    outermost(&mut plan.remove);
    plan
}

/// Leaves out what goes with a folder above it.
fn outermost(names: &mut Vec<Vec<u8>>) {
    let all: std::collections::BTreeSet<_> = std::mem::take(names).into_iter().collect();
    *names = all
        .iter()
        .filter(|name| {
            let mut slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            !slashes.any(|(at, _)| name.get(..at).is_some_and(|above| all.contains(above)))
        })
        .cloned()
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(entries: &[(&str, Kind, u64, i64)]) -> Listing {
        let entries = entries.iter().map(|&(name, kind, size, mtime)| {
            (name.as_bytes().to_vec(), Entry { kind, mode: 0o644, size, mtime })
        });
        entries.collect()
    }

    fn names(names: &[Vec<u8>]) -> Vec<&str> {
        names.iter().map(|name| std::str::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn only_what_differs_is_sent() {
        use Kind::{File, Folder, Link, Other};
        let host = listing(&[
            ("d", Folder, 1, 1),
            ("d/same", File, 3, 3),
            ("d/size", File, 4, 3),
            ("d/time", File, 3, 4),
            ("link", Link, 1, 5),
            ("new", File, 0, 0),
            ("socket", Other, 0, 0),
        ]);
        let guest = listing(&[
            ("d", Folder, 9, 9),
            ("d/same", File, 3, 3),
            ("d/size", File, 3, 3),
            ("d/time", File, 3, 3),
            ("gone", File, 1, 1),
            ("link", Link, 1, 6),
        ]);
        let made = plan(&host, &guest, false);
        assert_eq!(names(&made.send), ["d/size", "d/time", "link", "new"]);
        assert_eq!(names(&made.left_out), ["socket"]);
        assert!(made.remove.is_empty() && made.in_the_way.is_empty());
        assert_eq!(names(&plan(&host, &guest, true).remove), ["gone"]);
        let mut chmod = guest;
        chmod.get_mut(&b"d/same"[..]).unwrap().mode = 0o600;
        assert!(plan(&host, &chmod, false).send.contains(&b"d/same".to_vec()));
        assert_eq!(plan(&host, &host, true), Plan { left_out: made.left_out, ..Plan::default() });
    }

    #[test]
    fn what_is_of_another_kind_makes_way() {
        use Kind::{File, Folder, Link};
        let host = listing(&[("a", Folder, 0, 0), ("a/b", File, 0, 0), ("f", File, 0, 0)]);
        let guest = listing(&[
            ("a", Link, 0, 0),
            ("f", Folder, 0, 0),
            ("f/x", File, 0, 0),
            ("old", Folder, 0, 0),
            ("old-er", File, 0, 0),
            ("old/x", File, 0, 0),
        ]);
        let made = plan(&host, &guest, false);
        assert_eq!(names(&made.remove), ["a"], "a link is never written through");
        assert_eq!(names(&made.in_the_way), ["f"]);
        let made = plan(&host, &guest, true);
        assert_eq!(names(&made.remove), ["a", "f", "old", "old-er"]);
        assert!(made.in_the_way.is_empty());
        assert_eq!(names(&made.send), ["a", "a/b", "f"]);
    }
}
