//! A few words with QEMU.

use std::io::{BufRead, BufReader, Error, Result, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long QEMU may think about an answer, and about a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// QEMU's monitor, in its machine-readable form.
#[derive(Debug)]
pub(super) struct Monitor {
    stream: BufReader<UnixStream>,
}

impl Monitor {
    /// Begins the conversation.
    pub(super) fn new(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self { stream: BufReader::new(stream) };
        monitor.next()?;
        monitor.ask("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    fn next(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(Error::other("QEMU has ended"));
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments });
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?;
        loop {
            let mut answer = self.next()?;
            if let Some(error) = answer.get("error") {
                return Err(Error::other(format!("{command}: {error}")));
            }
            // Everything else is news, for which nobody asked.
            if let Some(found) = answer.get_mut("return") {
                return Ok(found.take());
            }
        }
    }

    /// Memory that lies in a file is not copied: the file is the copy.
    fn leave_memory_alone(&mut self) -> Result<()> {
        let capability = json!({ "capability": "x-ignore-shared", "state": true });
        self.ask("migrate-set-capabilities", &json!({ "capabilities": [capability] }))?;
        Ok(())
    }

    /// Waits until `state`, a part of what `query` answers, is `wanted`.
    fn wait_for(&mut self, query: &str, wanted: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(query, &json!({}))?;
            let state = answer.get("status").and_then(Value::as_str).unwrap_or_default();
            if state == wanted {
                return Ok(());
            }
            if ["failed", "internal-error"].contains(&state) || Instant::now() > end {
                return Err(Error::other(format!("{query}: {answer}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Saves the state of the machine's devices with a shell's command, which stops the machine.
    pub(super) fn save(&mut self, command: &str) -> Result<()> {
        self.leave_memory_alone()?;
        self.ask("migrate", &json!({ "uri": format!("exec:{command}") }))?;
        self.wait_for("query-migrate", "completed")
    }

    /// Restores what was saved, and lets the machine run.
    pub(super) fn restore(&mut self, command: &str) -> Result<()> {
        self.leave_memory_alone()?;
        self.ask("migrate-incoming", &json!({ "uri": format!("exec:{command}") }))?;
        self.wait_for("query-status", "running")
    }

    /// Where the processors are: a line each.
    pub(super) fn processors(&mut self) -> Result<String> {
        let command = json!({ "command-line": "info registers -a" });
        let answer = self.ask("human-monitor-command", &command)?;
        let lines = answer.as_str().unwrap_or_default().lines();
        let told: Vec<_> = lines.filter(|line| line.starts_with("RIP=")).collect();
        Ok(told.join("\n"))
    }

    /// Ends QEMU in order.
    pub(super) fn quit(&mut self) -> Result<()> {
        self.ask("quit", &json!({})).map(drop)
    }
}
