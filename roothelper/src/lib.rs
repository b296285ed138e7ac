//! The minimal root helper: what banger asks of root, and nothing else.

mod attached;
pub mod audit;
pub mod authority;
mod base_image;
pub mod call;
mod caller;
pub mod command;
mod config;
pub mod kernel;
mod limits;
mod names;
mod overlay_size;
mod owner;
mod permit;
mod policy;
mod pool;
pub mod server;
mod sweep_all;
mod systemd;
mod undo;
mod verb;
mod vm_lock;
pub mod worker;

#[cfg(test)]
#[path = "../../tests/src/skip.rs"]
#[expect(unreachable_pub, reason = "the tests of the repository show it to their suites")]
mod skip;

pub use base_image::{BaseImage, NotABaseImage};
pub use caller::{Caller, NotACaller};
pub use config::{Config, ConfigError, PATH as CONFIG_PATH};
pub use limits::{LimitExceeded, Limits};
pub use names::{Names, Ownership};
pub use overlay_size::overlay_size;
pub use owner::{NotAnOwner, OwnerUid};
pub use permit::{Gate, Permit};
pub use policy::{Action, Authorisation, Method};
pub use pool::{NotAPool, Pool};
