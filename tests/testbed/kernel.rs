//! The testbed's kernel has what the helper works with.

use banger_tests::testbed::inside;

use crate::sh;

#[test]
fn a_socket_tells_the_process_at_its_other_end() {
    inside(|| {
        let release = sh("uname -r");
        let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap(), numbers.next().unwrap());
        assert!(version >= (6, 5), "{release}");
        // SO_PEERPIDFD.
        let asked = sh("perl -MSocket -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0); \
             my $fd = unpack(\"i\", getsockopt($a, SOL_SOCKET, 77)); print readlink(\"/proc/self/fd/$fd\")'");
        assert!(asked.contains("pidfd"), "{asked}");
    });
}

#[test]
fn a_snapshot_has_what_was_written_and_its_origin_has_not() {
    inside(|| {
        sh("truncate -s 8M origin; truncate -s 4M cow; echo original | dd of=origin conv=notrunc");
        let origin = sh("losetup --find --show origin");
        let cow = sh("losetup --find --show cow");
        sh(&format!("dmsetup create snap --table '0 16384 snapshot {origin} {cow} P 8'"));
        sh("udevadm settle; echo changed | dd of=/dev/mapper/snap conv=notrunc,fsync");
        assert_eq!(sh("head -n 1 /dev/mapper/snap"), "changed");
        assert_eq!(sh(&format!("blockdev --flushbufs {origin}; head -n 1 {origin}")), "original");
        sh("dmsetup remove --retry snap; udevadm settle");
        assert_eq!(sh("dmsetup ls"), "No devices found");
    });
}

#[test]
fn there_are_bridges_taps_and_tables_of_the_network() {
    inside(|| {
        sh("ip link add bridge0 type bridge; ip tuntap add tap0 mode tap user nobody");
        sh("ip link set tap0 master bridge0; ip link set tap0 type bridge_slave isolated on");
        assert!(sh("ip -details link show tap0").contains("isolated on"));
        sh("nft add table inet ours; \
            nft add set inet ours allowed '{ type ifname . ipv4_addr . ether_addr; }'; \
            nft add chain inet ours forward '{ type filter hook forward priority 0; }'; \
            nft add rule inet ours forward iifname . ip saddr . ether saddr != @allowed drop; \
            nft add element inet ours allowed '{ tap0 . 10.0.0.1 . 02:00:00:00:00:01 }'");
        assert!(sh("nft list table inet ours").contains("02:00:00:00:00:01"));
        sh(
            "nft add table ip nat; nft add chain ip nat out '{ type nat hook postrouting priority 100; }'; \
            nft add rule ip nat out masquerade",
        );
    });
}
