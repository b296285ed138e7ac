#!/usr/bin/env bash
# Installs the built programs, manual pages and completions below a prefix: install.sh BINDIR [BUILT]. Programs that run are
# replaced whole, never written to.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/say.sh

bindir=${1:?usage: install.sh BINDIR [BUILT]}
built=${2:-target/release}
mkdir -p "$bindir"
for program in banger bangerd; do
    [ -x "$built/$program" ] || fail "$built/$program is not there" "it was not built" "make build"
    # A new name first: an executable that runs cannot be written, and a rename is whole.
    install -m 0755 "$built/$program" "$bindir/.$program.new"
    mv -f "$bindir/.$program.new" "$bindir/$program"
done

# Beside a folder of programs is the prefix's share, where man and the shells look by themselves.
share=$(dirname "$bindir")/share
mkdir -p "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/site-functions" "$share/fish/vendor_completions.d"
"$bindir/banger" man "$share/man/man1"
"$bindir/banger" completions bash >"$share/bash-completion/completions/banger"
"$bindir/banger" completions zsh >"$share/zsh/site-functions/_banger"
"$bindir/banger" completions fish >"$share/fish/vendor_completions.d/banger.fish"
