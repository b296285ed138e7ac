//! Damage with a purpose: fields by their meaning, with the checksums made right behind it.

mod directory;
mod fields;
mod inode;
mod journal;
mod map;
mod place;
mod special;
mod sums;
mod xattr;

use std::sync::Arc;

use crate::random::Random;
use crate::survey::{Block, Survey, What};

/// An image that is being damaged.
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) survey: Arc<Survey>,
    /// What was done to it, for people.
    pub(crate) done: Vec<String>,
}

/// A kind of damage; false when the image has nothing that it could be done to.
type Mutation = fn(&mut Image, &mut Random) -> bool;

/// All kinds, with how often each is tried.
const MUTATIONS: &[(u64, Mutation)] = &[
    (6, fields::superblock),
    (5, fields::descriptor),
    (4, fields::bitmap),
    (2, fields::backup),
    (10, inode::field),
    (3, inode::root_of_map),
    (2, inode::unused_inode),
    (2, inode::orphan_list),
    (7, map::extent_node),
    (4, map::pointers),
    (10, directory::entry),
    (2, directory::link),
    (2, directory::duplicate),
    (7, directory::index),
    (3, directory::orphan_file),
    (5, xattr::in_inode),
    (5, xattr::in_block),
    (2, xattr::share),
    (3, journal::superblock),
    (5, journal::log),
    (2, place::copy_block),
    (1, place::zero_block),
    (2, place::random_bytes),
];
/// Kinds that are about the journal alone: tried more often on images with a log.
const JOURNAL: &[Mutation] = &[journal::superblock, journal::log];

impl Image {
    pub(crate) fn new(bytes: Vec<u8>, survey: Arc<Survey>) -> Self {
        Self { bytes, survey, done: Vec::new() }
    }

    /// Does one to four kinds of damage.
    pub(crate) fn damage(&mut self, random: &mut Random, log: bool) {
        let many = if random.one_in(2) { 1 } else { 1 + random.below(4) };
        for _ in 0..many {
            if log && random.one_in(2) {
                let mutation = random.pick(JOURNAL);
                mutation(self, random);
                continue;
            }
            // One of them always finds something.
            while !pick(random)(self, random) {}
        }
    }

    /// Damages what has a number of its own, which the other kinds seldom meet.
    pub(crate) fn damage_special(&mut self, random: &mut Random) {
        special::damage(self, random);
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    /// Any block of one of these kinds.
    fn block(&self, random: &mut Random, kinds: &[What]) -> Option<Block> {
        let fitting: Vec<Block> =
            self.survey.blocks.iter().filter(|b| kinds.contains(&b.what)).copied().collect();
        (!fitting.is_empty()).then(|| random.pick(&fitting))
    }

    fn range(&self, number: u64) -> std::ops::Range<usize> {
        let size = self.survey.block_size();
        let start = number as usize * size;
        start..start + size
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from(self.u16(at)) | u32::from(self.u16(at + 2)) << 16
    }

    /// Writes the low bytes of a value.
    fn put(&mut self, at: usize, width: usize, value: u64) {
        if let Some(to) = self.bytes.get_mut(at..at + width) {
            to.copy_from_slice(&value.to_le_bytes()[..width]);
        }
    }

    fn get(&self, at: usize, width: usize) -> u64 {
        (0..width).rev().fold(0, |value, n| value << 8 | u64::from(self.bytes[at + n]))
    }

    /// A value that breaks assumptions, in place of another of `width` bytes.
    fn value(&self, random: &mut Random, old: u64, width: usize) -> u64 {
        let most = u64::MAX >> (64 - 8 * width);
        let blocks = self.survey.geometry.blocks_count;
        let value = match random.below(14) {
            0 => 0,
            1 => most,
            2 => most >> 1,
            3 => 1 << random.below(8 * width as u64),
            4 => old.wrapping_add(1),
            5 => old.wrapping_sub(1),
            6 => old ^ 1 << random.below(8 * width as u64),
            7 => random.below(32),
            8 => self.some_block(random),
            9 => u64::from(self.some_ino(random)),
            10 => blocks.wrapping_add(random.below(3)).wrapping_sub(1),
            11 => random.below(blocks + 1),
            12 => old << 1,
            _ => random.below(1 << 48),
        };
        value & most
    }

    /// A block that something lies in.
    fn some_block(&self, random: &mut Random) -> u64 {
        let (bitmap, inodes, table) = random.pick(&self.survey.groups);
        match random.below(8) {
            0 => random.below(3),
            1 => bitmap,
            2 => inodes,
            3 => table,
            4 => self
                .survey
                .journal
                .as_ref()
                .and_then(|j| j.block(random.below(9)).ok())
                .unwrap_or(0),
            _ => match self.survey.blocks.len() {
                0 => 1,
                len => self.survey.blocks[random.index(len)].number,
            },
        }
    }

    fn some_ino(&self, random: &mut Random) -> u32 {
        match random.below(6) {
            0 => random.below(14) as u32,
            1 => self.survey.geometry.inodes_count + random.below(2) as u32,
            _ => {
                let n = random.index(self.survey.inodes.len());
                self.survey.inodes[n].ino
            }
        }
    }
}

fn pick(random: &mut Random) -> Mutation {
    let all: u64 = MUTATIONS.iter().map(|(weight, _)| weight).sum();
    let mut left = random.below(all);
    for (weight, mutation) in MUTATIONS {
        if left < *weight {
            return *mutation;
        }
        left -= weight;
    }
    fields::superblock
}
