#!/usr/bin/env bash
# What every commit must pass: formatting, lints, scripts, licences and sources of dependencies, documentation.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh

need_cargo
need_packages build test
cargo fmt --check
cargo fmt --check --manifest-path bench/Cargo.toml
# bangerd's build compiles it, and cargo does not know of it.
rustfmt --check --edition 2024 guest/src/main.rs
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
shellcheck --external-sources scripts/*.sh packaging/*.sh tests/testbed/recipe/*.sh .ci/run
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked --log-level error check licenses bans sources
    # The list of known holes comes from the network; being without it is no reason to fail, a hole in it is.
    if cargo deny --locked fetch db >/dev/null 2>&1; then
        cargo deny --locked --log-level error check --disable-fetch advisories
    else
        say "the list of known holes could not be fetched: dependencies were not compared with it"
    fi
else
    say "cargo-deny is not installed: licences and sources of dependencies were not checked (cargo install --locked cargo-deny)"
fi

# The program that runs as root stays small: in bytes, as `make build` leaves it. Its crates are counted in tests/house.
helper=target/helper/banger-roothelper
if [ -x "$helper" ] && [ -z "$(find roothelper/src proto/src ext4/src Cargo.lock Cargo.toml -newer "$helper" -print -quit)" ]; then
    size=$(stat -c %s "$helper")
    [ "$size" -le 2500000 ] || fail "the root helper has $size bytes, and 2500000 are its limit" \
        "something large came in" "cargo tree --package banger-roothelper --edges normal"
else
    say "there is no root helper of this state in target/helper: its size was not checked (make build)"
fi
