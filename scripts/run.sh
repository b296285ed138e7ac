#!/usr/bin/env bash
# From a fresh machine to what a real guest says: packages, build, image (once), `banger vm run --rm -- uname -a`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/ready.sh

get_ready
say "banger vm run --rm --timings -- uname -a"
as_owner "$bin/banger" vm run --rm --timings --image "$image" -- uname -a
