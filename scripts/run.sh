#!/usr/bin/env bash
# From a fresh machine to what a real guest says: packages, build, image (once), `banger vm run --rm -- uname -a`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh
. scripts/owner.sh

image=debian
suite=bookworm

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

say "banger vm run --rm --timings -- uname -a"
as_owner "$bin/banger" vm run --rm --timings --image "$image" -- uname -a
