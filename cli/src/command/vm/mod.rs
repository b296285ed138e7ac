//! `banger vm ...`, and the same without `vm`.

mod console;
mod cp;
mod create;
mod exec;
mod in_guest;
mod inspect;
mod ip;
mod logs;
mod ls;
mod port;
mod restart;
mod rm;
mod run;
mod set;
mod ssh;
mod ssh_config;
mod ssh_proxy;
mod start;
mod stop;
mod sync;
mod view;
mod wait;

use clap::Subcommand;

pub(crate) use in_guest::NoVariable;
#[cfg(test)]
pub(crate) use {ip::JsonAddress, port::Json as JsonPort, view::Json};

use super::{BANGER_FAILED, FAILED};
use crate::failure::Outcome;
use crate::terminal::Terminal;

/// A command about VMs.
#[derive(Debug, Subcommand)]
pub(crate) enum VmCommand {
    /// Create, start and run a command in a new VM
    Run(run::Arguments),
    /// Create a VM
    Create(create::Arguments),
    /// Start VMs and wait until they answer
    Start(start::Arguments),
    /// Stop VMs; their disks are kept
    Stop(stop::Arguments),
    /// Stop and start VMs
    Restart(restart::Arguments),
    /// Change what a VM has from its next start on
    Set(set::Arguments),
    /// Wait until a VM has stopped, runs, or answers
    Wait(wait::Arguments),
    /// Show a guest's address
    Ip(ip::Arguments),
    /// Show the ports that a VM publishes
    Port(port::Arguments),
    /// List VMs
    #[command(visible_alias = "list")]
    Ls(ls::Arguments),
    /// Show all there is to know about a VM
    Inspect(inspect::Arguments),
    /// Log in to a running VM
    Ssh(ssh::Arguments),
    /// Run a command in a running VM
    Exec(exec::Arguments),
    /// Copy files into or out of a running VM
    Cp(cp::Arguments),
    /// Bring a folder of a VM up to date with one of the host
    Sync(sync::Arguments),
    /// Print a Host block a VM for ssh and editors
    SshConfig(ssh_config::Arguments),
    /// Pass standard input and output on to a VM's sshd
    #[command(hide = true)]
    SshProxy(ssh_proxy::Arguments),
    /// Attach to the serial console of a running VM
    Console(console::Arguments),
    /// Show what a VM wrote to its console
    Logs(logs::Arguments),
    /// Remove VMs and their disks
    #[command(visible_alias = "remove")]
    Rm(rm::Arguments),
}

impl VmCommand {
    pub(crate) const fn failure_code(&self) -> u8 {
        match self {
            Self::Run(_) | Self::Ssh(_) | Self::Exec(_) => BANGER_FAILED,
            _ => FAILED,
        }
    }

    /// An operation belongs to the VM, and not to whoever asked for it.
    pub(crate) const fn when_interrupted(&self) -> &'static str {
        match self {
            Self::Start(_) => {
                "the start goes on: `banger ls` shows it, `banger stop` breaks it off"
            }
            Self::Restart(_) => "the VM goes on stopping or starting: `banger ls` shows it",
            Self::Stop(_) => "the guest goes on shutting down: `banger ls` shows it",
            Self::Rm(_) => "a removal that has begun goes on: `banger ls` shows what is left",
            _ => "",
        }
    }

    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        match self {
            Self::Run(run) => run.run(terminal).await,
            Self::Create(create) => create.run(terminal).await,
            Self::Start(start) => start.run(terminal).await,
            Self::Stop(stop) => stop.run(terminal).await,
            Self::Restart(restart) => restart.run(terminal).await,
            Self::Set(set) => set.run(terminal).await,
            Self::Wait(wait) => wait.run(terminal).await,
            Self::Ip(ip) => ip.run(terminal).await,
            Self::Port(port) => port.run(terminal).await,
            Self::Ls(ls) => ls.run(terminal).await,
            Self::Inspect(inspect) => inspect.run(terminal).await,
            Self::Ssh(ssh) => ssh.run(terminal).await,
            Self::Exec(exec) => exec.run(terminal).await,
            Self::Sync(sync) => sync.run(terminal).await,
            Self::SshConfig(config) => config.run(terminal).await,
            Self::SshProxy(proxy) => proxy.run(terminal).await,
            Self::Cp(cp) => cp.run(terminal).await,
            Self::Console(console) => console.run(terminal).await,
            Self::Logs(logs) => logs.run(terminal).await,
            Self::Rm(rm) => rm.run(terminal).await,
        }
    }
}
