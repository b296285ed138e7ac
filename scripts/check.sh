#!/usr/bin/env bash
# What every commit must pass: formatting, lints, scripts, licences and sources of dependencies, documentation.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh

need_cargo
need_packages build test
cargo fmt --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
shellcheck --external-sources scripts/*.sh .ci/run
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked check
else
    say "cargo-deny is not installed: licences and sources of dependencies were not checked (cargo install --locked cargo-deny)"
fi
