//! What the helper does, one file a call: each takes the permit of that very call.

mod describe;

pub(crate) use describe::describe;
