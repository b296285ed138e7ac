#!/usr/bin/env bash
# A shell in the machine that the helper's tests run in, or one command: make testbed, scripts/testbed.sh COMMAND...
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/machine.sh
# The tests' own user.
BANGER_USER=${BANGER_USER:-banger-test}
. scripts/owner.sh

need_cargo
need_packages build run test
need_owner
need_subids
need_namespaces
need_space "$owner_home" 2500 "the testbed"
cargo build --workspace --locked --quiet ||
    fail "the build failed" "see above" "cargo build --workspace --locked"
exec target/debug/banger-testbed "$@"
