#!/usr/bin/env bash
# Runs at length what the suites run once: hours of it find what minutes do not. Each proof ends with a line of
# what was tried and found; all of them stand at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh

need_cargo
need_packages build run test
cargo build --workspace --locked
results=$(mktemp)
trap 'rm -f "$results"' EXIT
status=0

# proof WHAT TEST: one that fails does not keep the others from being run.
proof() {
    say "$1"
    cargo nextest run --workspace --locked --profile soak --no-capture -E "test($2)" 2>&1 |
        tee >(grep --line-buffered '^RESULT ' >>"$results") || {
        echo "RESULT $1: failed" >>"$results"
        status=1
    }
}

BANGER_MODEL_SEQUENCES=${BANGER_MODEL_SEQUENCES:-2000} \
    proof "random changes of every kind of filesystem beside a model" random_changes_leave_what_a_model_says

BANGER_CRASH_POINTS=${BANGER_CRASH_POINTS:-100000} BANGER_CRASH_WORKERS=${BANGER_CRASH_WORKERS:-$(nproc)} \
    proof "crashes of changes, of growing and of recovering" a_crash_leaves_all_of_a_batch_or_none
BANGER_UNJOURNALLED=${BANGER_UNJOURNALLED:-10000} proof "power cuts without a journal, and e2fsck behind them" \
    what_a_batch_without_a_journal_did_not_touch_outlives_a_power_cut
BANGER_SOAK=1 proof "a device that fails at each write, flush and read" the_error_of_a_failed_commit
BANGER_SOAK=1 proof "a device that fails while a filesystem grows" the_error_of_a_growth_that_failed

BANGER_WORKER_KILLS=${BANGER_WORKER_KILLS:-3000} \
    proof "workers of the root helper ended in the middle of a batch" a_batch_cut_at_any_step_is_old_or_new
BANGER_WORKER_HOSTILE=${BANGER_WORKER_HOSTILE:-3000} \
    proof "hostile filesystems given to the root helper's worker" hostile_filesystems_harm_nobody_but_their_worker
BANGER_WORKER_CALLS=${BANGER_WORKER_CALLS:-200} proof "what a call of the worker costs" the_cost_of_a_call

BANGER_HELPER_KILLS=${BANGER_HELPER_KILLS:-500} proof "helper, workers and clients killed while snapshots come, are written and go" \
    whoever_is_killed_leaves_nothing_that_the_next_does_not_mend
BANGER_STEP_KILLS=${BANGER_STEP_KILLS:-300} proof "the helper killed, and clients gone, at each step of each call" \
    whatever_happens_at_a_step_of_a_call_nothing_is_half_made
BANGER_HELPER_SNAPSHOTS=${BANGER_HELPER_SNAPSHOTS:-200} proof "200 snapshots at once" \
    many_attach_at_once_and_each_vm_is_made_once
BANGER_NETWORK_KILLS=${BANGER_NETWORK_KILLS:-1000} \
    proof "the root helper killed while taps come and go" a_helper_that_is_killed_at_any_moment_leaves_whole_taps_or_none

BANGER_PARALLEL_VMS=${BANGER_PARALLEL_VMS:-20} BANGER_PARALLEL_ROUNDS=${BANGER_PARALLEL_ROUNDS:-10} \
    proof "20 guests beside each other, 10 times" guests_live_beside_each_other_and_leave_nothing

BANGER_PARALLEL_VMS=10 proof "10 VMs on snapshots and the bridge at once" vms_of_a_member_live_at_once_and_leave_nothing
BANGER_PARALLEL_ROUNDS=${BANGER_PARALLEL_ROUNDS:-10} \
    proof "20 guests on snapshots at once, under KVM, 10 times" twenty_guests_of_a_member_live_at_once_and_leave_nothing
BANGER_VM_KILLS=${BANGER_VM_KILLS:-100} \
    proof "bangerd, root helper and VMM killed while a VM starts, stops and goes" \
    whatever_is_killed_while_a_vm_starts_stops_or_goes
BANGER_VM_RESETS=${BANGER_VM_RESETS:-30} \
    proof "a computer reset while a VM starts, stops and goes" a_computer_that_is_reset_while_a_vm_starts_stops_or_goes

# Each part in a new home; the seed of one that fails brings it back.
kills=${BANGER_SOAK_KILLS:-300}
seed=${BANGER_SEED:-1}
while [ "$kills" -gt 0 ]; do
    count=$((kills < 50 ? kills : 50))
    BANGER_SEED=$seed BANGER_KILLS=$count proof "$count resets of the host at random moments, seed $seed" \
        nothing_is_lost_and_nothing_leaks_when_the_host_is_reset_at_any_moment
    kills=$((kills - count))
    seed=$((seed + 1))
done

say "filesystems damaged on purpose"
scripts/fuzz.sh 2>&1 | tee >(grep --line-buffered '^RESULT ' >>"$results") || status=1

say "results:"
sed 's/^RESULT /    /' "$results"
exit "$status"
