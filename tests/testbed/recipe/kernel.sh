# Adds a kernel to the testbed's unpacked Debian, which lies in $1. Run by mmdebstrap as a hook, outside of the root,
# with an apt configuration of its own: nothing is installed, and the host's sources are not touched.
# shellcheck shell=sh
set -eu
root=$1
suite=bookworm-backports
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"

# The name of the package that the one without a version stands for.
kernel=$(apt-cache -t "$suite" depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9]\)/\1/p')
mkdir "$root/kernel"
cd "$root/kernel"
apt-get -q -t "$suite" download "$kernel"
dpkg-deb --extract ./*.deb .
release=$(ls lib/modules)
# By name, since /lib is a link here and a folder in the package.
mv "lib/modules/$release" "$root/lib/modules/$release" 2>/dev/null || {
	mkdir -p "$root/usr/lib/modules"
	mv "lib/modules/$release" "$root/usr/lib/modules/$release"
}
mkdir -p "$root/boot"
mv "boot/vmlinuz-$release" "$root/boot/vmlinuz"
cd /
rm -r "$root/kernel"

# The initial RAM disk has one module, and nothing in it that unpacks.
chroot "$root" sh -c "xz -d /usr/lib/modules/$release/kernel/drivers/block/virtio_blk.ko.xz && depmod $release"
cp "$root/usr/lib/modules/$release/kernel/drivers/block/virtio_blk.ko" "$root/boot/virtio_blk.ko"
