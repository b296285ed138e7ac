# Takes out of the testbed's unpacked Debian, which lies in $1, what would act on its own between two tests, or would
# slow its boot. Run by mmdebstrap as its last hook.
# shellcheck shell=sh
set -eu
cd "$1"

units=etc/systemd/system
# Timers: the clock jumps when a saved machine goes on.
rm -f $units/timers.target.wants/*.timer
# Nobody sits at the terminals, and the terminal of virtio is the tests' own.
rm -f $units/getty.target.wants/getty@tty1.service
mkdir -p etc/systemd/system-generators
ln -sf /dev/null etc/systemd/system-generators/systemd-getty-generator
# e2scrub checks LVM snapshots, pstore keeps crash dumps of firmware: there are neither.
rm -f $units/*.wants/e2scrub_reap.service $units/*.wants/systemd-pstore.service
rm -f etc/resolv.conf
