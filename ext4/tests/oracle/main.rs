//! The engine beside e2fsprogs, the kernel and other readers.

// `cfg(test)` tells clippy that these may panic and print.
#[cfg(test)]
mod layout;
#[cfg(test)]
mod support;
