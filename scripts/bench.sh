#!/usr/bin/env bash
# Measures `banger vm run --rm -- true` several times and records the table of its stages in docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/ready.sh

runs=${BANGER_RUNS:-5}
record=docs/performance.md

get_ready
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

mkdir -p "$(dirname "$record")"
{
    echo "# Performance"
    echo
    echo "Written by \`make bench\`: $runs runs of \`banger vm run --rm -- true\` one after another, in milliseconds. \"banger's own"
    echo "work\" is the total without the rootfs copy, the VMM's start, the guest's boot and shutdown, and what ran in it; 100 ms is what"
    echo "it is held to."
    echo
    echo "$(date -u +%Y-%m-%d), version $("$PWD/target/release/banger" --version | cut -d' ' -f2), $(nproc) processors," \
        "Linux $(uname -r | cut -d. -f1,2), $(df --output=fstype "$owner_home" | tail -n 1), guest on $how."
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
} >"$record.new"
mv "$record.new" "$record"
cat "$record"
