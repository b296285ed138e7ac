//! The real programs as an ordinary user with a fake VMM: no privileges, no guest, seconds.

mod admission;
mod bad_names;
mod bad_tar;
mod build;
mod change;
mod config;
mod confinement;
mod console;
mod crash;
mod doctor;
mod ext4;
mod forward;
mod full_disk;
mod garbage;
mod helper;
mod images;
mod instance;
mod life;
mod logs;
mod many_entries;
mod network;
mod place;
mod reset;
mod shares;
mod size;
mod vmlinux;
