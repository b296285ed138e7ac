//! Why a guest does not answer, by what its console says: pure.
//!
//! The guest writes its console, so that nothing in it is to be believed: it chooses the
//! words that its owner reads of it, and nothing else.

/// What is known beside the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vmm<'a> {
    /// It runs.
    Runs,
    /// It has ended, and said this last.
    Ended(&'a str),
}

/// What became of a guest that does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// Its kernel panicked, for this reason.
    Panicked(String),
    /// The first process that bangerd gave it did not come to its init, for this reason.
    NoInit(String),
    /// It shut itself down, or restarted, which ends its VMM.
    ShutDown,
    /// Its VMM ended, and said this last.
    VmmDied(String),
    /// It has said nothing at all.
    Silent,
    /// Its kernel runs, and has not reached an init.
    InKernel,
    /// Its initial RAM disk runs, and has given up on the root filesystem.
    InInitrd,
    /// Its init has given up and asks for help.
    Emergency,
    /// Its init runs, and its network did not come up, for this reason.
    NoNetwork(String),
    /// Its network came up.
    NoSshd,
    /// It has no network, and did not say that it has booted.
    NotReady,
}

/// What the guest said of its network.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Network {
    Up,
    /// It can be reached, and reaches nothing itself.
    NoWayOut(String),
    Failed(String),
}

/// How the line begins in which a guest says what became of its network.
const NETWORK: &str = "banger-network: ";
/// What is only said by an init, or by what it runs.
const USERSPACE: &[&str] = &[
    "systemd[1]:",
    "Welcome to ",
    "[  OK  ]",
    "[FAILED]",
    "[DEPEND]",
    "Starting ",
    "Started ",
    "Reached target",
    "OpenRC ",
    "INIT: ",
    "login:",
    "A start job is running",
    "A stop job is running",
];
/// What is said by an init that has given up.
const EMERGENCY: &[&str] = &[
    "You are in emergency mode",
    "You are in rescue mode",
    "Give root password for maintenance",
    "Cannot open access to console, the root account is locked",
];
/// What is said by an initial RAM disk that has given up.
const INITRD: &[&str] = &[
    "(initramfs)",
    "Gave up waiting for root",
    "ALERT!",
    "dracut-initqueue: timeout",
    "Entering emergency mode. Exit the shell to continue.",
    "/bin/sh: can't access tty; job control turned off",
];
const PANIC: &str = "Kernel panic - not syncing";
/// How the line begins in which the first process that bangerd gave it says what it fails at.
const NO_INIT: &str = "banger-init: cannot ";

/// The last thing that a guest said of its network.
fn network(console: &str) -> Option<Network> {
    let line = console.lines().rev().find_map(|line| line.split_once(NETWORK))?.1.trim();
    let after = |start: &str| line.strip_prefix(start).map(|rest| rest.trim().to_owned());
    after("no way out:")
        .map(Network::NoWayOut)
        .or_else(|| after("failed:").map(Network::Failed))
        .or_else(|| after("up:").map(|_| Network::Up))
}

/// What is wrong with the network of a guest that answers: it can be reached, and that is
/// all.
#[must_use]
pub fn flaw(console: &str) -> Option<String> {
    match network(console)? {
        Network::Up => None,
        Network::NoWayOut(why) | Network::Failed(why) => Some(why),
    }
}

/// A few lines before a panic, and what it says then: `most` lines.
#[must_use]
pub fn panic(console: &str, most: usize) -> String {
    let lines: Vec<_> = console.lines().filter(|line| !line.trim().is_empty()).collect();
    let at = lines.iter().position(|line| line.contains(PANIC)).unwrap_or(lines.len());
    let from = at.saturating_sub(most / 2);
    lines.get(from..lines.len().min(from + most)).unwrap_or_default().join("\n")
}

/// Why a guest does not answer.
#[must_use]
pub fn diagnose(console: &str, vmm: Vmm<'_>) -> Diagnosis {
    let says = |words: &[&str]| words.iter().any(|word| console.contains(word));
    if let Some((before, panic)) = console.rsplit_once(PANIC) {
        if let Some((_, words)) = before.rsplit_once(NO_INIT)
            && !says(USERSPACE)
        {
            let why = words.lines().next().unwrap_or_default().trim();
            return Diagnosis::NoInit(format!("it cannot {why}"));
        }
        let reason = panic.lines().next().unwrap_or_default();
        let reason = reason.trim_matches([':', ' ', '-', ']']);
        // The line that ends a panic repeats how it began.
        return Diagnosis::Panicked(reason.to_owned());
    }
    if let Vmm::Ended(words) = vmm {
        let over = ["reboot: Power down", "reboot: System halted", "reboot: Restarting system"];
        return if says(&over) {
            Diagnosis::ShutDown
        } else {
            Diagnosis::VmmDied(words.trim().to_owned())
        };
    }
    match network(console) {
        // What follows is told whatever the network did.
        _ if says(EMERGENCY) => Diagnosis::Emergency,
        Some(Network::Up | Network::NoWayOut(_)) => Diagnosis::NoSshd,
        Some(Network::Failed(why)) => Diagnosis::NoNetwork(why),
        None if says(INITRD) => Diagnosis::InInitrd,
        None if says(USERSPACE) => {
            Diagnosis::NoNetwork("its init has not run /usr/local/sbin/banger-network".to_owned())
        }
        None if console.lines().any(|line| !is_firmware(line)) => Diagnosis::InKernel,
        None => Diagnosis::Silent,
    }
}

/// Whether a line says nothing of the guest: the firmware greets before it.
fn is_firmware(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || ["SeaBIOS", "iPXE", "Booting from", "Press Ctrl-B"].iter().any(|s| line.starts_with(s))
}

impl Diagnosis {
    /// Whether waiting is of no use.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Panicked(_)
                | Self::NoInit(_)
                | Self::ShutDown
                | Self::VmmDied(_)
                | Self::InInitrd
                | Self::Emergency
        )
    }

    /// What happened, in one line; `waited` says how long it was waited for.
    #[must_use]
    pub fn message(&self, waited: &str) -> String {
        match self {
            Self::Panicked(_) => "the guest's kernel panicked".to_owned(),
            Self::NoInit(_) => "the guest did not come to its init".to_owned(),
            Self::ShutDown => "the guest shut itself down while it booted".to_owned(),
            Self::VmmDied(_) => "the VMM died while the guest booted".to_owned(),
            Self::Silent => format!("the guest said nothing at all within {waited}"),
            Self::InKernel => format!("the guest's kernel reached no init within {waited}"),
            Self::InInitrd => {
                "the guest's initial RAM disk does not find the root filesystem".to_owned()
            }
            Self::Emergency => "the guest stopped in its emergency shell".to_owned(),
            Self::NoNetwork(_) => {
                format!("the guest booted, and its network did not come up within {waited}")
            }
            Self::NotReady => {
                format!("the guest did not say on its console within {waited} that it has booted")
            }
            Self::NoSshd => format!(
                "the guest booted and its network came up, but its sshd did not answer within {waited}"
            ),
        }
    }

    /// Why, as far as it is known.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        match self {
            Self::Panicked(why) | Self::NoNetwork(why) | Self::NoInit(why) if !why.is_empty() => {
                vec![why.clone()]
            }
            Self::VmmDied(words) if words.is_empty() => {
                vec!["it said nothing: it was killed, perhaps for want of memory".to_owned()]
            }
            Self::VmmDied(words) => words.lines().map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self, name: &str) -> String {
        let logs = format!("banger logs {name}");
        match self {
            Self::Panicked(_) => {
                format!(
                    "see all it said: {logs}; does the image's kernel fit its initial RAM disk?"
                )
            }
            Self::NoInit(_) => format!(
                "see all it said: {logs}; is the image whole, and does it boot with QEMU? \
                 banger create --vmm qemu"
            ),
            Self::VmmDied(_) => {
                format!(
                    "start it again; whether memory was short says: journalctl -k; see also: {logs}"
                )
            }
            Self::ShutDown | Self::Emergency => format!("see what it did not like: {logs}"),
            Self::Silent | Self::InKernel | Self::NotReady => format!(
                "give it longer: banger start --timeout 10m {name}; see what it says: {logs}"
            ),
            Self::InInitrd => format!(
                "it needs the drivers of virtio disks (virtio_blk, and virtio_pci for QEMU or \
                 virtio_mmio for Firecracker); see: {logs}"
            ),
            Self::NoNetwork(_) => {
                format!(
                    "the image needs iproute2 or busybox, and an init that runs scripts; see: {logs}"
                )
            }
            Self::NoSshd => {
                format!("is openssh-server installed and enabled in the image? see: {logs}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
