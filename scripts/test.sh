#!/usr/bin/env bash
# Runs every suite on whatever machine this is: installs what is missing first, counts what could not run last.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh

need_cargo
need_packages build run test
# What is built already need not be paid again.
if [ -d target/debug ]; then need_space target 1500 "the tests"; else need_space . 6000 "the test build"; fi
if ! cargo nextest --version >/dev/null 2>&1; then
    say "installing cargo-nextest (some minutes, once)"
    cargo install --locked --quiet cargo-nextest ||
        fail "cannot install cargo-nextest" "see above" "cargo install --locked cargo-nextest"
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
fi

# A test that cannot run here says why in this file.
BANGER_SKIPS=$(mktemp)
export BANGER_SKIPS
trap 'rm -f "$BANGER_SKIPS"' EXIT

status=0
# The suites start the programs themselves, which a test build alone does not make.
cargo build --workspace --locked
cargo nextest run --workspace --locked --no-fail-fast "$@" || status=$?

if [ -s "$BANGER_SKIPS" ]; then
    # A test that skips several of its parts for one reason is one line.
    sort -u "$BANGER_SKIPS" >"$BANGER_SKIPS.sorted"
    mv "$BANGER_SKIPS.sorted" "$BANGER_SKIPS"
    say "$(wc -l <"$BANGER_SKIPS") tests could not run here:"
    sed 's/^/    /' "$BANGER_SKIPS" >&2
else
    say "every test ran; none had to be skipped"
fi
exit "$status"
