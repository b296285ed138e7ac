#!/usr/bin/env bash
# Installs and removes the root helper with all that the system reads of it: helper.sh install|uninstall DESTDIR [BUILT].
# An empty DESTDIR is this computer. No unit is enabled: what does it is said at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

usage='usage: helper.sh install|uninstall DESTDIR [BUILT]'
verb=${1:?$usage}
root=${2?$usage}
root=${root%/}
built=${3:-target/helper}

helper=/usr/libexec/banger/banger-roothelper
configuration=/etc/banger/roothelper.toml
# Where this distribution has libraries of 64 bits, modules of glibc's name service among them.
for libraries in "/usr/lib/$(uname -m)-linux-gnu" /usr/lib64 /usr/lib; do
    if [ -d "$libraries" ]; then break; fi
done
module=$libraries/libnss_banger.so.2
names=$root/etc/nsswitch.conf
# Not below a prefix: polkit reads nothing else, and the unit names its program.
# FROM TO
files='
systemd/banger-roothelper.service    /usr/lib/systemd/system/banger-roothelper.service
systemd/banger-roothelper.socket     /usr/lib/systemd/system/banger-roothelper.socket
sysusers.d/banger.conf               /usr/lib/sysusers.d/banger.conf
tmpfiles.d/banger.conf               /usr/lib/tmpfiles.d/banger.conf
sysctl.d/60-banger.conf              /usr/lib/sysctl.d/60-banger.conf
udev/56-banger-dm.rules              /usr/lib/udev/rules.d/56-banger-dm.rules
udev/59-banger-loop.rules            /usr/lib/udev/rules.d/59-banger-loop.rules
polkit/dev.banger.roothelper.policy  /usr/share/polkit-1/actions/dev.banger.roothelper.policy
polkit/dev.banger.roothelper.rules   /usr/share/polkit-1/rules.d/dev.banger.roothelper.rules
man/banger-roothelper.8              /usr/share/man/man8/banger-roothelper.8
'

list() { sed '/^$/d' <<<"$files"; }

# On this computer only, and only with what is there.
is_this_computer() { [ -z "$root" ]; }
runs_systemd() { is_this_computer && [ -d /run/systemd/system ]; }
has() { command -v "$1" >/dev/null; }

# Tells those who read the files that they changed; what is not there need not know.
announce() {
    if runs_systemd; then
        systemctl daemon-reload
        if has udevadm; then udevadm control --reload || say "udev was not told: udevadm control --reload"; fi
    fi
}

# Programs find VMs by their names behind the files, and before what asks others.
know_names() {
    [ -e "$names" ] || return 0
    if grep -Eq '^hosts:.*[[:space:]]banger([[:space:]]|$)' "$names"; then return; fi
    if grep -Eq '^hosts:.*[[:space:]]files([[:space:]]|$)' "$names"; then
        sed -E --in-place --follow-symlinks \
            '/^hosts:/s/([[:space:]]files([[:space:]]+\[[^]]*\])?)([[:space:]]|$)/\1 banger\3/' "$names"
    else
        sed -E --in-place --follow-symlinks 's/^hosts:[[:space:]]*/&banger /' "$names"
    fi
    say "$names names banger among those who know hosts: each user's VMs are found by their names"
}

forget_names() {
    [ -e "$names" ] || return 0
    sed -E --in-place --follow-symlinks \
        '/^hosts:/{s/([[:space:]])banger[[:space:]]/\1/;s/[[:space:]]+banger$//}' "$names"
}

install_all() {
    local file
    for file in banger-roothelper libnss_banger.so; do
        [ -x "$built/$file" ] || fail "$built/$file is not there" "it was not built" "make build"
    done
    # rules.d belongs to polkit, and may have to stay closed to others: it is made only where it is not there.
    local from to folder
    while read -r from to; do
        folder=$root$(dirname "$to")
        [ -d "$folder" ] || install -d -m 0755 "$folder"
        install -m 0644 "packaging/$from" "$root$to"
    done < <(list)
    install -d -m 0755 "$root$(dirname "$helper")" "$root$(dirname "$configuration")"
    # A new name first: an executable that runs cannot be written, and a rename is whole.
    install -m 0755 "$built/banger-roothelper" "$root$helper.new"
    mv -f "$root$helper.new" "$root$helper"
    # Programs that run have it in memory.
    install -d -m 0755 "$root$libraries"
    install -m 0644 "$built/libnss_banger.so" "$root$module.new"
    mv -f "$root$module.new" "$root$module"
    know_names
    if [ -e "$root$configuration" ]; then
        say "$root$configuration is kept as it is"
    else
        install -m 0644 packaging/roothelper.toml "$root$configuration"
    fi

    if is_this_computer; then
        if has systemd-sysusers; then
            systemd-sysusers banger.conf
        else
            say "there is no systemd-sysusers here: groupadd --system banger; useradd --system --no-create-home banger-worker"
        fi
        announce
        # An older helper must not go on behind the new files; the socket starts the new one.
        if runs_systemd; then systemctl try-restart banger-roothelper.service; fi
    fi
    say "the root helper is installed; it runs when this is done, as root:"
    say "    systemctl enable --now banger-roothelper.socket"
    say "    usermod -aG banger USER     # for each user who may ask; it counts from their next login"
}

uninstall_all() {
    if runs_systemd && [ -e "$root/usr/lib/systemd/system/banger-roothelper.socket" ]; then
        systemctl disable --now banger-roothelper.socket banger-roothelper.service 2>/dev/null ||
            say "the socket could not be disabled: systemctl disable --now banger-roothelper.socket"
    fi
    # Devices and taps that nobody uses; what guests wrote stays.
    local to left=
    if is_this_computer && [ -x "$helper" ]; then
        if ! "$helper" sweep --all | sed '/ overlays were not meant$/d'; then
            left=1
            say "what is left is told above: what is in use goes with a restart of this computer; until then the rules stay that keep it from"
            say "udev and all that udev starts: rm /usr/lib/udev/rules.d/5?-banger-*.rules"
        fi
    fi
    while read -r _ to; do
        # Devices that guests write to would be looked into at the next occasion.
        if [ -n "$left" ] && [[ $to == */udev/rules.d/* ]]; then continue; fi
        rm -f "$root$to"
    done < <(list)
    forget_names
    rm -f "$root$helper" "$root$module"
    rmdir --ignore-fail-on-non-empty "$root$(dirname "$helper")" 2>/dev/null || true
    if cmp -s packaging/roothelper.toml "$root$configuration"; then
        rm -f "$root$configuration"
        rmdir --ignore-fail-on-non-empty "$root$(dirname "$configuration")" 2>/dev/null || true
    elif [ -e "$root$configuration" ]; then
        say "$root$configuration was changed, and stays"
    fi
    announce
    if is_this_computer; then
        say "what VMs wrote stays in /var/lib/banger, and the group and user in the account files: groupdel banger; userdel banger-worker"
    fi
}

case $verb in
    install | uninstall) ;;
    *) fail "$verb is not a verb" "" "$usage" ;;
esac
if is_this_computer && [ "$(id -u)" != 0 ]; then
    fail "the root helper cannot be ${verb}ed by you" "only root may change /usr and /etc" \
        "sudo make $verb, DESTDIR=FOLDER for a package, or for your own programs alone: make $verb-programs PREFIX=\$HOME/.local"
fi
"${verb}_all"
