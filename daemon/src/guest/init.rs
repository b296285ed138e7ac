//! How a program is run at boot by the image's own init, whichever it is.

use super::facts::ImageFacts;
use super::file::GuestFile;

/// A program to run at boot, before sshd.
pub(super) struct BootProgram<'a> {
    /// Name of its service.
    pub(super) name: &'a str,
    /// What it does, in a few words.
    pub(super) description: &'a str,
    /// Path in the guest.
    pub(super) path: &'a str,
}

impl BootProgram<'_> {
    /// The files that make it run.
    pub(super) fn files(&self, image: &ImageFacts) -> Vec<GuestFile> {
        if image.has_systemd {
            self.systemd()
        } else if image.has_openrc {
            self.openrc()
        } else if let Some(inittab) = &image.inittab {
            vec![GuestFile::text("/etc/inittab", self.inittab(inittab))]
        } else {
            vec![GuestFile::program("/etc/rc.local", self.rc_local(image.rc_local.as_deref()))]
        }
    }

    /// Without default dependencies it runs as soon as systemd does, beside
    /// everything else; only what needs it is ordered after it.
    fn systemd(&self) -> Vec<GuestFile> {
        let Self { name, description, path } = self;
        let unit = format!(
            "[Unit]\n\
             Description={description}\n\
             DefaultDependencies=no\n\
             Wants=network.target\n\
             Before=network.target network-online.target ssh.service sshd.service ssh.socket sshd.socket\n\
             Conflicts=shutdown.target\n\
             Before=shutdown.target\n\
             \n\
             [Service]\n\
             Type=oneshot\n\
             RemainAfterExit=yes\n\
             ExecStart={path}\n\
             \n\
             [Install]\n\
             WantedBy=multi-user.target\n"
        );
        let file = format!("/etc/systemd/system/{name}.service");
        vec![
            GuestFile::text(&file, unit),
            GuestFile::link(
                &format!("/etc/systemd/system/multi-user.target.wants/{name}.service"),
                &file,
            ),
        ]
    }

    fn openrc(&self) -> Vec<GuestFile> {
        let Self { name, description, path } = self;
        let service = format!("/etc/init.d/{name}");
        let script = format!(
            "#!/sbin/openrc-run\n\
             description=\"{description}\"\n\
             depend() {{\n\
             \tneed localmount\n\
             \tprovide net\n\
             \tbefore sshd\n\
             }}\n\
             start() {{\n\
             \tebegin \"{description}\"\n\
             \t{path}\n\
             \teend $?\n\
             }}\n"
        );
        vec![
            GuestFile::program(&service, script),
            GuestFile::link(&format!("/etc/runlevels/boot/{name}"), &service),
        ]
    }

    /// One line, run before the lines that start services. busybox's lines begin
    /// with an empty id and know `sysinit`; sysvinit's have an id and runlevels.
    fn inittab(&self, inittab: &[u8]) -> Vec<u8> {
        if inittab.split(|b| *b == b'\n').any(|line| self.runs_us(line)) {
            return inittab.to_vec();
        }
        let entry = |line: &[u8]| {
            let mut fields = line.splitn(4, |b| *b == b':');
            let id = fields.next()?;
            (!id.starts_with(b"#")).then_some(())?;
            fields.next()?;
            Some((id.is_empty(), fields.next()?.to_owned()))
        };
        let lines: Vec<_> = inittab.split_inclusive(|b| *b == b'\n').collect();
        let sysv = lines.iter().any(|l| entry(l).is_some_and(|(busybox, _)| !busybox));
        let ours = if sysv {
            format!("bngr:2345:wait:{}\n", self.path)
        } else {
            format!("::sysinit:{}\n", self.path)
        };
        // sysvinit: before the first runlevel's script. busybox: after its last
        // sysinit line, which mounts what is to be mounted.
        let place = if sysv {
            lines.iter().position(|l| entry(l).is_some_and(|(_, action)| action == b"wait"))
        } else {
            lines
                .iter()
                .rposition(|l| entry(l).is_some_and(|(_, a)| a == b"sysinit"))
                .map(|i| i + 1)
        };
        let place = place.unwrap_or(lines.len());
        let mut out = Vec::with_capacity(inittab.len() + ours.len());
        for (index, line) in lines.iter().enumerate() {
            if index == place {
                out.extend_from_slice(ours.as_bytes());
            }
            out.extend_from_slice(line);
        }
        if place >= lines.len() {
            if !out.is_empty() && !out.ends_with(b"\n") {
                out.push(b'\n');
            }
            out.extend_from_slice(ours.as_bytes());
        }
        out
    }

    /// One line after the first of `/etc/rc.local`, or a new file.
    fn rc_local(&self, before: Option<&[u8]>) -> Vec<u8> {
        let before = before.unwrap_or(b"#!/bin/sh\n");
        if before.split(|b| *b == b'\n').any(|line| self.runs_us(line)) {
            return before.to_vec();
        }
        let ours = format!("{}\n", self.path);
        let first = if before.starts_with(b"#!") {
            before.iter().position(|b| *b == b'\n').map_or(before.len(), |end| end + 1)
        } else {
            0
        };
        let (head, tail) = before.split_at(first);
        let end: &[u8] = if head.is_empty() || head.ends_with(b"\n") { b"" } else { b"\n" };
        [head, end, ours.as_bytes(), tail].concat()
    }

    fn runs_us(&self, line: &[u8]) -> bool {
        !line.starts_with(b"#") && line.trim_ascii_end().ends_with(self.path.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Content;
    use super::*;

    const PROGRAM: BootProgram<'_> =
        BootProgram { name: "banger-network", description: "Network", path: "/sbin/up" };

    fn only_text(image: &ImageFacts) -> (String, String) {
        let files = PROGRAM.files(image);
        let [GuestFile { path, content: Content::File(bytes), .. }] = &files[..] else {
            panic!("one file: {files:?}");
        };
        (path.clone(), String::from_utf8(bytes.clone()).unwrap())
    }

    #[test]
    fn each_init_has_its_own_place() {
        let image = ImageFacts { has_openrc: true, ..ImageFacts::default() };
        let files = PROGRAM.files(&image);
        let paths: Vec<_> = files.iter().map(|f| f.path.as_str()).collect();
        assert_eq!(paths, ["/etc/init.d/banger-network", "/etc/runlevels/boot/banger-network"]);
    }

    #[test]
    fn busybox_runs_it_after_its_mounts_and_sysvinit_before_its_services() {
        for (before, after) in [
            (
                "# x\n::sysinit:/bin/mount -a\n::respawn:/bin/sh\n",
                "# x\n::sysinit:/bin/mount -a\n::sysinit:/sbin/up\n::respawn:/bin/sh\n",
            ),
            (
                "id:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\nl2:2:wait:/etc/init.d/rc 2\n",
                "id:2:initdefault:\nsi::sysinit:/etc/init.d/rcS\nbngr:2345:wait:/sbin/up\nl2:2:wait:/etc/init.d/rc 2\n",
            ),
            ("::respawn:/bin/sh", "::respawn:/bin/sh\n::sysinit:/sbin/up\n"),
        ] {
            let image = ImageFacts { inittab: Some(before.into()), ..ImageFacts::default() };
            assert_eq!(only_text(&image), ("/etc/inittab".to_owned(), after.to_owned()));
            let image = ImageFacts { inittab: Some(after.into()), ..ImageFacts::default() };
            assert_eq!(only_text(&image).1, after, "a second time changes nothing");
        }
    }

    #[test]
    fn rc_local_is_the_last_resort() {
        for (before, after) in [
            (None, "#!/bin/sh\n/sbin/up\n"),
            (Some("#!/bin/sh -e\nexit 0\n"), "#!/bin/sh -e\n/sbin/up\nexit 0\n"),
            (Some("#!/bin/sh"), "#!/bin/sh\n/sbin/up\n"),
        ] {
            let image = ImageFacts { rc_local: before.map(Into::into), ..ImageFacts::default() };
            assert_eq!(only_text(&image).1, after);
            let image = ImageFacts { rc_local: Some(after.into()), ..ImageFacts::default() };
            assert_eq!(only_text(&image).1, after, "a second time changes nothing");
        }
    }
}
