//! The work disk: mounted on `/root`, with the key that opens the guest.

use banger_proto::Share;

use super::facts::ImageFacts;
use super::file::GuestFile;
use super::fstab::Mount;
use super::plan::{Capability, Contribution, GuestSpec};

/// The guest's second disk.
pub(super) struct WorkDisk;

impl Capability for WorkDisk {
    fn contribute(&self, spec: &GuestSpec, _image: &ImageFacts) -> Contribution {
        let source = format!("UUID={}", spec.work_disk);
        let mount = Mount::new("/root", format!("{source} /root ext4 defaults 0 0"));
        // Where it is mounted, for an image that has no such directory.
        let files = vec![GuestFile::directory("/root", 0o755)];
        Contribution { files, mounts: vec![mount] }
    }
}

/// The files of a work disk that is being built: its root directory, which
/// becomes `/root`, and the client's key. sshd's StrictModes walks all three.
/// `authorized_key` is one line of an `authorized_keys` file.
#[must_use]
pub fn work_disk_files(authorized_key: &str, shares: &[Share]) -> Vec<GuestFile> {
    let mut files = vec![
        GuestFile::directory("/", 0o755),
        GuestFile::directory("/.ssh", 0o700),
        GuestFile::secret("/.ssh/authorized_keys", format!("{}\n", authorized_key.trim_end())),
    ];
    // Those that are mounted in /root: the root filesystem's own /root is covered by then.
    let below = shares.iter().filter_map(|share| share.path.strip_prefix("/root/"));
    files.extend(below.map(|path| GuestFile::mount_point(&format!("/{path}"))));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_modes_are_content_with_it() {
        let files = work_disk_files("ssh-ed25519 AAAA web\n", &[]);
        let modes: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.mode, f.uid, f.gid)).collect();
        let expected =
            [("/", 0o755, 0, 0), ("/.ssh", 0o700, 0, 0), ("/.ssh/authorized_keys", 0o600, 0, 0)];
        assert_eq!(modes, expected);
        assert_eq!(
            files[2].content,
            super::super::file::Content::File(b"ssh-ed25519 AAAA web\n".to_vec())
        );
    }

    #[test]
    fn what_is_shared_in_roots_home_has_a_place_there() {
        let shares = ["/a:/src", "/a:/root/src/a", "/a:/rooted"].map(|text| text.parse().unwrap());
        let files = work_disk_files("key", &shares);
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/", "/.ssh", "/.ssh/authorized_keys", "/src/a"]);
    }
}
