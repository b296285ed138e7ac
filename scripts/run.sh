#!/usr/bin/env bash
# From a fresh machine to what a real guest says: packages, build, image (once), `banger vm run --rm -- uname -a`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/ready.sh

get_ready
say "banger vm run --rm --timings -- uname -a"
as_owner "$bin/banger" vm run --rm --timings --image "$image" -- uname -a

# Where to go on from here.
if is_root; then
    say "banger is in $bin; its VMs are $owner's: su - $owner, then $bin/banger --help"
elif [[ :$PATH: != *:$bin:* ]]; then
    say "banger is in $bin, which is not in your PATH"
else
    say "banger --help says what else there is"
fi
