//! Our check beside e2fsck, on images of every profile: as they are, and damaged at random.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crate::images::{Made, made, missing};
use crate::mutate::Image;
use crate::profile::PROFILES;
use crate::random::{Random, number};
use crate::survey::Survey;
use crate::verdict::{Ours, Theirs, explained};

/// Images of all profiles but those that are the same by another name; or of every so many.
fn all(folder: &Path, every: usize) -> Vec<Made> {
    let mut seen = Vec::new();
    PROFILES
        .iter()
        .skip(number("BANGER_SEED", 1) as usize % every)
        .step_by(every)
        .filter(|profile| {
            // Those with other hashes differ in what follows mke2fs.
            let new = !seen.contains(&profile.arguments) || profile.name.starts_with("hash");
            seen.push(profile.arguments);
            new
        })
        .map(|profile| made(profile.name, folder))
        .collect()
}

/// The four cells of the table, and those of the disagreements that are explained.
#[derive(Default)]
struct Table {
    both_clean: u64,
    both_damaged: u64,
    ours_alone: u64,
    theirs_alone: u64,
    reasons: BTreeMap<&'static str, u64>,
}

impl Table {
    /// Counts an image; an explanation is missing where it gives one back.
    fn count(&mut self, name: &str, ours: &Ours, theirs: &Theirs) -> bool {
        let cell = match (ours.is_clean(), theirs.is_clean()) {
            (true, true) => &mut self.both_clean,
            (false, false) => &mut self.both_damaged,
            (false, true) => &mut self.ours_alone,
            (true, false) => &mut self.theirs_alone,
        };
        *cell += 1;
        if ours.is_clean() == theirs.is_clean() {
            return true;
        }
        let reason = explained(name, ours, theirs);
        if let Some(reason) = reason {
            *self.reasons.entry(reason).or_default() += 1;
        }
        reason.is_some()
    }

    fn print(&self) {
        println!("{:24}{:>16}{:>16}", "", "e2fsck clean", "e2fsck damaged");
        println!("{:24}{:>16}{:>16}", "ours clean", self.both_clean, self.theirs_alone);
        println!("{:24}{:>16}{:>16}", "ours damaged", self.ours_alone, self.both_damaged);
        for (reason, count) in &self.reasons {
            println!("{count:>8}  {reason}");
        }
    }
}

#[test]
fn whole_images_of_every_profile_are_clean_to_both() {
    let _alone = crate::ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if missing() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for image in all(folder.path(), if long() { 1 } else { 6 }) {
        let path = folder.path().join("image");
        std::fs::write(&path, &*image.bytes).unwrap();
        let theirs = Theirs::of(&path);
        assert!(theirs.is_clean(), "{}: {}", image.name, theirs.text);
        let ours = Ours::of(&image.bytes);
        assert!(ours.is_clean(), "{}: {ours}", image.name);
    }
}

/// A run that was asked for, and not a sample in passing.
fn long() -> bool {
    std::env::var_os("BANGER_COMPARED").is_some()
}

/// `BANGER_COMPARED` images from `BANGER_SEED` on.
#[test]
fn damage_is_seen_where_e2fsck_sees_it() {
    compare("check beside e2fsck", 120, |image, random| image.damage(random, false));
}

/// As many, with all damage to inodes that have a number of their own.
#[test]
fn damage_to_special_inodes_is_seen_where_e2fsck_sees_it() {
    compare("check of special inodes beside e2fsck", 60, Image::damage_special);
}

/// `BANGER_KEEP` names a folder for the images whose differences nothing explains.
fn compare(what: &str, sample: u64, damage: fn(&mut Image, &mut Random)) {
    let _alone = crate::ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if missing() {
        return;
    }
    let count = number("BANGER_COMPARED", sample);
    let first = number("BANGER_SEED", 1);
    let folder = tempfile::tempdir().unwrap();
    let images: Vec<(Made, Arc<Survey>)> = all(folder.path(), if long() { 1 } else { 6 })
        .into_iter()
        .map(|image| {
            let survey = Arc::new(Survey::new(&image.bytes));
            (image, survey)
        })
        .collect();
    let path = folder.path().join("image");
    let mut table = Table::default();
    let mut unexplained = 0;
    for seed in first..first + count {
        let mut random = Random::new(seed);
        let (made, survey) = &images[random.index(images.len())];
        let mut image = Image::new((*made.bytes).clone(), Arc::clone(survey));
        damage(&mut image, &mut random);
        std::fs::write(&path, &image.bytes).unwrap();
        let theirs = Theirs::of(&path);
        let ours = Ours::of(&image.bytes);
        if !table.count(&made.name, &ours, &theirs) {
            unexplained += 1;
            if let Some(kept) = std::env::var_os("BANGER_KEEP") {
                std::fs::copy(&path, Path::new(&kept).join(format!("{seed}.img"))).unwrap();
            }
            println!("seed {seed}, {}: {}", made.name, image.done.join("; "));
            println!("--- ours\n{ours}--- e2fsck: {:?}", theirs.code);
            theirs.problems().take(12).for_each(|line| println!("{line}"));
        }
    }
    table.print();
    println!(
        "RESULT {what}: {count} damaged images, {} differences, {unexplained} of them unexplained",
        table.ours_alone + table.theirs_alone,
    );
    assert_eq!(unexplained, 0, "each difference is explained or mended");
}
