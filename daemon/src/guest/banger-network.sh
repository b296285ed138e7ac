#!/bin/sh
# Brings up the one network card of this VM from /etc/banger/network.conf, whatever
# network stack the distribution has. Written by banger before each start.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
. /etc/banger/network.conf

# One line on the console says what became of it: a start that waits in vain reads it.
tell() {
	echo "banger-network: $*" >&2
	echo "banger-network: $*" 2>/dev/null >/dev/console
}

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
			tell "failed: there is no network card with the address $MAC"
			exit 1
		fi
		sleep 0.05 2>/dev/null || sleep 1
	done
fi

# One process where ip reads a batch (iproute2), several where it does not (busybox).
# 1: the card is not up; 2: it is, and there is no way out.
with_ip() {
	printf '%s\n' "link set lo up" "addr replace $ADDRESS/$PREFIX dev $card" \
		"link set $card up" "route replace default via $GATEWAY dev $card" |
		ip -batch - 2>/dev/null && return 0
	ip link set lo up
	ip addr add "$ADDRESS/$PREFIX" dev "$card" 2>/dev/null
	ip link set "$card" up || return 1
	ip route replace default via "$GATEWAY" dev "$card" 2>/dev/null ||
		ip route add default via "$GATEWAY" dev "$card" || return 2
}

with_ifconfig() {
	ifconfig lo 127.0.0.1 up
	ifconfig "$card" "$ADDRESS" netmask "$NETMASK" up || return 1
	route del default dev "$card" 2>/dev/null
	route add default gw "$GATEWAY" "$card" || return 2
}

if command -v ip >/dev/null; then
	said=$(with_ip 2>&1)
elif command -v ifconfig >/dev/null; then
	said=$(with_ifconfig 2>&1)
else
	tell "failed: neither ip nor ifconfig is there"
	exit 1
fi
status=$?
said=$(echo $said)
case $status in
0) tell "up: $card has $ADDRESS, and its way out is $GATEWAY" ;;
2) tell "no way out: $card has $ADDRESS, and no route by $GATEWAY: $said" ;;
*) tell "failed: $card does not come up: $said" ;;
esac
exit $status
