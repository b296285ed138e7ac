//! What is read from an image's root filesystem to plan a guest's files.

/// Reads a root filesystem. Symlinks are followed inside it.
pub trait ImageReader {
    /// Why reading failed. "Not there" is no failure.
    type Error;

    /// The bytes of a file, or `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be told.
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, Self::Error>;

    /// Names in a directory, in any order; none where there is no directory.
    ///
    /// # Errors
    /// When it cannot be told.
    fn names(&mut self, path: &str) -> Result<Vec<String>, Self::Error>;

    /// True where there is something.
    ///
    /// # Errors
    /// When it cannot be told.
    fn exists(&mut self, path: &str) -> Result<bool, Self::Error>;
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// `/etc/fstab`.
    pub fstab: Option<Vec<u8>>,
    /// `/etc/ssh/sshd_config`.
    pub sshd_config: Option<Vec<u8>>,
    /// Names in `/etc/ssh/sshd_config.d`.
    pub sshd_drop_ins: Vec<String>,
    /// Names in `/etc/ssh` that begin with `ssh_host_`.
    pub host_key_files: Vec<String>,
    /// systemd is there: `/usr/lib/systemd/systemd` or `/lib/systemd/systemd`.
    pub has_systemd: bool,
    /// `/sbin/agetty` is there.
    pub has_agetty: bool,
    /// systemd runs the image's own login on the serial console.
    pub has_serial_login: bool,
    /// OpenRC is there: `/etc/runlevels/boot`.
    pub has_openrc: bool,
    /// `/etc/inittab`.
    pub inittab: Option<Vec<u8>>,
    /// `/etc/rc.local`.
    pub rc_local: Option<Vec<u8>>,
}

impl ImageFacts {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn gather<R: ImageReader>(reader: &mut R) -> Result<Self, R::Error> {
        let mut host_key_files = reader.names("/etc/ssh")?;
        host_key_files.retain(|name| name.starts_with("ssh_host_"));
        host_key_files.sort_unstable();
        let mut sshd_drop_ins = reader.names("/etc/ssh/sshd_config.d")?;
        sshd_drop_ins.sort_unstable();
        Ok(Self {
            fstab: reader.read("/etc/fstab")?,
            sshd_config: reader.read("/etc/ssh/sshd_config")?,
            sshd_drop_ins,
            host_key_files,
            has_systemd: reader.exists("/usr/lib/systemd/systemd")?
                || reader.exists("/lib/systemd/systemd")?,
            has_agetty: reader.exists("/sbin/agetty")?,
            has_serial_login: reader
                .names("/etc/systemd/system/getty.target.wants")?
                .iter()
                .any(|name| name == "serial-getty@ttyS0.service"),
            has_openrc: reader.exists("/etc/runlevels/boot")?,
            inittab: reader.read("/etc/inittab")?,
            rc_local: reader.read("/etc/rc.local")?,
        })
    }
}
