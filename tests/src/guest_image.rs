//! The images that guests boot from: Debian as it is built, and one that says the opposite.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::owner::{self, Owner};
use crate::unpacked::Kernel;
use crate::{debian, root, skip, tiny};

/// What the contrary image calls itself.
pub const BAKED_MACHINE_ID: &str = "0123456789abcdef0123456789abcdef\n";
/// Lines of its fstab that must survive.
pub const FSTAB_COMMENT: &str = "# <file system> <mount point>\t<type>  <options>   <dump> <pass>";
/// The same, an entry.
pub const FSTAB_KEPT: &str = "scratch\t/mnt  tmpfs size=8m,noexec  0 0 # kept as it is";

/// Which image a test wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// Debian as `banger image build` makes it.
    Plain,
    /// The same with files that contradict what banger promises.
    Contrary,
    /// The small one, which is called `tiny`.
    Tiny,
}

impl Image {
    /// What it is called.
    pub fn name(self) -> &'static str {
        if self == Self::Tiny { "tiny" } else { "debian" }
    }
}

/// Debian's tar, and the lock on the cache that it lies in; `None`, with the skip noted, where
/// no guest can be had.
fn debian_tar() -> Option<(PathBuf, PathBuf, File)> {
    for (program, package) in [("qemu-system-x86_64", "qemu-system-x86"), ("ssh", "openssh-client")]
    {
        if !root::has(program) {
            skip(&format!("{program} is missing (apt-get install {package})"));
            return None;
        }
    }
    let account = owner::account()?;
    let cache = owner::cache(&account).expect("the cache can be made");
    // Tests are processes of their own, and each of them may be the first.
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    let tar = debian::tar(&account, &cache)?;
    Some((tar, cache, lock))
}

/// The kernel of the guests, with its modules; `None`, with the skip noted, where no guest can be had.
pub fn kernel() -> Option<Kernel> {
    debian_tar().map(|(tar, _, _lock)| Kernel::from(&tar))
}

/// A kernel with nearly everything in modules, ext4 among it, as for computers; `None`, with the skip noted, where
/// it cannot be had.
pub fn modular_kernel() -> Option<Kernel> {
    let account = owner::account()?;
    let cache = owner::cache(&account).expect("the cache can be made");
    let lock = File::create(cache.join("lock")).unwrap();
    lock.lock().unwrap();
    let mut line =
        ["--mode=unshare", "--variant=minbase", "--format=tar"].map(str::to_owned).to_vec();
    // What makes initial RAM disks must be there, and this one is small.
    line.push("--include=kmod,linux-image-amd64,tiny-initramfs".to_owned());
    for left_out in ["sound", "drivers/gpu", "drivers/media", "drivers/net/wireless"] {
        line.push(format!("--dpkgopt=path-exclude=/lib/modules/*/kernel/{left_out}/*"));
    }
    line.extend(["--", debian::SUITE, "-"].map(str::to_owned));
    Some(Kernel::from(&debian::made(&account, &cache, "modular", &line)?))
}

/// An owner whose only image is the wanted one; `None`, with the skip noted, where no
/// guest can be had.
pub fn owner(image: Image) -> Option<Owner> {
    Some(Owner::new()?.with_data(store(image)?))
}

/// The folder of an image as bangerd keeps it.
pub fn folder(image: Image) -> Option<PathBuf> {
    Some(store(image)?.join("banger/images").join(image.name()))
}

/// The folder of data in which there is only this image.
fn store(image: Image) -> Option<PathBuf> {
    let (tar, cache, _lock) = debian_tar()?;
    let owner = Owner::new()?;
    let store = cache.join(format!("store-{image:?}-{:016x}", key(&owner, &tar)).to_lowercase());
    let name = image.name();
    if !store.join(format!("banger/images/{name}/image.json")).exists() {
        forget_others(&cache, image);
        fs::create_dir_all(&store).unwrap();
        owner.give(&store);
        let (tar, size) = match image {
            Image::Plain => (tar, None),
            Image::Contrary => (contrary(&tar, owner.home()), None),
            Image::Tiny => (tiny::tar(&tar, owner.home())?, Some("96M")),
        };
        let importer = Owner::new()?.with_data(store.clone());
        let mut import = importer.banger(["image", "import", name, "-"]);
        import.args(size.iter().flat_map(|size| ["--size", size]));
        let output = import.stdin(File::open(tar).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    Some(store)
}

/// What makes an imported image: the tar and the daemon that takes it in.
fn key(owner: &Owner, tar: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read(owner.home().join("bin/bangerd")).unwrap().hash(&mut hasher);
    tar.hash(&mut hasher);
    include_str!("guest_image.rs").hash(&mut hasher);
    include_str!("tiny.rs").hash(&mut hasher);
    hasher.finish()
}

/// Removes what earlier daemons imported.
fn forget_others(cache: &Path, image: Image) {
    let prefix = format!("store-{image:?}-").to_lowercase();
    for entry in fs::read_dir(cache).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
    }
}

/// A copy of the tar with members at its end that replace what contradicts them.
fn contrary(tar: &Path, folder: &Path) -> PathBuf {
    let staging = folder.join("staging");
    let fstab = format!(
        "{FSTAB_COMMENT}\n/dev/sdb1 /home ext4 defaults 0 2\nUUID=00000000-0000-0000-0000-000000000001 /var ext4 defaults 0 2\n\
         tmpfs /run tmpfs size=10% 0 0\n{FSTAB_KEPT}\n"
    );
    let files = [
        (
            "etc/ssh/sshd_config.d/50-cloud-init.conf",
            0o600,
            "PermitRootLogin no\nPubkeyAuthentication no\nPasswordAuthentication yes\nKbdInteractiveAuthentication yes\nAuthorizedKeysFile /dev/null\n",
        ),
        ("etc/ssh/ssh_host_ed25519_key", 0o600, "a baked private key\n"),
        ("etc/ssh/ssh_host_ed25519_key.pub", 0o644, "ssh-ed25519 baked\n"),
        ("etc/ssh/ssh_host_rsa_key", 0o600, "another baked private key\n"),
        ("etc/ssh/ssh_host_rsa_key.pub", 0o644, "ssh-rsa baked\n"),
        ("etc/hostname", 0o644, "image\n"),
        ("etc/hosts", 0o644, "127.0.0.1 localhost image\n"),
        ("etc/machine-id", 0o444, BAKED_MACHINE_ID),
        ("etc/fstab", 0o644, fstab.as_str()),
        ("root/shipped", 0o640, "from the image\n"),
    ];
    for (name, mode, text) in files {
        let path = staging.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("../run/systemd/resolve/stub-resolv.conf", staging.join("etc/resolv.conf")).unwrap();
    let copy = folder.join("contrary.tar");
    fs::copy(tar, &copy).unwrap();
    let appended = Command::new("tar")
        .arg("--append")
        .arg("--file")
        .arg(&copy)
        .arg("--directory")
        .arg(&staging)
        // Owned by somebody else: banger makes /root and what is in it root's.
        .args(["--owner=1000", "--group=1000", "--numeric-owner", "root/shipped"])
        .status()
        .unwrap();
    assert!(appended.success());
    let appended = Command::new("tar")
        .arg("--append")
        .arg("--file")
        .arg(&copy)
        .arg("--directory")
        .arg(&staging)
        .args(["--owner=0", "--group=0", "--numeric-owner", "etc/resolv.conf"])
        .args(files.iter().map(|file| file.0).filter(|name| name.starts_with("etc/")))
        .stdin(Stdio::null())
        .status()
        .unwrap();
    assert!(appended.success());
    copy
}

/// Waits, a minute at most, until something has come about.
pub fn wait_for(what: &str, mut come_about: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !come_about() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
