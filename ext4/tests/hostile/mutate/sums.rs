//! Checksums made right again behind damage, as somebody who means harm would.

use banger_ext4::journal::superblock::{INCOMPAT_CSUM_V2, INCOMPAT_CSUM_V3, JBD2_MAGIC};
use banger_ext4::layout::checksum::{Checksums, GroupChecksum, crc32c};
use banger_ext4::layout::group::GroupDescriptor;
use banger_ext4::layout::superblock::{SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE};
use banger_ext4::layout::{bitmap, directory, htree};

use super::Image;
use crate::survey::{Block, What};

/// The superblock's field and width of its checksum.
const SUPERBLOCK_SUM: usize = SUPERBLOCK_OFFSET as usize + SUPERBLOCK_SIZE - 4;

impl Image {
    fn sums(&self) -> Checksums {
        self.survey.checksums
    }

    pub(super) fn sum_superblock(&mut self, at: usize) {
        if self.sums().metadata {
            let sum = crc32c(!0, &self.bytes[at..at + SUPERBLOCK_SIZE - 4]);
            self.put(at + SUPERBLOCK_SUM - SUPERBLOCK_OFFSET as usize, 4, sum.into());
        }
    }

    /// Byte offset of a group's descriptor.
    pub(super) fn descriptor_at(&self, group: u32) -> usize {
        let geometry = &self.survey.geometry;
        let per_block = geometry.descs_per_block();
        let block = geometry.offset(geometry.gdt_block(group / per_block)) as usize;
        block + (group % per_block) as usize * usize::from(geometry.desc_size)
    }

    pub(super) fn sum_descriptor(&mut self, group: u32) {
        let at = self.descriptor_at(group);
        let size = usize::from(self.survey.geometry.desc_size);
        let sums = self.sums();
        let blind = Checksums { group: GroupChecksum::None, ..sums };
        let parsed = GroupDescriptor::parse(&self.bytes[at..at + size], group, &blind).unwrap();
        let encoded = parsed.encode(group, &sums);
        self.bytes[at..at + size].copy_from_slice(&encoded);
    }

    /// A block or inode bitmap's checksum, which lies in the descriptor.
    pub(super) fn sum_bitmap(&mut self, group: u32, blocks: bool) {
        let at = self.descriptor_at(group);
        let geometry = self.survey.geometry;
        let size = usize::from(geometry.desc_size);
        let sums = self.sums();
        let blind = Checksums { group: GroupChecksum::None, ..sums };
        let mut parsed = GroupDescriptor::parse(&self.bytes[at..at + size], group, &blind).unwrap();
        let (of_blocks, of_inodes, _) = self.survey.groups[group as usize];
        let number = if blocks { of_blocks } else { of_inodes };
        let map = &self.bytes[self.range(number)];
        if blocks {
            bitmap::sum_block_bitmap(map, geometry.clusters_per_group, &mut parsed, &sums);
        } else {
            bitmap::sum_inode_bitmap(map, geometry.inodes_per_group, &mut parsed, &sums);
        }
        let encoded = parsed.encode(group, &sums);
        self.bytes[at..at + size].copy_from_slice(&encoded);
    }

    /// An inode's, by hand: it may say anything of its own length.
    pub(super) fn sum_inode(&mut self, ino: u32, at: usize) {
        if !self.sums().metadata {
            return;
        }
        let size = usize::from(self.survey.geometry.inode_size);
        let mut raw = self.bytes[at..at + size].to_vec();
        let high = size > 128 && u16::from_le_bytes([raw[0x80], raw[0x81]]) >= 4;
        raw[0x7c..0x7e].fill(0);
        if high {
            raw[0x82..0x84].fill(0);
        }
        let generation = self.u32(at + 0x64);
        let sum = crc32c(self.sums().inode_seed(ino, generation), &raw);
        self.put(at + 0x7c, 2, sum.into());
        if high {
            self.put(at + 0x82, 2, u64::from(sum >> 16));
        }
    }

    /// Any block of metadata that has a checksum of its own.
    pub(super) fn sum_block(&mut self, block: Block) {
        if !self.sums().metadata {
            return;
        }
        let owner = &self.survey.inodes[block.owner];
        let seed = self.sums().inode_seed(owner.ino, owner.generation);
        let range = self.range(block.number);
        let number = block.number.to_le_bytes();
        let seed_of_all = self.sums().seed;
        let bytes = &mut self.bytes[range];
        match block.what {
            What::Pointers => {}
            What::Leaf => directory::put_tail(bytes, seed),
            What::ExtentNode => {
                let max = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
                let tail = 12 + 12 * max;
                if let Some(covered) = bytes.get(..tail) {
                    let sum = crc32c(seed, covered);
                    write(bytes, tail, sum);
                }
            }
            What::IndexRoot | What::IndexNode => {
                let root = block.what == What::IndexRoot;
                let start = if root { htree::ROOT_ENTRIES } else { htree::NODE_ENTRIES };
                let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
                let (limit, count) = (word(start), word(start + 2));
                let tail = start + 8 * limit;
                let used = bytes.get(..start + 8 * count);
                let (Some(used), Some(reserved)) = (used, bytes.get(tail..tail + 4)) else {
                    return;
                };
                let sum = crc32c(crc32c(crc32c(seed, used), reserved), &[0; 4]);
                write(bytes, tail + 4, sum);
            }
            What::Xattrs => {
                let before = crc32c(crc32c(seed_of_all, &number), &bytes[..16]);
                let sum = crc32c(crc32c(before, &[0; 4]), &bytes[20..]);
                write(bytes, 16, sum);
            }
            What::OrphanFile => {
                let tail = bytes.len() - 8;
                let sum = crc32c(crc32c(seed, &number), &bytes[..tail]);
                write(bytes, tail + 4, sum);
            }
        }
    }

    /// The journal's superblock.
    pub(super) fn sum_journal(&mut self, at: usize) {
        let features = u32::from_be_bytes(self.bytes[at + 0x28..at + 0x2c].try_into().unwrap());
        if features & (INCOMPAT_CSUM_V2 | INCOMPAT_CSUM_V3) == 0 {
            return;
        }
        self.bytes[at + 0xfc..at + 0x100].fill(0);
        let sum = crc32c(!0, &self.bytes[at..at + 1024]);
        self.bytes[at + 0xfc..at + 0x100].copy_from_slice(&sum.to_be_bytes());
    }

    /// A block of the log that the journal itself owns: of descriptors, revokes, a commit.
    pub(super) fn sum_log_block(&mut self, at: usize, seed: u32) {
        let size = self.survey.block_size();
        let word =
            |n: usize| u32::from_be_bytes(self.bytes[at + n..at + n + 4].try_into().unwrap());
        if word(0) != JBD2_MAGIC {
            return;
        }
        let place = if word(4) == 2 { 0x10 } else { size - 4 };
        self.bytes[at + place..at + place + 4].fill(0);
        let sum = crc32c(seed, &self.bytes[at..at + size]);
        self.bytes[at + place..at + place + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

fn write(bytes: &mut [u8], at: usize, sum: u32) {
    if let Some(to) = bytes.get_mut(at..at + 4) {
        to.copy_from_slice(&sum.to_le_bytes());
    }
}
