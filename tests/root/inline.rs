//! Data inside inodes: small files, links, and directories of few names.

use std::path::Path;

use banger_ext4::{Attributes, Batch, Flush, Xattr};
use banger_tests::image::{assert_right, disk, path};
use banger_tests::profile::Profile;
use banger_tests::{engine, fsck, kernel, manifest, root};

use crate::needs_kernel;

const FILE: Attributes = Attributes { mode: 0o644, uid: 0, gid: 0 };
const FOLDER: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

/// Files of every length, links and directories of many, made by the kernel.
const SEED: &str = r#"cd "$1"
    python3 -c 'if True:
        import os
        os.mkdir("f"); os.mkdir("d"); os.mkdir("l"); os.mkdir("x")
        for n in list(range(0, 170, 7)) + [59, 60, 61, 900, 4000]:
            open(f"f/{n}", "wb").write(os.urandom(n))
            open(f"x/{n}", "wb").write(os.urandom(n))
            os.setxattr(f"x/{n}", "user.note", b"v" * (n % 70))
        for n in range(0, 40):
            os.mkdir(f"d/{n}")
            for m in range(n): open(f"d/{n}/entry-{m}", "w").write("x" * m)
            for m in range(n - n % 4): os.unlink(f"d/{n}/entry-{m}")
        for n in range(58, 170, 9): os.symlink("t" * n, f"l/{n}")
        for n in range(6): os.makedirs(f"deep{n}/a/b/c")
        os.symlink("d/3", "to3"); os.link("f/14", "d/1/linked")'"#;

/// The flag in `debugfs stat` of data that lies in its inode.
fn is_inline(image: &Path, file: &str) -> bool {
    let asked = format!("stat \"{file}\"");
    let out = fsck::tool("debugfs").args(["-R", &asked]).arg(image).output().unwrap();
    String::from_utf8_lossy(&out.stdout).contains("Size of inline data")
}

fn seeded(folder: &Path, profile: &Profile) -> std::path::PathBuf {
    let image = folder.join("image");
    profile.make(&image, 64 << 20);
    kernel::mounted(&image, "rw", |top| root::script(SEED, &[top.as_os_str()]));
    image
}

fn note(name: &str, len: usize) -> Xattr {
    Xattr { name: name.as_bytes().to_vec(), value: vec![b'n'; len] }
}

fn change(batch: &mut Batch) -> banger_ext4::Result<()> {
    for n in 0..40 {
        // Names of many lengths: some fit the inode, others give it a block.
        for m in 0..n % 5 {
            let name = "o".repeat(3 + (n * 7 + m * 5) % 40);
            let file = path(format!("/d/{n}/{m}{name}"));
            batch.write_file(&file, FILE, b"ours")?;
        }
        for m in n - n % 4..n {
            let file = path(format!("/d/{n}/entry-{m}"));
            match m % 3 {
                0 => batch.remove(&file)?,
                1 => batch.write_file(&file, FILE, b"replaced")?,
                _ => batch.rename(&file, &path(format!("/d/{n}/renamed-{m}")))?,
            }
        }
    }
    for n in (0..63).step_by(7) {
        batch.set_xattrs(&path(format!("/f/{n}")), &[note("user.a", n), note("user.b", 40)])?;
        batch.set_xattr(&path(format!("/x/{n}")), b"user.more", &vec![b'm'; n * 3])?;
    }
    batch.set_xattr(&path("/d/2"), b"user.on-a-folder", &[b'd'; 90])?;
    assert!(batch.remove_xattr(&path("/x/14"), b"user.note")?);
    assert!(batch.set_xattr(&path("/f/0"), b"system.data", b"x").is_err(), "not to be set");
    batch.rename(&path("/f/21"), &path("/f/28"))?;
    batch.rename(&path("/f/35"), &path("/d/0/moved"))?;
    batch.hard_link(&path("/f/42"), &path("/d/0/second"))?;
    batch.set_attributes(&path("/f/56"), Attributes { mode: 0o4711, uid: 70_000, gid: 9 })?;
    batch.write_file(&path("/to3/through-a-link"), FILE, b"x")?;
    batch.remove(&path("/l/67"))?;
    batch.symlink(&path("/l/76"), b"replaced", 0, 0)?;
    // Directories move: their parents stand in their inodes.
    batch.rename(&path("/deep0/a/b"), &path("/deep1/a/moved"))?;
    batch.rename(&path("/deep2/a/b/c"), &path("/deep3/a/b/c"))?;
    batch.remove(&path("/deep4/a/b/c"))?;
    batch.remove_recursive(&path("/deep5"))?;
    batch.make_directories(&path("/deep4/a/b/new/newer"), FOLDER)?;
    batch.remove_recursive(&path("/d/9"))
}

#[test]
fn what_lies_in_inodes_is_changed_in_both_hands() {
    needs_kernel!();
    let folder = tempfile::tempdir().unwrap();
    for profile in Profile::written().filter(|profile| profile.name.starts_with("inline_data")) {
        println!("{}", profile.name);
        let image = seeded(folder.path(), profile);
        for file in ["/f/7", "/f/59", "/d/1", "/d/3", "/x/7"] {
            assert!(is_inline(&image, file), "{}: {file}", profile.name);
        }
        manifest::assert_same(("ours", &engine::tree(&image)), ("theirs", &kernel::tree(&image)));
        let mut batch = Batch::open(disk(&image)).unwrap();
        change(&mut batch).unwrap();
        batch.commit(Flush::ProcessSafe).unwrap();
        assert!(is_inline(&image, "/f/7") && is_inline(&image, "/d/1"), "{}", profile.name);
        let lines = assert_right(&image);
        assert!(lines.iter().any(|line| line.starts_with("/f/56 file 4711 70000:9 size=56")));
        assert!(lines.iter().any(|line| line.starts_with("/deep3/a/b/c dir")));
        // The kernel goes on in what we changed: everything becomes longer, then shorter.
        kernel::mounted(&image, "rw", |top| {
            let script = r#"cd "$1"; for f in f/* x/*; do printf "and more of it" >> $f; done
                for f in f/*; do truncate -s 30 $f; done
                for d in d/*; do for n in 1 2 3; do : > $d/kernel-$n; done; done
                rm -r d/7 deep1; rm d/11/kernel-1; mv d/5 deep2/five"#;
            root::script(script, &[top.as_os_str()])
        });
        fsck::assert_clean(&image);
        manifest::assert_same(("ours", &engine::tree(&image)), ("theirs", &kernel::tree(&image)));
        let mut batch = Batch::open(disk(&image)).unwrap();
        for top in ["/d", "/f", "/x", "/l", "/to3", "/deep0", "/deep2", "/deep3", "/deep4"] {
            batch.remove_recursive(&path(top)).unwrap();
        }
        batch.remove_recursive(&path("/kernel-wrote")).unwrap();
        batch.commit(Flush::ProcessSafe).unwrap();
        fsck::assert_clean(&image);
        assert_eq!(engine::tree(&image).len(), 2, "{}", profile.name);
    }
}
