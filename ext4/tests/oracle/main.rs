//! The engine beside e2fsprogs and another reader; and images that are wrong on purpose.

// `cfg(test)` tells clippy that these may panic and print.
#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod check;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod layout;
#[cfg(test)]
mod mutants;
#[cfg(test)]
#[path = "../../../tests/src/skip.rs"]
#[expect(unreachable_pub, reason = "it is shared with other suites")]
mod skip;
#[cfg(test)]
mod special;
#[cfg(test)]
mod support;
#[cfg(test)]
mod view;
