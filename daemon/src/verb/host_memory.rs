//! How much memory the host has.

/// The host's memory in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    /// All of it, swap left out.
    pub(crate) total: u64,
    /// What could be taken without making the host swap.
    pub(crate) available: u64,
    /// Swap that is not in use.
    pub(crate) swap: u64,
}

/// What the host has now; `None` where it cannot be told.
pub(crate) fn now() -> Option<Memory> {
    parse(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

fn parse(meminfo: &str) -> Option<Memory> {
    Some(Memory {
        total: field(meminfo, "MemTotal:")?,
        available: field(meminfo, "MemAvailable:")?,
        swap: field(meminfo, "SwapFree:").unwrap_or(0),
    })
}

fn field(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_memory_is_read() {
        let text = "MemFree: 1 kB\nMemTotal:       24656896 kB\nMemAvailable: 2048 kB\n";
        let memory = Memory { total: 24_079, available: 2, swap: 0 };
        assert_eq!(parse(text), Some(memory));
        let swapping = format!("{text}SwapFree: 1024 kB\n");
        assert_eq!(parse(&swapping), Some(Memory { swap: 1, ..memory }));
        assert_eq!(parse("MemTotal: x"), None);
        let here = now().unwrap();
        assert!(here.total >= here.available);
    }
}
