//! Maps of ext2 and ext3 files: 12 direct pointers and three levels of indirect ones.
//!
//! A filesystem without extents gets all its maps so. Where it has them, old files keep
//! theirs until they change: then they are given an extent tree instead.

use std::collections::HashSet;
use std::vec::IntoIter;

use super::file_map::FileMap;
use super::volume::Volume;
use crate::layout::inode::{FLAG_EXTENTS, Inode};
use crate::{Error, Result, le};

/// Pointers to data in the inode itself.
const DIRECT: usize = 12;

impl Volume {
    pub(super) fn load_indirect_map(&mut self, ino: u32, inode: &Inode) -> Result<FileMap> {
        let mut walk = Walk { map: FileMap::default(), seen: HashSet::new(), next: 0, ino };
        let pointers = inode.i_block();
        for n in 0..DIRECT {
            walk.data(le::get_or_zero(&pointers, n * 4))?;
        }
        for level in 1..=3 {
            let pointer = le::get_or_zero(&pointers, (DIRECT + level - 1) * 4);
            self.indirect(&mut walk, pointer, level as u32)?;
        }
        Ok(walk.map)
    }

    /// Writes the map into the inode, with as few blocks of pointers as hold it. Those of
    /// the old map are used again, or freed.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::TooLarge`] beyond what three levels reach.
    pub(super) fn store_indirect_map(
        &mut self,
        inode: &mut Inode,
        map: &mut FileMap,
    ) -> Result<()> {
        let per_block = u64::from(self.geometry.block_size / 4);
        let mut plan = Plan {
            per_block,
            goal: map.end().map_or(0, |(_, goal)| goal),
            spare: std::mem::take(&mut map.nodes).into_iter(),
            used: Vec::new(),
        };
        let mut pointers = [0; 60];
        for n in 0..DIRECT {
            let block = map.block(n as u32).map_or(Ok(0), pointer)?;
            le::put(&mut pointers, n * 4, block);
        }
        let mut first = DIRECT as u64;
        for level in 1..=3 {
            let block = self.store_pointers(&mut plan, map, first, level)?;
            le::put(&mut pointers, (DIRECT + level as usize - 1) * 4, block);
            first += per_block.pow(level);
        }
        if map.extents.last().is_some_and(|last| last.end() > first) {
            let limit = first * u64::from(self.geometry.block_size);
            return Err(Error::TooLarge { what: "a file without extents".to_owned(), limit });
        }
        let Plan { spare, used, .. } = plan;
        map.nodes = used;
        for block in spare {
            self.free_run(block..block + 1)?;
        }
        inode.set_i_block(&pointers);
        inode.set_i_flags(inode.i_flags() & !FLAG_EXTENTS);
        Ok(())
    }

    /// Writes the blocks of pointers for what lies from block `first` of the file on, as far
    /// as `level` levels reach. Zero, which is a hole, when nothing does.
    fn store_pointers(
        &mut self,
        plan: &mut Plan,
        map: &FileMap,
        first: u64,
        level: u32,
    ) -> Result<u32> {
        let end = first + plan.per_block.pow(level);
        let from = map.extents.partition_point(|extent| extent.end() <= first);
        let here = map.extents.get(from..).unwrap_or_default();
        let here = here.iter().take_while(|extent| u64::from(extent.block) < end);
        if here.clone().next().is_none() {
            return Ok(0);
        }
        let node = match plan.spare.next() {
            Some(block) => block,
            None => self.allocate_block(plan.goal)?,
        };
        plan.used.push(node);
        let mut bytes = vec![0; self.geometry.block_size as usize];
        if level == 1 {
            for extent in here {
                let start = u64::from(extent.block);
                for logical in start.max(first)..extent.end().min(end) {
                    let block = pointer(extent.start + (logical - start))?;
                    le::put(&mut bytes, (logical - first) as usize * 4, block);
                }
            }
        } else {
            let below = plan.per_block.pow(level - 1);
            for (n, start) in (first..end).step_by(below as usize).enumerate() {
                let block = self.store_pointers(plan, map, start, level - 1)?;
                le::put(&mut bytes, n * 4, block);
            }
        }
        self.blocks.fresh(node)?.copy_from_slice(&bytes);
        pointer(node)
    }

    fn indirect(&mut self, walk: &mut Walk, pointer: u32, level: u32) -> Result<()> {
        let per_block = u64::from(self.geometry.block_size / 4);
        if pointer == 0 {
            walk.next += per_block.pow(level);
            return Ok(());
        }
        let block = u64::from(pointer);
        if !self.geometry.is_data_block(block) || !walk.seen.insert(block) {
            return Err(walk.damaged(block));
        }
        walk.map.nodes.push(block);
        let bytes = self.blocks.read(block)?.to_vec();
        for pointer in bytes.chunks_exact(4).map(|word| le::get_or_zero(word, 0)) {
            if level == 1 {
                walk.data(pointer)?;
            } else {
                self.indirect(walk, pointer, level - 1)?;
            }
        }
        Ok(())
    }
}

/// The writing of one map.
struct Plan {
    /// Pointers in a block.
    per_block: u64,
    /// The best place for a new block.
    goal: u64,
    /// Blocks of the old map that were not used again yet, and those that are in use.
    spare: IntoIter<u64>,
    used: Vec<u64>,
}

/// A block's number as a pointer, which has 32 bits.
fn pointer(block: u64) -> Result<u32> {
    u32::try_from(block).map_err(|_| Error::NoSpace {
        what: "a file without extents reaches only the first 4,294,967,296 blocks".to_owned(),
    })
}

struct Walk {
    map: FileMap,
    seen: HashSet<u64>,
    /// The block of the file that comes next.
    next: u64,
    ino: u32,
}

impl Walk {
    fn data(&mut self, pointer: u32) -> Result<()> {
        if pointer != 0 {
            let block = u64::from(pointer);
            let logical = u32::try_from(self.next).map_err(|_| self.damaged(block))?;
            self.map.append(logical, block..block + 1);
        }
        self.next += 1;
        Ok(())
    }

    fn damaged(&self, block: u64) -> Error {
        Error::Corrupt { what: format!("inode {}: block {block} cannot be its", self.ino) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Disk, FormatOptions, MemoryDisk, Overlay, Timestamp, format};

    #[test]
    fn what_is_written_is_read_again_and_nothing_is_lost() {
        let disk: Arc<dyn Disk> = Arc::new(MemoryDisk::from(vec![0; 8 << 20]));
        let now = Timestamp { seconds: 1, nanoseconds: 0 };
        let options =
            FormatOptions { block_size: Some(1024), ..FormatOptions::new([1; 16], [2; 16], now) };
        format(&*disk, &options).unwrap();
        let overlay = Arc::new(Overlay::new(disk, 1024));
        let mut volume = Volume::open(overlay, false).unwrap();
        let (_, mut inode) = volume.allocate_inode(2, false).unwrap();
        let mut map = FileMap::default();
        let free = |volume: &Volume| -> u64 {
            volume.groups.iter().map(|g| u64::from(g.descriptor.free_blocks_count())).sum()
        };
        let before = free(&volume);
        // Every level has data: 12 direct blocks, 256, 256 squared, 256 cubed.
        for (logical, blocks) in
            [(0, 3), (11, 2), (100, 1), (267, 2), (5000, 600), (70_000, 1), (9_000_000, 2)]
        {
            let run = volume.allocate_run(4000, blocks).unwrap();
            assert_eq!(run.end - run.start, u64::from(blocks));
            map.append(logical, run);
            volume.store_indirect_map(&mut inode, &mut map).unwrap();
            let read = volume.load_indirect_map(12, &inode).unwrap();
            assert_eq!(read, map, "{logical}");
            assert_eq!(free(&volume), before - map.blocks(), "{logical}");
        }
        // Shorter again: the blocks of pointers that are not needed any more are free.
        map.extents.truncate(2);
        volume.store_indirect_map(&mut inode, &mut map).unwrap();
        assert_eq!(map.nodes.len(), 1);
        assert_eq!(volume.load_indirect_map(12, &inode).unwrap(), map);
        let far =
            crate::layout::extent::Extent { block: 1 << 31, len: 1, start: 5000, unwritten: false };
        map.extents.push(far);
        assert!(volume.store_indirect_map(&mut inode, &mut map).is_err());
    }
}
