#!/bin/sh
# Brings up the one network card of this VM from /etc/banger/network.conf, whatever
# network stack the distribution has. Written by banger before each start.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
. /etc/banger/network.conf

find_card() {
	for folder in /sys/class/net/*; do
		read -r mac <"$folder/address" || continue
		if [ "$mac" = "$MAC" ]; then
			card=${folder##*/}
			return 0
		fi
	done 2>/dev/null
	return 1
}

# The driver may still be on its way: asked for here, it need not wait for its turn.
if ! find_card; then
	modprobe -q virtio_net 2>/dev/null
	tries=0
	until find_card; do
		tries=$((tries + 1))
		if [ "$tries" -gt 200 ]; then
			echo "banger-network: no network card with address $MAC" >&2
			exit 1
		fi
		sleep 0.05 2>/dev/null || sleep 1
	done
fi

# One process where ip reads a batch (iproute2), several where it does not (busybox).
with_ip() {
	printf '%s\n' "link set lo up" "addr replace $ADDRESS/$PREFIX dev $card" \
		"link set $card up" "route replace default via $GATEWAY dev $card" |
		ip -batch - 2>/dev/null && return 0
	ip link set lo up
	ip addr add "$ADDRESS/$PREFIX" dev "$card" 2>/dev/null
	ip link set "$card" up &&
		{ ip route replace default via "$GATEWAY" dev "$card" 2>/dev/null ||
			ip route add default via "$GATEWAY" dev "$card"; }
}

with_ifconfig() {
	ifconfig lo 127.0.0.1 up
	ifconfig "$card" "$ADDRESS" netmask "$NETMASK" up || return 1
	route del default dev "$card" 2>/dev/null
	route add default gw "$GATEWAY" "$card"
}

if command -v ip >/dev/null; then
	with_ip
elif command -v ifconfig >/dev/null; then
	with_ifconfig
else
	echo "banger-network: neither ip nor ifconfig is there" >&2
	exit 1
fi
