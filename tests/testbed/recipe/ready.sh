#!/bin/bash
# In the testbed: says on its terminal when the machine has come up, then waits for an order, carries it out and tells
# how it ended. The machine's memory is saved while this waits, so that each order meets the same state.
set -u
stty raw -echo
systemctl is-system-running --wait >/dev/null
udevadm settle
# What the boot began without waiting for it.
sleep 3
echo "ready $(systemctl is-system-running)"
export HOME=/root USER=root LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8
cd /root || exit

# token: marks the lines that are ours among those of the order.
while read -r token now how command; do
	date --set "@$now" >/dev/null
	# What udev saw of the other disks when the machine was saved is not what they hold now.
	blockdev --flushbufs /dev/vdb
	blockdev --flushbufs /dev/vdc
	if ! mountpoint --quiet /payload; then
		mkdir -p /payload
		mount -t tmpfs -o mode=0755 payload /payload
	fi
	tar --extract --file /dev/vdb --directory /payload 2>/dev/null
	case $how in
		terminal)
			stty sane
			eval "$command"
			status=$?
			stty raw -echo
			;;
		prepare)
			bash -c "$command" </dev/null
			status=$?
			# The machine is saved next.
			journalctl --sync
			udevadm settle
			sync
			sleep 1
			;;
		*)
			timeout --kill-after=5 "$how" bash -c "$command" </dev/null
			status=$?
			;;
	esac
	if [ "$how" != terminal ] && [ "$status" != 0 ]; then
		printf '\n%s journal\n' "$token"
		journalctl --boot --no-pager --output=short-precise --lines=300
	fi
	printf '\n%s ended %s\n' "$token" "$status"
	[ "$how" = prepare ] || break
done
