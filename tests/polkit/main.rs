//! The helper's authority beside polkit itself: a bus and a polkitd of the test's own, with
//! what `packaging/` installs, in a mount namespace; and beside a polkit that answers badly.

mod answers;
mod asking;
mod failing;
mod stage;
