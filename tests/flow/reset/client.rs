//! A client that does one thing after another until it is stopped.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Numbers;
use super::model::Model;
use crate::place::Place;

/// Most VMs, and images, that a client keeps.
const MOST: usize = 3;

/// One client, with things of its own.
pub struct Client<'a> {
    place: &'a Place,
    index: u64,
    tar: PathBuf,
    numbers: Numbers,
    made: u64,
    pub vms: Model,
    pub images: Model,
}

/// What the files of an image hold.
pub fn fingerprint(place: &Place, image: &str) -> String {
    let folder = place.owner.images().join(image);
    for file in ["image.json", "rootfs.ext4", "rootfs.work-seed.ext4", "vmlinuz", "initrd"] {
        assert!(folder.join(file).is_file(), "{image} has no {file}");
    }
    // By way of tar, which skips holes: a seed is half a GiB of them.
    let read = "set -o pipefail; tar --create --sparse --sort=name . | sha256sum";
    // Who reads the owner's files may be killed with everything else, and reads again.
    for _ in 0..100 {
        let mut command = Command::new("bash");
        let output = command.args(["-c", read]).current_dir(&folder).output().unwrap();
        if output.status.success() {
            return String::from_utf8(output.stdout).unwrap();
        }
    }
    panic!("{image} cannot be read in peace")
}

impl<'a> Client<'a> {
    pub fn new(place: &'a Place, index: u64, tar: PathBuf, numbers: Numbers) -> Self {
        let (vms, images) = (Model::default(), Model::default());
        Self { place, index, tar, numbers, made: 0, vms, images }
    }

    /// Whether `banger` did it.
    fn does(&self, arguments: &[&str]) -> bool {
        self.place.owner.run(arguments).status.success()
    }

    /// A name that was never used.
    fn name(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}{}-{}", self.index, self.made)
    }

    fn one_of(&mut self, names: &[String]) -> Option<String> {
        let count = u64::try_from(names.len()).unwrap();
        (count > 0).then(|| names[usize::try_from(self.numbers.below(count)).unwrap()].clone())
    }

    /// Does one thing after another until it is told to stop.
    pub fn work(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            let (vms, images) = (self.vms.present(), self.images.present());
            let vm = self.one_of(&vms);
            match (self.numbers.below(16), vm) {
                (0..=3, _) if vms.len() < MOST => self.create(),
                (4..=7, Some(vm)) => {
                    self.does(&["vm", "start", &vm]);
                }
                (8, Some(vm)) => {
                    self.does(&["vm", "stop", "--timeout", "0", &vm]);
                }
                (9, Some(vm)) => {
                    self.does(&["vm", "restart", &vm]);
                }
                (10, Some(vm)) => {
                    let disk = format!("{}M", 64 + 16 * self.numbers.below(8));
                    self.does(&["vm", "set", &vm, "--memory", "300M", "--disk", &disk]);
                }
                (11, Some(vm)) => self.remove(&vm),
                (12, _) if images.len() < MOST => self.import(),
                (13, _) => {
                    if let Some(image) = self.one_of(&images) {
                        self.remove_image(&image);
                    }
                }
                (14, _) => {
                    self.does(&["gc"]);
                }
                (15, _) => {
                    let name = self.name("run");
                    self.does(&["run", "--rm", "--image", "tiny", "--name", &name, "--", "true"]);
                    // Whatever came of it, nothing of it stays.
                    self.vms.gone(&name);
                }
                _ => {}
            }
        }
    }

    fn create(&mut self) {
        let name = self.name("vm");
        self.vms.unsure(&name);
        let create =
            ["vm", "create", "--image", "tiny", "--disk", "64M", "--memory", "256M", "--name"];
        if self.does(&[&create[..], &[&name]].concat()) {
            self.vms.there(&name, "");
        }
    }

    fn remove(&mut self, name: &str) {
        self.vms.unsure(name);
        if self.does(&["vm", "rm", "--force", name]) {
            self.vms.gone(name);
        }
    }

    fn import(&mut self) {
        let name = self.name("image");
        self.images.unsure(&name);
        let tar = self.tar.to_str().unwrap().to_owned();
        if self.does(&["image", "import", &name, &tar, "--size", "32M"]) {
            let content = fingerprint(self.place, &name);
            self.images.there(&name, &content);
        }
    }

    fn remove_image(&mut self, name: &str) {
        self.images.unsure(name);
        if self.does(&["image", "rm", name]) {
            self.images.gone(name);
        }
    }
}
