//! The helper beneath strace: what it asks the kernel for, and what becomes of it when something happens there.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::hygiene::helper;

const LOG: &str = "/run/trace";

/// A running strace of the helper, its threads and its workers; dropping it lets them go.
#[derive(Debug)]
pub struct Trace(Child);

impl Trace {
    /// Follows the helper, which runs; what it does in a worker too.
    pub fn of_helper(arguments: &[&str]) -> Self {
        let pid = helper().expect("the helper runs");
        let _old = std::fs::remove_file(LOG);
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", LOG])
            .args(arguments)
            .arg("-p")
            .arg(pid.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while !is_traced(pid) {
            assert!(begun.elapsed() < Duration::from_secs(60), "strace does not begin");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(strace)
    }

    /// What was seen so far.
    pub fn seen(&self) -> String {
        std::fs::read_to_string(LOG).unwrap_or_default()
    }

    /// Lets go, and tells what was seen.
    pub fn end(mut self) -> String {
        self.let_go();
        self.seen()
    }

    fn let_go(&mut self) {
        if self.0.try_wait().unwrap().is_none() {
            let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
            kill_process(pid, Signal::TERM).unwrap();
            self.0.wait().unwrap();
        }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.let_go();
    }
}

/// Whether each of its threads is.
fn is_traced(pid: u32) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.filter_map(Result::ok).all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|tracer| tracer.trim() != "0")
    })
}
