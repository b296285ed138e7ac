//! The real server on a real socket, asked by processes and threads of ordinary users; polkit,
//! the log and the kernel are simulated.

mod base_image;
mod closing;
mod crowd;
mod descriptors;
mod exhausted;
mod fuse;
mod identity;
mod leaving;
mod life;
mod messages;
mod raw;
mod snapshots;
mod stage;
mod turned_away;
