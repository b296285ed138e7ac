#!/usr/bin/env bash
# Damages filesystems on purpose, many times over: the engine must do no harm, and its check must see what e2fsck sees.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh

need_cargo
need_packages build test
images=${BANGER_HOSTILE:-100000}
compared=${BANGER_COMPARED:-5000}
seed=${BANGER_SEED:-1}
parts=$(nproc)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
cargo test --locked -p banger-ext4 --test hostile --no-run

# Each part is a process of its own, so that what one image takes of memory can be told.
run() {
    BANGER_SEED=$2 BANGER_HOSTILE=$3 BANGER_COMPARED=$3 \
        cargo test --quiet --locked -p banger-ext4 --test hostile -- --nocapture "$1" >"$results/$1.$2" 2>&1 &
    running+=($!)
}

# proof TEST COUNT: in as many parts as there are processors; the result of each is a line.
status=0
proof() {
    running=()
    share=$((($2 + parts - 1) / parts))
    say "$2 images: $1, from seed $seed on"
    for part in $(seq 0 $((parts - 1))); do
        run "$1" $((seed + part * share)) "$share"
    done
    for one in "${running[@]}"; do
        wait "$one" || status=1
    done
}

proof hostile_images_do_no_harm "$images"
proof damage_is_seen_where_e2fsck_sees_it "$compared"
proof damage_to_special_inodes_is_seen_where_e2fsck_sees_it "$compared"
cat "$results"/* >"$results/all"
[ "$status" -eq 0 ] || grep -v '^RESULT ' "$results/all" >&2
# One line a proof, with what each part counted.
for what in "hostile images" "check beside e2fsck" "check of special inodes beside e2fsck"; do
    parts_told=$(sed -n "s/^RESULT $what: //p" "$results/all" | paste -sd '|' | sed 's/|/ | /g')
    echo "RESULT $what: ${parts_told:-no part came to its end}"
done
exit "$status"
