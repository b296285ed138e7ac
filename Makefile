# The only door: every way to build, run and prove banger.
.PHONY: test check

test:
	cargo nextest run --workspace --locked --no-fail-fast

check:
	cargo fmt --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
