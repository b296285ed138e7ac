# Everything before the first VM: packages, owner, build, programs, image. Sourced by run and bench.
# shellcheck shell=bash

. scripts/machine.sh
. scripts/owner.sh

image=debian
suite=bookworm

get_ready() {
    need_cargo
    need_packages build run
    need_owner
    need_subids
    need_namespaces
    if [ -d target/release ]; then need_space target 300 "the build"; else need_space . 1500 "the build"; fi
    say "building (release)"
    cargo build --release --locked -p banger -p bangerd ||
        fail "the build failed" "see above" "cargo build --release --locked"
    install_for_owner banger bangerd
    if ! as_owner "$bin/banger" image inspect "$image" >/dev/null 2>&1; then
        need_space "$owner_home" 4000 "the image $image"
        say "making the image $image from Debian $suite (some minutes, once)"
        as_owner "$bin/banger" image build "$image" --debian "$suite"
    fi
}
