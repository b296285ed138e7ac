//! The ext4 worker: this very program once more, started by the command line with an image that
//! its user has opened, and without a way to anything else.
//!
//! ```text
//! banger ext4 VERB IMAGE ──opens the image──> bangerd ext4-worker VERB PATH
//!                          standard input     the image
//!                          standard output    where content goes, the folder that files are
//!                                             made in, or what is put into the image
//!                          standard error     lines of JSON: entries, figures, why it failed
//! ```
//!
//! It has the rights of who typed the command, so that nobody is ever helped to a file that is
//! not theirs; and once it has looked at the image from outside it gives up all but these three.

mod image;
mod list;
mod put;
mod request;
mod worker;

pub(crate) use worker::{ARGUMENT, run};
