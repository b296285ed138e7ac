//! Images that are damaged on purpose: what the check says beside e2fsck, and what the engine does.

// `cfg(test)` tells clippy that these may panic and print.
#[cfg(test)]
mod allowed;
#[cfg(test)]
mod attack;
#[cfg(test)]
mod compare;
#[cfg(test)]
mod disks;
#[cfg(test)]
#[path = "../../../tests/src/fsck.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is shared with other suites that need more")]
mod fsck;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod images;
#[cfg(test)]
mod mutate;
#[cfg(test)]
#[path = "../../../tests/src/profile.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is shared with other suites that need more")]
mod profile;
#[cfg(test)]
mod random;
#[cfg(test)]
#[path = "../../../tests/src/skip.rs"]
#[expect(unreachable_pub, reason = "it is shared with other suites")]
mod skip;
#[cfg(test)]
mod survey;
#[cfg(test)]
mod verdict;

/// Counts what is allocated, so that bounds on memory can be asserted.
#[cfg(test)]
#[global_allocator]
static MEMORY: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Held by each test: what one takes of memory must not be another's.
#[cfg(test)]
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
