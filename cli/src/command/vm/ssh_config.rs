//! `banger vm ssh-config`: a Host block a VM, for editors and whoever else speaks ssh.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use banger_proto::{SshIdentity, VmName, VmRef, ssh_path_value};

use crate::bangerd;
use crate::failure::{Failure, Outcome};
use crate::ssh::word;
use crate::terminal::Terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each VM is a host called banger-NAME. Once in a while, or when VMs have come:

  banger ssh-config >~/.ssh/banger.conf

and as the first line of ~/.ssh/config:

  Include banger.conf

The blocks stay true when a VM is stopped and started: its port is asked for at each connection.
They hold no secret, only where the VM's key is.")]
pub(crate) struct Arguments {
    /// Name or id [default: all VMs]
    #[arg(value_name = "VM")]
    vms: Vec<VmRef>,
}

impl Arguments {
    pub(crate) async fn run(self, terminal: Terminal) -> Outcome {
        let program = std::env::current_exe().map_err(Failure::Begin)?;
        let mut client = bangerd::connect(terminal).await?;
        let mut vms = Vec::new();
        for vm in &self.vms {
            vms.push(client.vm(vm).await?);
        }
        if self.vms.is_empty() {
            vms = client.list_vms().await?;
        }
        let mut blocks = Vec::new();
        for vm in vms {
            let identity = client.ssh_identity(&VmRef::from(vm.id)).await?;
            if !blocks.is_empty() {
                blocks.push(b'\n');
            }
            blocks.extend(block(&program, &vm.name, &identity));
        }
        terminal.raw(&blocks)?;
        Ok(0)
    }
}

/// What every VM's block says beside its own.
const FIXED: &str = "  StrictHostKeyChecking yes\n  GlobalKnownHostsFile none\n  \
                     CheckHostIP no\n  UpdateHostKeys no\n  IdentitiesOnly yes\n  \
                     IdentityAgent none\n  PreferredAuthentications publickey\n  \
                     ForwardAgent no\n  ForwardX11 no\n  ControlMaster no\n  LogLevel ERROR\n";

/// The block of a VM. What it says first wins over the user's own blocks for all hosts.
fn block(program: &Path, name: &VmName, identity: &SshIdentity) -> Vec<u8> {
    let SshIdentity { user, identity_file, known_hosts_file, host_key_alias } = identity;
    let mut text = format!("Host banger-{name}\n  HostName banger-{name}\n  User {user}\n");
    text += &format!("  HostKeyAlias {host_key_alias}\n");
    let mut block = text.into_bytes();
    for (keyword, path) in
        [("IdentityFile", identity_file), ("UserKnownHostsFile", known_hosts_file)]
    {
        block.extend_from_slice(format!("  {keyword} ").as_bytes());
        block.extend(ssh_path_value(path));
        block.push(b'\n');
    }
    block.extend_from_slice(FIXED.as_bytes());
    // A line for a shell, which ssh puts exec before, and in which it replaces %x.
    let mut command = Vec::new();
    word(program.as_os_str(), &mut command);
    command.extend_from_slice(b" ssh-proxy ");
    word(OsStr::from_bytes(host_key_alias.to_string().as_bytes()), &mut command);
    block.extend_from_slice(b"  ProxyCommand ");
    for byte in command {
        if byte == b'%' {
            block.push(b'%');
        }
        block.push(byte);
    }
    block.push(b'\n');
    block
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::process::Command;

    use super::*;

    fn identity() -> SshIdentity {
        SshIdentity {
            user: "root".into(),
            identity_file: "/home/ann/a b/100%/x/id".into(),
            known_hosts_file: "/home/ann/a b/100%/known \"hosts\"".into(),
            host_key_alias: "67e55044-10b1-426f-9247-bb680e5fe0c8".parse().unwrap(),
        }
    }

    /// ssh itself is asked what it understood; it connects to nothing with -G.
    #[test]
    fn ssh_understands_a_block_as_it_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let program = Path::new("/home/ann/a b/it's 100%/banger");
        let mut config = block(program, &"web".parse().unwrap(), &identity());
        // The user's own, for all hosts, comes too late.
        config.extend_from_slice(b"Host *\n  ForwardAgent yes\n  User ann\n  HostKeyAlias x\n");
        std::fs::write(&file, config).unwrap();
        let output = Command::new("ssh")
            .args([OsString::from("-G"), "-F".into(), file.into(), "banger-web".into()])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in [
            "user root",
            "hostkeyalias 67e55044-10b1-426f-9247-bb680e5fe0c8",
            "forwardagent no",
            "stricthostkeychecking true",
            "identitiesonly yes",
            "userknownhostsfile /home/ann/a b/100%/known \"hosts\"",
            "proxycommand '/home/ann/a b/it'\\''s 100%%/banger' ssh-proxy '67e55044-10b1-426f-9247-bb680e5fe0c8'",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in\n{text}");
        }
        assert!(text.contains("identityfile /home/ann/a b/100%"), "{text}");
    }
}
