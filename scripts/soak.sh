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

# Each part in a new home; the seed of one that fails brings it back.
kills=${BANGER_SOAK_KILLS:-300}
seed=${BANGER_SEED:-1}
while [ "$kills" -gt 0 ]; do
    count=$((kills < 50 ? kills : 50))
    say "$count resets of the host at random moments, seed $seed"
    BANGER_SEED=$seed BANGER_KILLS=$count \
        cargo nextest run --workspace --locked --profile soak --no-capture \
        -E 'test(nothing_is_lost_and_nothing_leaks_when_the_host_is_reset_at_any_moment)'
    kills=$((kills - count))
    seed=$((seed + 1))
done
