//! The only place that starts a program.
