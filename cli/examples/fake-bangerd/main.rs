//! A bangerd without VMs, for the flow tests of the command line: the same socket and the
//! same contract, answers from a script, and a record of what was asked.
//!
//! `$HOME/scenario` holds words, one a line, that make it behave badly; `$HOME/calls` gets
//! a line a call.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a tool of the tests"
)]

mod image;
mod long;
mod scenario;
mod service;
mod streams;

use std::fs;
use std::pin::Pin;
use std::time::Duration;

use banger_proto::paths::{Paths, SocketAddress, private_directory};
use banger_proto::wire::daemon::daemon_server::DaemonServer;
use futures_util::Stream;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Response, Status};

use crate::scenario::{called, home, told};
use crate::service::Fake;

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What it finds on the host.
const CHECKS: &str = r#"[{"group":"virtualization","name":"KVM","state":"warning","found":"none",
"why":"it is slow without","remedy":["sudo modprobe kvm_intel"]}]"#;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--version") => return print!("bangerd {}", env!("CARGO_PKG_VERSION")),
        Some("doctor") => return print!("{CHECKS}"),
        Some("ext4-worker") => return eprint!("{}", image::lines(&arguments[1])),
        _ => {}
    }
    if told("does not start") {
        eprintln!("the state folder is on fire");
        std::process::exit(3);
    }
    // The first of ours still finds the one that is ending.
    let first = fs::OpenOptions::new().create_new(true).write(true).open(home().join("came"));
    if told("runs elsewhere") || (told("another is ending") && first.is_ok()) {
        eprintln!("bangerd runs already as process 7");
        return;
    }
    let paths = Paths::of_this_process().expect("the folders are known");
    private_directory(&paths.runtime).expect("the folder is private");
    let socket = paths.socket();
    if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
        eprintln!("bangerd runs already");
        std::process::exit(1);
    }
    let _stale = fs::remove_file(&socket);
    called("started");
    let listener = UnixListener::bind(SocketAddress::of(&socket).unwrap().path()).unwrap();
    // A test that dies leaves no daemon for long.
    tokio::spawn(async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        std::process::exit(0);
    });
    tonic::transport::Server::builder()
        .serve_with_incoming(DaemonServer::new(Fake), UnixListenerStream::new(listener))
        .await
        .unwrap();
}
