#!/bin/bash
# In the testbed: says on its terminal when the machine has come up, then waits for one order, carries it out and
# tells how it ended. The machine's memory is saved while this waits, so that each order meets the same state.
set -u
stty raw -echo
systemctl is-system-running --wait >/dev/null
udevadm settle
# What the boot began without waiting for it.
sleep 3
echo "ready $(systemctl is-system-running)"

# token: marks the lines that are ours among those of the order.
read -r token now limit command
date --set "@$now" >/dev/null
# What udev saw of the second disk when the machine was saved is not what it holds now.
blockdev --flushbufs /dev/vdb
mkdir -p /payload
mount -t tmpfs -o mode=0755 payload /payload
tar --extract --file /dev/vdb --directory /payload 2>/dev/null
export HOME=/root USER=root LOGNAME=root SHELL=/bin/bash LANG=C.UTF-8
cd /root || exit

if [ "$limit" = terminal ]; then
	stty sane
	eval "$command"
	status=$?
	stty raw -echo
else
	timeout --kill-after=5 "$limit" bash -c "$command" </dev/null
	status=$?
	if [ "$status" != 0 ]; then
		printf '\n%s journal\n' "$token"
		journalctl --boot --no-pager --output=short-precise --lines=300
	fi
fi
printf '\n%s ended %s\n' "$token" "$status"
