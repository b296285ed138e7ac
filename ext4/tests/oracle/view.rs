//! Our reader beside ext4-view, which is another one in safe Rust.

use std::sync::Arc;

use banger_ext4::{FileKind, Filesystem, ImagePath, Limits};

use crate::support::{content, filled, missing, open};

fn compare(options: &[&str]) {
    let image = filled(64 << 20, options, 300);
    let ours = Filesystem::open(Arc::new(open(&image.path))).unwrap();
    let theirs = ext4_view::Ext4::load(Box::new(std::fs::read(&image.path).unwrap())).unwrap();
    let mut entries = 0;
    ours.walk(&ImagePath::root(), &Limits::default(), &mut |entry| {
        entries += 1;
        let path = ImagePath::new([b"/", entry.path.as_slice()].concat())?;
        let bytes = path.as_bytes();
        let metadata = theirs.symlink_metadata(bytes).unwrap();
        let stat = ours.lstat(&path)?;
        assert_eq!(metadata.len(), stat.size, "{path}");
        assert_eq!((metadata.uid(), metadata.gid()), (stat.uid, stat.gid), "{path}");
        assert_eq!(metadata.mode(), stat.mode, "{path}");
        assert_eq!(theirs.exists(bytes).ok(), ours.exists(&path).ok(), "{path}");
        match stat.kind {
            FileKind::Directory => {
                assert!(metadata.is_dir());
                let mut names: Vec<Vec<u8>> =
                    ours.read_dir(&path, 100_000)?.into_iter().map(|item| item.name).collect();
                let mut others: Vec<Vec<u8>> = theirs
                    .read_dir(bytes)
                    .unwrap()
                    .map(|item| item.unwrap().file_name().as_ref().to_vec())
                    .filter(|name| name != b"." && name != b"..")
                    .collect();
                names.sort();
                others.sort();
                assert_eq!(names, others, "{path}");
            }
            FileKind::Symlink => {
                let target = theirs.read_link(bytes).unwrap();
                assert_eq!(ours.read_link(&path)?, target.as_ref() as &[u8]);
            }
            _ => assert_eq!(ours.read_file(&path, 1 << 30)?, theirs.read(bytes).unwrap()),
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(entries, 300 + 14);
    let large = ImagePath::new("/a/b/large").unwrap();
    assert_eq!(ours.read_file(&large, 1 << 20).unwrap(), content(700_000));
}

#[test]
fn two_readers_see_one_tree() {
    if missing("mkfs.ext4") {
        return;
    }
    compare(&[]);
    compare(&["-O", "^metadata_csum,^64bit", "-b", "1024"]);
    compare(&["-O", "^extent,^64bit", "-b", "2048"]);
    compare(&["-O", "metadata_csum_seed", "-I", "512"]);
}
