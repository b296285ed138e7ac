//! The real programs as an ordinary user with a fake VMM: no privileges, no guest, seconds.

mod admission;
mod build;
mod config;
mod console;
mod crash;
mod images;
mod instance;
mod life;
mod place;
