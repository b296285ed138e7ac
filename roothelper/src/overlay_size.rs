//! How long an overlay file must be so that its snapshot can never run full.
//!
//! A persistent snapshot of device-mapper counts in chunks. The first is its header. Then come
//! areas: one chunk of entries of 16 bytes, and a chunk of data for each of them. A snapshot
//! is full when each chunk of its origin has its data there, and once an area is full the
//! kernel clears the entries of the next, which must be there even if no data follows.

/// Bytes of a chunk: those of a block of ext4, so that a guest's write needs nothing of the
/// chunk that it changes to be copied first.
pub(crate) const CHUNK: u64 = 4096;
/// Bytes of an entry.
const ENTRY: u64 = 16;
/// Entries of an area.
const ENTRIES: u64 = CHUNK / ENTRY;

/// Bytes of the overlay file for an origin of so many; `None` for one that no device can have.
#[must_use]
pub const fn overlay_size(origin: u64) -> Option<u64> {
    let data = origin.div_ceil(CHUNK);
    let areas = data / ENTRIES + 1;
    match (1 + areas).checked_add(data) {
        Some(chunks) => chunks.checked_mul(CHUNK),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The chunks that the kernel touches, counted as it does: `dm-snap-persistent.c`.
    fn touched(origin: u64) -> u64 {
        let mut next_free = 2;
        let mut last = 1;
        let mut in_area = 0;
        for _ in 0..origin.div_ceil(CHUNK) {
            last = last.max(next_free);
            next_free += 1;
            // The entries of the next area are skipped, and cleared when this one is full.
            if (next_free - 1) % (ENTRIES + 1) == 0 {
                next_free += 1;
            }
            in_area += 1;
            if in_area == ENTRIES {
                in_area = 0;
                last = last.max(next_free - 1);
            }
        }
        last + 1
    }

    #[test]
    fn the_kernel_never_touches_what_is_not_there() {
        for data in (0..3 * ENTRIES).chain([ENTRIES * ENTRIES, ENTRIES * ENTRIES + 1]) {
            let origin = data * CHUNK;
            assert_eq!(overlay_size(origin), Some(touched(origin) * CHUNK), "{data} chunks");
        }
    }

    #[test]
    fn figures_that_can_be_looked_up() {
        // 256 chunks, an area for them, the entries of the next, a header.
        assert_eq!(overlay_size(1 << 20), Some((256 + 1 + 1 + 1) * CHUNK));
        assert_eq!(overlay_size((1 << 20) + 512), Some((257 + 2 + 1) * CHUNK));
        // 0.4 % more than the origin.
        assert_eq!(overlay_size(4 << 30), Some((4 << 30) + (4097 + 1) * CHUNK));
        assert_eq!(overlay_size(u64::MAX), None);
    }

    proptest! {
        #[test]
        fn a_larger_origin_never_has_a_smaller_overlay(origin in 0u64..1 << 50, more in 0u64..1 << 30) {
            prop_assert!(overlay_size(origin) <= overlay_size(origin + more));
            prop_assert!(overlay_size(origin).unwrap() > origin);
        }
    }
}
