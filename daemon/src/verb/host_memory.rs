//! How much memory the host has.

/// All of it, in MiB; `None` where it cannot be told.
pub(super) fn total_mib() -> Option<u64> {
    field(&meminfo(), "MemTotal:")
}

/// What could be taken without making the host swap, in MiB.
pub(super) fn available_mib() -> Option<u64> {
    field(&meminfo(), "MemAvailable:")
}

fn meminfo() -> String {
    std::fs::read_to_string("/proc/meminfo").unwrap_or_default()
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
        assert_eq!(field(text, "MemTotal:"), Some(24_079));
        assert_eq!(field(text, "MemAvailable:"), Some(2));
        assert_eq!(field("MemTotal: x", "MemTotal:"), None);
        assert!(total_mib() >= available_mib());
    }
}
