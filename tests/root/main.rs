//! Suites that ask the kernel and e2fsprogs; they need root or sudo, and are
//! skipped without.

mod base_image;
mod crash;
mod dirty;
mod edit;
mod format;
mod grow;
mod indirect;
mod ingest;
mod inline;
mod journal;
mod journal_versions;
mod large_dir;
mod loops;
mod model;
mod mutants;
mod network;
mod oracle;
mod orphans;
mod profiles;
mod reader;
mod unjournalled;
mod worker;
