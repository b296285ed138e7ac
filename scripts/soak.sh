#!/usr/bin/env bash
# Runs at length what the suites run once: hours of it find what minutes do not.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh

need_cargo
need_packages build run test
cargo build --workspace --locked
say "20 guests beside each other, 10 times"
BANGER_PARALLEL_VMS=${BANGER_PARALLEL_VMS:-20} BANGER_PARALLEL_ROUNDS=${BANGER_PARALLEL_ROUNDS:-10} \
    cargo nextest run --workspace --locked --profile soak --no-capture \
    -E 'test(guests_live_beside_each_other_and_leave_nothing)'
