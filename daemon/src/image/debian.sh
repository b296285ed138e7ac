# Makes an unpacked Debian ready to be a banger image. Run by mmdebstrap as its last
# hook, with the root in $1. Nothing here changes what the packages are; it takes out
# what a machine without hardware, users and weeks of uptime does not need at boot.
set -e
cd "$1"

# Each VM gets its own.
rm -f etc/ssh/ssh_host_* etc/hostname etc/resolv.conf var/lib/dbus/machine-id
: >etc/machine-id
echo 'LANG=C.UTF-8' >etc/default/locale

units=etc/systemd/system
mask() {
	for unit in "$@"; do
		ln -sf /dev/null "$units/$unit"
	done
}

# Timers of a machine that runs for weeks. The services can still be started by hand.
rm -f $units/timers.target.wants/apt-daily*.timer $units/timers.target.wants/dpkg-db-backup.timer \
	$units/timers.target.wants/e2scrub_all.timer $units/timers.target.wants/fstrim.timer \
	$units/timers.target.wants/man-db.timer
# e2scrub checks LVM snapshots, pstore keeps crash dumps of firmware: there are neither.
rm -f $units/*.wants/e2scrub_reap.service $units/*.wants/systemd-pstore.service
# Nobody sits at a terminal; ssh is the way in.
rm -f $units/getty.target.wants/getty@tty1.service

# Filesystems of debuggers and modules for them; `mount` and `modprobe` still work.
mask sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
	sys-fs-fuse-connections.mount dev-hugepages.mount dev-mqueue.mount modprobe@.service
# Users of packages are made when packages are installed; utmp has no readers here;
# passwords of disks are asked of nobody; randomness comes from the host.
mask systemd-sysusers.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
	systemd-ask-password-console.path systemd-ask-password-wall.path systemd-random-seed.service \
	systemd-udev-load-credentials.service

# Programs that write units at each boot, for disks, consoles and scripts there are none of.
mkdir -p etc/systemd/system-generators
for name in bless-boot cryptsetup debug getty gpt-auto hibernate-resume integritysetup rc-local run \
	ssh system-update sysv tpm2 veritysetup; do
	ln -sf /dev/null "etc/systemd/system-generators/systemd-$name-generator"
done

# Devices that need no rule and no module when the machine starts: 64 terminals, each
# piece of memory, each processor. They are still told of when they come later.
mkdir -p $units/systemd-udev-trigger.service.d $units/ssh.service.d
cat >$units/systemd-udev-trigger.service.d/10-banger.conf <<'UNIT'
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=subsystems --action=add
ExecStart=-udevadm trigger --type=devices --action=add --prioritized-subsystem=block,net --subsystem-nomatch=tty --subsystem-nomatch=vc --subsystem-nomatch=memory --subsystem-nomatch=cpu --subsystem-nomatch=workqueue --subsystem-nomatch=machinecheck --subsystem-nomatch=mem
UNIT
# sshd checks its configuration when it starts; once is enough.
cat >$units/ssh.service.d/10-banger.conf <<'UNIT'
[Service]
ExecStartPre=
UNIT

# Newer than /usr: caches are as the packages made them, and need not be made anew at
# the first boot.
touch etc/.updated var/.updated
