#!/usr/bin/env bash
# Installs the built programs below a prefix: install.sh BINDIR. Running ones are replaced whole, never written to.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

bindir=${1:?usage: install.sh BINDIR}
mkdir -p "$bindir"
for program in banger bangerd; do
    [ -x "target/release/$program" ] || fail "target/release/$program is not there" "it was not built" "make build"
    # A new name first: an executable that runs cannot be written, and a rename is whole.
    install -m 0755 "target/release/$program" "$bindir/.$program.new"
    mv -f "$bindir/.$program.new" "$bindir/$program"
done
