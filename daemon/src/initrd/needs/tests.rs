//! Modules of distributions, lists that are damaged, and lists that nobody wrote.

use proptest::prelude::*;

use super::*;

/// As Debian's cloud kernel has it, as far as it matters.
const DEBIAN: Tables<'_> = Tables {
    dependencies: "\
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio_mmio.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
",
    builtin: "kernel/fs/mbcache.ko\nkernel/fs/ext4/ext4.ko\nkernel/fs/jbd2/jbd2.ko\n",
    builtin_facts: "",
    soft: "softdep libcrc32c pre: crc32c\n",
    aliases: "",
};

fn names(tables: &Tables<'_>) -> Result<String, NeedError> {
    let order = order(tables)?;
    Ok(order.into_iter().map(|module| module.name).collect::<Vec<_>>().join(" "))
}

#[test]
fn each_module_is_behind_those_that_it_needs() {
    let order = order(&DEBIAN).unwrap();
    let paths: Vec<_> = order.iter().map(|module| module.path).collect();
    assert_eq!(paths[2], "kernel/drivers/virtio/virtio_mmio.ko");
    assert_eq!(
        names(&DEBIAN).unwrap(),
        "virtio_ring virtio virtio_mmio virtio_blk failover net_failover virtio_net"
    );
}

#[test]
fn what_ext4_needs_softly_is_found_by_its_other_names() {
    let tables = Tables {
        dependencies: "\
kernel/drivers/virtio/virtio_mmio.ko.zst:
kernel/drivers/block/virtio-blk.ko.zst:
kernel/fs/ext4/ext4.ko.zst: kernel/fs/mbcache.ko.zst kernel/fs/jbd2/jbd2.ko.zst
kernel/fs/jbd2/jbd2.ko.zst:
kernel/fs/mbcache.ko.zst:
kernel/crypto/crc32c_generic.ko.zst:
kernel/arch/x86/crypto/crc32c-intel.ko.zst:
",
        soft: "# Soft dependencies extracted from modules themselves.\nsoftdep ext4 pre: crc32c absent post: nothing\n",
        aliases: "alias crypto-crc32c crc32c_generic\nalias crc32c crc32c_generic\nalias crc32c crc32c_intel\nalias fs-* x\n",
        ..Tables::default()
    };
    let expected = "virtio_mmio virtio_blk crc32c_generic crc32c_intel jbd2 mbcache ext4";
    assert_eq!(names(&tables).unwrap(), expected);
    // One that is built in is there, by whichever name.
    let facts = "crc32c_generic.license=GPL\0crc32c_generic.alias=crc32c\0";
    let built_in = Tables { builtin_facts: facts, ..tables };
    assert_eq!(names(&built_in).unwrap(), "virtio_mmio virtio_blk jbd2 mbcache ext4");
}

#[test]
fn a_kernel_that_has_it_all_needs_none() {
    let builtin = "kernel/a/virtio-mmio.ko\nkernel/b/virtio_blk.ko\nkernel/c/ext4.ko\n";
    let tables = Tables { builtin, ..DEBIAN };
    assert_eq!(names(&tables).unwrap(), "", "nor its network's, which its own init finds");
    let alone = Tables { builtin, ..Tables::default() };
    assert_eq!(names(&alone).unwrap(), "");
}

#[test]
fn one_that_lacks_something_is_told_what() {
    let lacks = |name: &str| Err(NeedError::Lacks(name.into()));
    assert_eq!(names(&Tables::default()), lacks("virtio_mmio"));
    assert_eq!(names(&Tables { builtin: "", ..DEBIAN }), lacks("ext4"));
    let without = DEBIAN.dependencies.replace("kernel/drivers/virtio/virtio_ring.ko:\n", "");
    assert_eq!(names(&Tables { dependencies: &without, ..DEBIAN }), lacks("virtio_ring"));
    // The network is not worth a disk.
    let without = DEBIAN.dependencies.replace("kernel/net/core/failover.ko:\n", "");
    let found = names(&Tables { dependencies: &without, ..DEBIAN }).unwrap();
    assert_eq!(found, "virtio_ring virtio virtio_mmio virtio_blk");
}

#[test]
fn lists_that_lie_are_refused() {
    let builtin = "kernel/b/virtio_blk.ko\nkernel/c/ext4.ko\n";
    let found = |dependencies: &str| names(&Tables { dependencies, builtin, ..Tables::default() });
    let cycle = found("a/virtio_mmio.ko: a/b.ko\na/b.ko: a/virtio_mmio.ko\n");
    assert_eq!(cycle, Err(NeedError::Cycle("virtio_mmio".into())));
    let itself = found("a/virtio_mmio.ko: a/virtio_mmio.ko\n");
    assert_eq!(itself, Err(NeedError::Cycle("virtio_mmio".into())));
    for path in [
        "../../../etc/b.ko",
        "/etc/b.ko",
        "a//b.ko",
        "./b.ko",
        "a/b",
        "a/.ko",
        "a/b.ko.lzo",
        "a/b;c.ko",
    ] {
        let needed = found(&format!("a/virtio_mmio.ko: {path}\n"));
        assert_eq!(needed, Err(NeedError::Damaged(path.into())), "{path}");
        let own = found(&format!("{}virtio_mmio.ko:\n", path.replace("b", "").replace("etc", "")));
        assert!(own.is_err() || path.starts_with("a/"), "{path}: {own:?}");
    }
    let long: String = (0..200).map(|n| format!("a/m{n}.ko: a/m{}.ko\n", n + 1)).collect();
    assert_eq!(found(&format!("a/virtio_mmio.ko: a/m0.ko\n{long}")), Err(NeedError::Many));
    // What needs each other softly is loaded all the same.
    let soft = "softdep b pre: virtio_mmio\nsoftdep virtio_mmio pre: b\n";
    let dependencies = "a/virtio_mmio.ko:\na/b.ko:\n";
    let tables = Tables { dependencies, builtin, soft, ..Tables::default() };
    assert_eq!(names(&tables).unwrap(), "b virtio_mmio");
}

#[test]
fn however_often_the_same_is_good_to_have_it_is_not_looked_for_without_end() {
    // Each of forty is good to have thrice for the one before, and needs what is not there.
    let dependencies: String = (0..=40).map(|n| format!("a/m{n}.ko: a/absent.ko\n")).collect();
    let dependencies = format!("a/virtio_mmio.ko:\n{dependencies}");
    let soft: String = (0..40).map(|n| format!("softdep m{n} pre: x{n} x{n} x{n}\n")).collect();
    let soft = format!(
        "softdep virtio_mmio pre: m0\n{soft}{}",
        "softdep virtio_mmio pre: y\n".repeat(100_000)
    );
    let aliases: String =
        (0..40).map(|n| format!("alias x{n} m{}\nalias x{n} absent\n", n + 1)).collect();
    let aliases = aliases + &"alias y absent\n".repeat(100_000);
    let builtin = "kernel/b/virtio_blk.ko\nkernel/c/ext4.ko\n";
    let (dependencies, soft, aliases) = (&*dependencies, &*soft, &*aliases);
    let tables = Tables { dependencies, soft, aliases, builtin, builtin_facts: "" };
    let began = std::time::Instant::now();
    let found = names(&tables);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    // What may be absent is no reason to do without a disk, unless all looks were taken.
    assert!(
        matches!(&found, Ok(names) if names.ends_with("virtio_mmio"))
            || found == Err(NeedError::Many)
    );
}

/// Lines that begin as real ones do.
fn lines() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "virtio_mmio",
        "virtio-blk",
        "ext4",
        "virtio_net",
        "jbd2",
        "a",
        "b",
        "..",
        "",
        "\0",
        "crc32c",
    ]);
    let end = prop::sample::select(vec![".ko", ".ko.xz", ".ko:", ":", " ", ".ko: ", "/", "\n"]);
    prop::collection::vec((name, end), 0..60)
        .prop_map(|words| words.into_iter().flat_map(|(name, end)| [name, end]).collect())
}

proptest! {
    #[test]
    fn whatever_the_lists_say_it_ends_and_leads_nowhere_else(
        dependencies in prop_oneof![lines(), any::<String>()],
        builtin in lines(),
        soft in prop_oneof![lines(), any::<String>()],
        aliases in any::<String>(),
        builtin_facts in any::<String>(),
    ) {
        let tables = Tables {
            dependencies: &dependencies,
            builtin: &builtin,
            builtin_facts: &builtin_facts,
            soft: &soft,
            aliases: &aliases,
        };
        if let Ok(order) = order(&tables) {
            prop_assert!(order.len() <= MOST);
            for (at, module) in order.iter().enumerate() {
                prop_assert!(!module.path.split('/').any(|part| part == ".." || part.is_empty()));
                prop_assert!(!module.name.contains(['/', '.', '\n']));
                let again = order.iter().skip(at + 1).any(|other| other.name == module.name);
                prop_assert!(!again, "{} is loaded once", module.name);
            }
        }
    }

    #[test]
    fn in_every_graph_each_is_behind_those_that_it_needs(
        edges in prop::collection::vec((0..12_usize, 0..12_usize), 0..30),
    ) {
        let name = |n: usize| match n { 0 => "virtio_mmio".into(), 1 => "virtio_blk".into(), 2 => "ext4".into(), n => format!("m{n}") };
        // Upwards alone, so that there is no cycle.
        let needs = |n: usize| {
            let ours = edges.iter().filter(move |(a, b)| a != b && *a.min(b) == n);
            ours.map(|(a, b)| *a.max(b)).collect::<BTreeSet<_>>()
        };
        let line = |n: usize| {
            let needed: Vec<_> = needs(n).into_iter().map(|other| format!("k/{}.ko", name(other))).collect();
            format!("k/{}.ko: {}\n", name(n), needed.join(" "))
        };
        let dependencies: String = (0..12).map(line).collect();
        let order = order(&Tables { dependencies: &dependencies, ..Tables::default() }).unwrap();
        let place = |n: usize| order.iter().position(|module| module.name == name(n));
        for n in 0..3 {
            prop_assert!(place(n).is_some());
        }
        for n in (0..12).filter(|n| place(*n).is_some()) {
            for other in needs(n) {
                prop_assert!(place(other) < place(n), "{n} needs {other}:\n{dependencies}");
            }
        }
    }
}
