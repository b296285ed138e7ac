//! The minimal root helper, as far as it decides without touching anything: who owns
//! what, under which name, and which request asks polkit for which action.
//!
//! The parts that act (transport, polkit, kernel, the ext4 worker) stand on these.

mod config;
mod limits;
mod names;
mod owner;
mod policy;
mod pool;

pub use config::{Config, ConfigError, PATH as CONFIG_PATH};
pub use limits::{LimitExceeded, Limits};
pub use names::{Names, Ownership};
pub use owner::{NotAnOwner, OwnerUid};
pub use policy::{Action, Authorisation, Method};
pub use pool::{NotAPool, Pool};
