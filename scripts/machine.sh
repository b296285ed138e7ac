# What a machine must have before anything is built: packages, space, user namespaces, subordinate ids.
# shellcheck shell=bash

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/say.sh
. "$scripts/say.sh"

# Tools of root's (dmsetup, mkfs, ...) are not in everybody's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

is_root() { [ "$(id -u)" = 0 ]; }

# need_root WHAT: sees once how root is to be had for WHAT, and asks for a password only on a terminal.
need_root() {
    is_root && return
    command -v sudo >/dev/null ||
        fail "root is needed for: $1" "there is no sudo here" "run it as root, then the same make again"
    sudo -n true 2>/dev/null && return
    if [ ! -t 0 ] || [ ! -t 2 ]; then
        fail "root is needed for: $1" "sudo wants a password and there is no terminal to ask on" \
            "run it with sudo in a terminal, then the same make again"
    fi
    sudo true || fail "root is needed for: $1" "sudo said no" "run it as root, then the same make again"
}

# as_root COMMAND...: after need_root.
as_root() {
    if is_root; then "$@"; else sudo "$@"; fi
}

# missing_packages KIND...: the packages of these kinds that are not there.
missing_packages() {
    local package kind sign kinds=" $* "
    while read -r package kind sign; do
        [[ $kinds == *" $kind "* ]] || continue
        case $sign in
            /*) [ -e "$sign" ] || echo "$package" ;;
            *) command -v "$sign" >/dev/null || echo "$package" ;;
        esac
    done < <(sed 's/[[:space:]]*#.*//; /^[[:space:]]*$/d' "$scripts/packages.list")
}

# apt LOG ARGUMENTS...: apt-get without questions; waits for others that hold its lock.
apt() {
    local log=$1
    shift
    # C as the language: the log is read below.
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l LC_ALL=C apt-get \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" </dev/null >>"$log" 2>&1
}

# need_packages KIND...: installs what is missing of these kinds, and nothing when nothing is.
need_packages() {
    local missing log
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "these are missing: ${missing[*]}" "there is no apt-get here to install them with" \
            "install what your distribution calls them, then the same make again"
    need_space /var/cache/apt 1500 "the packages ${missing[*]}"
    need_root "apt-get install --no-install-recommends ${missing[*]}"
    say "installing ${missing[*]}"
    log=$(mktemp)
    apt "$log" update -q -o APT::Update::Error-Mode=any || apt_failed "$log" "cannot fetch the package lists" \
        "see that the network and the mirrors of /etc/apt/sources.list* answer, then the same make again"
    apt "$log" install -q -y --no-install-recommends "${missing[@]}" ||
        apt_failed "$log" "cannot install ${missing[*]}" \
            "sudo apt-get install --no-install-recommends ${missing[*]}"
    rm -f "$log"
    mapfile -t missing < <(missing_packages "$@")
    [ "${#missing[@]}" -eq 0 ] ||
        fail "${missing[*]} installed, and what they should bring is still not there" "" \
            "compare with $scripts/packages.list"
}

# apt_failed LOG WHAT TRY: tells apt's own last words.
apt_failed() {
    local words
    words=$(grep -E '^(E|W|Err):?' "$1" | tail -n 6)
    [ -n "$words" ] || words=$(tail -n 6 "$1")
    rm -f "$1"
    fail "$2" "${words//$'\n'/$'\n'           }" "$3"
}

# need_space DIRECTORY MIB WHAT: the directory need not exist yet.
need_space() {
    local directory=$1 free
    while [ ! -d "$directory" ]; do directory=$(dirname "$directory"); done
    free=$(($(df -Pk "$directory" | awk 'NR == 2 { print $4 }') / 1024))
    [ "$free" -ge "$2" ] || fail "not enough space for $3" \
        "$directory has $free MiB free, and $2 MiB are needed" "make room there, then the same make again"
}

# need_cargo: rustup's folder is looked at too, for shells that never read ~/.profile.
need_cargo() {
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null ||
        fail "there is no cargo here" "it is neither in PATH nor in ${CARGO_HOME:-$HOME/.cargo}/bin" \
            "install Rust from https://rustup.rs, then the same make again"
}
