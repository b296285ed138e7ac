#!/usr/bin/env bash
# Measures `banger vm run --rm -- true`, the ext4 engine beside its peers, and the root helper beside what a person
# types, and records all of it in docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/ready.sh

runs=${BANGER_RUNS:-5}
record=docs/performance.md

get_ready
need_packages bench
tables=$(mktemp -d)
trap 'rm -rf "$tables"' EXIT
# The first fills the caches and is not counted.
as_owner "$bin/banger" vm run --rm --image "$image" -- true
for run in $(seq "$runs"); do
    say "run $run of $runs"
    as_owner "$bin/banger" vm run --rm --quiet --timings --image "$image" -- true 2>"$tables/$run"
done
sample=$(as_owner "$bin/banger" vm create --image "$image" --quiet)
as_owner "$bin/banger" vm start --quiet "$sample"
how=$(as_owner "$bin/banger" vm inspect "$sample" | awk '$1 == "accelerator" || $1 == "network" { print $2 }' | paste -sd ' ')
as_owner "$bin/banger" vm rm --force --quiet "$sample"

# Each line of a table ends with a time in ms; the name is all before the first two blanks.
median_table() {
    awk '
        / ms$/ {
            name = $0; sub(/  .*/, "", name)
            if (!(name in count)) order[++names] = name
            time[name, ++count[name]] = $(NF - 1)
        }
        END {
            for (i = 1; i <= names; i++) {
                n = order[i]
                for (a = 1; a <= count[n]; a++) for (b = a + 1; b <= count[n]; b++)
                    if (time[n, b] + 0 < time[n, a] + 0) { t = time[n, a]; time[n, a] = time[n, b]; time[n, b] = t }
                middle = time[n, int((count[n] + 1) / 2)]
                printf "| %s | %.1f | %.1f | %.1f |\n", n, time[n, 1], middle, time[n, count[n]]
            }
        }' "$@"
}

# Many VMs, with a QEMU that is a fake: bangerd's own memory, and the time of a list with the start of its process.
say "100 stopped and 5 running VMs"
figures=$tables/../$(basename "$tables").figures
trap 'rm -rf "$tables" "$figures"' EXIT
BANGER_PROGRAMS=$PWD/target/release BANGER_FIGURES=$figures \
    cargo test --quiet --locked -p banger-tests --test flow -- --exact size::many_vms_take_little_memory
# A test that cannot run where it is says so and passes.
[ -s "$figures" ] || fail "the figures of many VMs are missing" "the test above did not run here" "see what it says"

# Puts what comes in between the two lines of a section of the record; all else stays as it is.
put_section() {
    local text
    text=$(cat)
    TEXT=$text awk -v section="$1" '
        $0 == "<!-- end of " section " -->" { inside = 0 }
        !inside
        $0 == "<!-- " section ", written by make bench -->" { inside = 1; print ENVIRON["TEXT"] }
    ' "$record" >"$record.new"
    mv "$record.new" "$record"
}

machine="$(date -u +%Y-%m-%d), version $("$PWD/target/release/banger" --version | cut -d' ' -f2), $(nproc) processors,\
 Linux $(uname -r | cut -d. -f1,2), $(df --output=fstype "$owner_home" | tail -n 1)"
{
    echo "$machine, guest on $how; $runs runs, in milliseconds."
    echo
    echo "| stage | fastest | median | slowest |"
    echo "| --- | ---: | ---: | ---: |"
    median_table "$tables"/*
    echo
    echo "With 100 stopped and 5 running VMs, the latter without guests; the list is the median of 25, its process included:"
    echo
    echo "| what | measured | at most |"
    echo "| --- | ---: | ---: |"
    cat "$figures"
} | put_section "a run"

say "the ext4 engine beside its peers"
need_space target 9000 "the images that the engine is measured on"
worse=0
# Of an earlier run; without new ones there is nothing to record.
rm -f target/bench/tables.md
CARGO_TARGET_DIR=target/bench-build cargo build --quiet --release --locked --manifest-path bench/Cargo.toml
# A copy, as what is installed is one: what a linker leaves lies in small pieces of the page cache.
programs=target/bench/programs
mkdir -p "$programs"
cp target/bench-build/release/banger-bench "$programs"
"$programs/banger-bench" run --docs docs --at target/bench ${BANGER_ACCEPT:+--accept} >/dev/null || worse=$?
[ -s target/bench/tables.md ] || fail "the engine was not measured to the end" "see above" "make bench"
{
    echo "$machine, e2fsprogs $(mke2fs -V 2>&1 | awk 'NR == 1 { print $2 }')."
    echo
    echo "![What each side took](performance.svg)"
    echo
    cat target/bench/tables.md
} | put_section "the engine"

# In the machine that has device-mapper and systemd, which a kernel without KVM makes slow for both sides alike.
say "the root helper beside losetup, dmsetup, debugfs and ip"
need_packages test
cargo build --quiet --release --locked -p banger-tests --bin banger-ask
cargo build --quiet --profile helper --locked -p banger-roothelper
cp target/release/{banger,bangerd,banger-ask} target/helper/banger-roothelper target/debug/libnss_banger.so "$programs"
# The testbed is made where there is none yet.
cargo build --workspace --locked --quiet
said=target/bench/helper.said
: >"$said"
for test in a_patched_snapshot_beside_losetup_dmsetup_and_debugfs \
    the_start_of_a_vm_beside_losetup_dmsetup_debugfs_and_ip; do
    # Each in a thread that has its name.
    BANGER_PROGRAMS=$PWD/$programs BANGER_ROUNDS=${BANGER_ROUNDS:-15} \
        cargo test --quiet --locked -p banger-tests --test testbed -- --test-threads=2 --nocapture --exact "times::$test" \
        >>"$said" 2>&1 || fail "the helper was not measured" "$(tail -n 20 "$said")" "make bench"
done
# A test that cannot run where it is says so and passes.
grep -q '^RESULT times ' "$said" || fail "the helper was not measured" "$(grep -m 1 SKIPPED "$said")" "see what it says"
table=target/bench/helper.md
"$programs/banger-bench" helper --docs docs --said "$said" ${BANGER_ACCEPT:+--accept} >"$table" || worse=1
[ -s "$table" ] || fail "the helper was not measured to the end" "see above" "make bench"
{
    echo "$machine; in the testbed, whose kernel is $(sed -n 's/^RESULT kernel: //p' "$said" | head -n 1); in milliseconds."
    echo
    cat "$table"
} | put_section "the helper"
cat "$record"
exit "$worse"
