# Who the VMs belong to: the caller, or an ordinary user that is made when the caller is root.
# shellcheck shell=bash

# need_owner: sets owner, owner_home; afterwards as_owner COMMAND... runs as that user.
need_owner() {
    if is_root; then
        owner=${BANGER_USER:-banger-dev}
        if ! getent passwd "$owner" >/dev/null; then
            say "making the ordinary user $owner: banger never runs as root"
            useradd --create-home --shell /bin/bash "$owner" ||
                fail "cannot make the user $owner" "see above" "name another: make run BANGER_USER=somebody"
        fi
        [ "$(id -u "$owner")" != 0 ] ||
            fail "$owner is root" "banger never runs as root" "name an ordinary user: make run BANGER_USER=somebody"
        owner_home=$(getent passwd "$owner" | cut -d: -f6)
    else
        owner=$(id -un)
        owner_home=$HOME
    fi
}

# The caller's environment and folder are of no use to another user: the checkout may be root's alone.
as_owner() {
    if is_root; then
        (cd / && exec setpriv --reuid="$owner" --regid="$(id -g "$owner")" --init-groups \
            env -i HOME="$owner_home" USER="$owner" LOGNAME="$owner" SHELL=/bin/bash LANG=C.UTF-8 \
            TERM="${TERM:-dumb}" PATH="$owner_home/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" "$@")
    else
        "$@"
    fi
}

# need_subids: a range of subordinate ids, with which an ordinary user unpacks a root filesystem.
need_subids() {
    local file
    for file in /etc/subuid /etc/subgid; do
        grep -qE "^($owner|$(id -u "$owner")):" "$file" 2>/dev/null || {
            say "giving $owner subordinate ids"
            need_root "usermod --add-subuids ... $owner"
            as_root touch /etc/subuid /etc/subgid
            as_root usermod --add-subuids "$(free_range /etc/subuid)" --add-subgids "$(free_range /etc/subgid)" "$owner" ||
                fail "cannot give $owner subordinate ids" "see above" "add a line $owner:100000:65536 to /etc/subuid and /etc/subgid"
            return
        }
    done
}

# free_range FILE: 65536 ids above all that are given.
free_range() {
    local first
    first=$(awk -F: '$2 + $3 > end { end = $2 + $3 } END { print (end > 100000 ? end : 100000) }' "$1" 2>/dev/null || true)
    echo "${first:=100000}-$((first + 65535))"
}

# need_namespaces: an ordinary user must be able to make a user namespace.
need_namespaces() {
    local because="the kernel said no" try="see whether this is a container or a chroot that forbids it"
    as_owner unshare --user --map-root-user true 2>/dev/null && return
    if [ "$(knob kernel/unprivileged_userns_clone)" = 0 ]; then
        because="kernel.unprivileged_userns_clone is 0"
        try="sudo sysctl -w kernel.unprivileged_userns_clone=1"
    elif [ "$(knob user/max_user_namespaces)" = 0 ]; then
        because="user.max_user_namespaces is 0"
        try="sudo sysctl -w user.max_user_namespaces=10000"
    elif [ "$(knob kernel/apparmor_restrict_unprivileged_userns)" = 1 ]; then
        because="kernel.apparmor_restrict_unprivileged_userns is 1"
        try="sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    fi
    fail "$owner cannot make user namespaces, which mmdebstrap and bubblewrap need" "$because" "$try"
}

knob() { cat "/proc/sys/$1" 2>/dev/null || true; }

# install_for_owner PROGRAM...: copies in the owner's ~/.local/bin, written as the owner, since the checkout may be
# where only root can read and root must not write where the owner could have put a link.
install_for_owner() {
    local program new=0
    bin=$owner_home/.local/bin
    for program in "$@"; do
        as_owner cmp -s - "$bin/$program" <"target/release/$program" && continue
        new=1
        # shellcheck disable=SC2016 # the inner shell's own
        # A name of its own first: an executable that runs cannot be written, and a rename is whole.
        as_owner sh -euc 'mkdir -p "$1"; cat >"$1/.$2.new"; chmod 0755 "$1/.$2.new"; mv -f "$1/.$2.new" "$1/$2"' \
            sh "$bin" "$program" <"target/release/$program" ||
            fail "cannot install $program into $bin" "see above" ""
    done
    # One that runs is of the version before; VMs run on without it.
    [ "$new" = 0 ] || as_owner "$bin/banger" daemon stop --quiet
}
