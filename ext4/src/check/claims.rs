//! Who has which block: one bit a block, of the groups in which a file has any.

use std::collections::BTreeMap;

use crate::layout::bitmap;
use crate::layout::geometry::{Geometry, MetadataMap};

/// Blocks in use, metadata by its place included.
pub(super) struct Claims<'a> {
    geometry: &'a Geometry,
    metadata: &'a MetadataMap,
    /// Groups in which something was claimed.
    maps: BTreeMap<u32, Vec<u8>>,
    /// Blocks that may still be claimed twice before the check gives up: so the work is
    /// bounded by the size of the filesystem, however often a tree names the same blocks.
    patience: u64,
}

/// What became of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Nobody had any of the blocks.
    Fresh,
    /// The first block that somebody has already.
    Taken(u64),
    /// A block that does not exist.
    Outside(u64),
    /// Too many blocks were taken already: nothing was looked at.
    GaveUp,
}

impl<'a> Claims<'a> {
    pub(super) fn new(geometry: &'a Geometry, metadata: &'a MetadataMap) -> Self {
        let patience = geometry.blocks_count;
        Self { geometry, metadata, maps: BTreeMap::new(), patience }
    }

    /// Claims blocks for somebody.
    pub(super) fn claim(&mut self, start: u64, len: u64) -> Claim {
        let end = start.saturating_add(len);
        let first = u64::from(self.geometry.first_data_block);
        if start <= first || end > self.geometry.blocks_count {
            return Claim::Outside(if start <= first { start } else { end - 1 });
        }
        // Under bigalloc several files' blocks share a bit: that is not looked into. Metadata
        // shares its clusters with nobody.
        if self.geometry.cluster_ratio != 1 {
            let taken = self.metadata.within(start..end).next();
            return taken.map_or(Claim::Fresh, |range| Claim::Taken(range.start));
        }
        if self.patience == 0 {
            return Claim::GaveUp;
        }
        let mut taken = None;
        let mut at = start;
        while at < end {
            let Some((group, index)) = self.geometry.group_of_block(at) else { break };
            let left = u64::from(self.geometry.blocks_per_group - index).min(end - at) as u32;
            let (geometry, metadata) = (self.geometry, self.metadata);
            let map =
                self.maps.entry(group).or_insert_with(|| metadata.synthesise(geometry, group));
            let range = index..index + left;
            let doubles = left - clear_among(map, range.clone());
            if doubles > 0 {
                let set = range.clone().find(|index| bitmap::is_set(map, *index));
                taken = taken.or(set.map(|set| at + u64::from(set - index)));
                self.patience = self.patience.saturating_sub(doubles.into());
            }
            bitmap::set_range(map, range);
            at += u64::from(left);
        }
        taken.map_or(Claim::Fresh, Claim::Taken)
    }

    /// The bitmap that a group should have, and whether any file has blocks in it.
    pub(super) fn map(&self, group: u32) -> (Vec<u8>, bool) {
        match self.maps.get(&group) {
            Some(map) => (map.clone(), true),
            None => (self.metadata.synthesise(self.geometry, group), false),
        }
    }
}

/// Clear bits of a range.
fn clear_among(map: &[u8], range: std::ops::Range<u32>) -> u32 {
    let mut clear = 0;
    let mut index = range.start;
    while index < range.end {
        if index.is_multiple_of(8) && range.end - index >= 8 {
            clear += map.get(index as usize / 8).map_or(0, |byte| byte.count_zeros());
            index += 8;
        } else {
            clear += u32::from(!bitmap::is_set(map, index));
            index += 1;
        }
    }
    clear
}
