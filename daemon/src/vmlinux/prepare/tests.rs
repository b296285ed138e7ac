//! What is kept of an unpacked kernel, and when it is made anew.

use banger_proto::paths::Paths;

use super::*;

struct Place {
    folder: tempfile::TempDir,
    context: Context,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let context = Context::new(Paths {
            state: at("state"),
            data: at("data"),
            cache: at("cache"),
            runtime: at("runtime"),
            config: at("config"),
            system_config: at("system"),
        });
        let place = Self { folder, context };
        fs::create_dir_all(place.image().directory()).unwrap();
        for file in [place.image().kernel(), place.image().rootfs(), place.image().initrd()] {
            fs::write(file, "1").unwrap();
        }
        place
    }

    fn image(&self) -> ImageFiles {
        ImageFiles::in_directory(&self.folder.path().join("data/images/debian"))
    }

    /// What a worker would have written, taken over.
    fn make(&self, boots: Boots) -> Unpacked {
        let image = self.image();
        let new = New::begin(&self.context, &image);
        let outputs = Outputs {
            kernel: private(&new.kernel).unwrap(),
            initrd: private(&new.initrd).unwrap(),
        };
        let made_from = sources(&image, OwnInitrd::Found).unwrap();
        let known = Unpacked { made_from, boots };
        assert_eq!(self.context.claimed().len(), 3, "nobody takes it for garbage");
        finish(&image, &new, &outputs, &known).unwrap();
        known
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.image().directory()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.contains("vmlinux"));
        names.sort_unstable();
        names
    }
}

#[test]
fn what_was_made_is_kept_until_what_it_is_made_from_changes() {
    let place = Place::new();
    let image = place.image();
    let found = || Unpacked::of(&image, OwnInitrd::Found);
    assert_eq!(found(), None);
    let known = place.make(Boots::Made);
    assert_eq!(place.names(), ["vmlinux", "vmlinux.initrd", "vmlinux.json"]);
    assert_eq!(found().as_ref(), Some(&known));
    assert_eq!(known.initrd(&image).unwrap(), Some(image.vmlinux_initrd()));
    assert_eq!(Unpacked::files(&image).len(), 3);
    assert!(place.context.claimed().is_empty());

    assert_eq!(Unpacked::of(&image, OwnInitrd::Given), None, "another one may be chosen now");
    for file in [image.kernel(), image.rootfs(), image.initrd()] {
        let known = place.make(Boots::Made);
        assert_eq!(found(), Some(known));
        fs::write(file, "another").unwrap();
        assert_eq!(found(), None);
    }
    for file in [image.vmlinux(), image.vmlinux_initrd(), image.vmlinux_facts()] {
        let known = place.make(Boots::Made);
        assert_eq!(found(), Some(known));
        fs::remove_file(file).unwrap();
        assert_eq!(found(), None);
    }
    place.make(Boots::Made);
    // As a bangerd without initial RAM disks of its own left it.
    fs::write(image.vmlinux_facts(), r#"{"mmio":true}"#).unwrap();
    assert_eq!(found(), None);
    assert_eq!(Unpacked::files(&image).len(), 2);
}

#[test]
fn one_that_is_not_in_use_goes_and_so_does_what_is_not_whole() {
    let place = Place::new();
    let image = place.image();
    place.make(Boots::Made);
    for (boots, initrd) in [(Boots::Own, Some(image.initrd())), (Boots::Alone, None)] {
        let known = place.make(boots);
        assert_eq!(place.names(), ["vmlinux", "vmlinux.json"]);
        assert_eq!((known.initrd(&image).unwrap(), known.trouble()), (initrd, None));
    }
    let refused = place.make(Boots::Not("it has no ext4".into()));
    assert_eq!(refused.trouble(), Some("it has no ext4"));
    let refusal = refused.initrd(&image).unwrap_err();
    assert_eq!(
        (refusal.code, &refusal.chain[..]),
        (Code::FailedPrecondition, &["it has no ext4".to_owned()][..])
    );
    assert_eq!(Unpacked::of(&image, OwnInitrd::Found), Some(refused), "it is not tried again");

    // Cut off by a kill: nothing has its name; by an error: nothing is left.
    let new = New::begin(&place.context, &image);
    for path in [&new.kernel, &new.initrd, &new.facts] {
        private(path).unwrap();
        private(path).unwrap();
    }
    assert_eq!(place.names().len(), 5);
    drop(new);
    assert_eq!(place.names(), ["vmlinux", "vmlinux.json"]);
}
