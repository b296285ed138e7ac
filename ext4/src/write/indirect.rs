//! Maps of ext2 and ext3 files: 12 direct pointers and three levels of indirect ones.
//!
//! They are read, so that such files can be removed, replaced, or given an extent
//! tree instead; they are never written.

use std::collections::HashSet;

use super::file_map::FileMap;
use super::volume::Volume;
use crate::layout::inode::Inode;
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
