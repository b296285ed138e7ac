//! What root made for a VM that nobody here knows, as garbage.

use banger_proto::roothelper::{Fate, ObjectKind, Swept};
use banger_proto::{Garbage, GarbageFate, GarbagePlace};

/// An object of a sweep, which was one that only looked when it was a `dry_run`.
pub(crate) fn of_root(Swept { object, fate }: Swept, dry_run: bool) -> Garbage {
    let (kind, bytes, is_overlay) = match object.kind {
        ObjectKind::Snapshot { .. } => ("device of a root filesystem", 0, false),
        ObjectKind::Loop { .. } => ("loop device", 0, false),
        ObjectKind::Overlay { allocated_bytes, .. } => {
            ("what a guest wrote to its root filesystem", allocated_bytes, true)
        }
        ObjectKind::Tap { .. } => ("network interface", 0, false),
    };
    let unknown = format!("no VM {} is known here", object.vm);
    let (reason, fate) = match fate {
        Fate::Removed if dry_run => (unknown, GarbageFate::Removable),
        Fate::Removed => (unknown, GarbageFate::Removed),
        // Another state folder may have the VM, and its guest's work would be lost.
        Fate::Stays(why) if is_overlay => (
            format!("{unknown}; {why}; if none is anywhere else: banger gc --overlays"),
            GarbageFate::LeftAlone,
        ),
        Fate::Stays(why) => (format!("{unknown}; {why}"), GarbageFate::LeftAlone),
    };
    Garbage {
        kind: kind.to_owned(),
        place: GarbagePlace::Object(object.name),
        bytes,
        since: object.since,
        reason,
        fate,
    }
}

#[cfg(test)]
mod tests {
    use banger_proto::VmId;
    use banger_proto::roothelper::Object;

    use super::*;

    #[test]
    fn what_stays_is_left_alone_and_an_overlay_says_how_it_goes() {
        let swept = |kind, fate| {
            let object = Object { vm: VmId::random(), name: "name".into(), since: 5, kind };
            Swept { object, fate }
        };
        let tap = ObjectKind::Loop { minor: 1_000_000, open: true };
        let overlay = ObjectKind::Overlay { size_bytes: 9, allocated_bytes: 4, attached: false };
        assert_eq!(of_root(swept(tap, Fate::Removed), true).fate, GarbageFate::Removable);
        assert_eq!(of_root(swept(tap, Fate::Removed), false).fate, GarbageFate::Removed);
        let open = of_root(swept(tap, Fate::Stays("it is open".into())), false);
        assert_eq!(open.fate, GarbageFate::LeftAlone);
        assert!(open.reason.ends_with("it is open"), "{}", open.reason);
        let kept = of_root(swept(overlay, Fate::Stays("not meant".into())), true);
        assert_eq!((kept.bytes, kept.fate, kept.since), (4, GarbageFate::LeftAlone, 5));
        assert!(kept.reason.ends_with("banger gc --overlays"), "{}", kept.reason);
    }
}
