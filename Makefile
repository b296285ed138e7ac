# The only door: every way to build, run and prove banger.
PREFIX ?= /usr/local
.PHONY: help build run test testbed check bench fuzz soak \
	install install-programs uninstall uninstall-programs clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 20

run: ## from a fresh machine to a guest's `uname -a`
	@scripts/run.sh

build: ## the programs, in release
	cargo build --release --locked -p banger -p bangerd
	@# By itself, so that it gets no feature that only the others need, and small.
	cargo build --profile helper --locked -p banger-roothelper
	cargo build --profile nss --locked -p banger-nss
	install -m 0755 target/nss/libnss_banger.so target/helper

test: ## every suite
	@scripts/test.sh

testbed: ## a shell in the machine that the helper's tests run in
	@scripts/testbed.sh

check: ## formatting, lints, licences, documentation
	@scripts/check.sh

bench: ## a run's stages, and the engine beside its peers, into docs/performance.md
	@scripts/bench.sh

fuzz: ## filesystems damaged on purpose, 100,000 of them: within the hour
	@scripts/fuzz.sh

soak: ## what the suites run once, at length: hours
	@scripts/soak.sh

# What sudo installs is what its user built: a build of root's would leave files of root's in target/.
to_install = $(if $(SUDO_UID),,build)

install: $(to_install) ## everything, the root helper included: as root, or with DESTDIR=
	@packaging/helper.sh install "$(DESTDIR)"
	@packaging/install.sh "$(DESTDIR)$(PREFIX)/bin"

install-programs: $(to_install) ## banger and bangerd alone, below PREFIX: one in your home needs no root
	@packaging/install.sh "$(DESTDIR)$(PREFIX)/bin"

uninstall: uninstall-programs ## removes what install put there; VMs, images and changed configuration stay
	@packaging/helper.sh uninstall "$(DESTDIR)"

uninstall-programs: ## removes what install-programs put there; VMs and images stay
	rm -f "$(DESTDIR)$(PREFIX)/bin/banger" "$(DESTDIR)$(PREFIX)/bin/bangerd"
	rm -f "$(DESTDIR)$(PREFIX)/share/man/man1/banger.1" "$(DESTDIR)$(PREFIX)/share/man/man1"/banger-*.1
	rm -f "$(DESTDIR)$(PREFIX)/share/bash-completion/completions/banger"
	rm -f "$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_banger"
	rm -f "$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/banger.fish"

clean: ## what the build made
	cargo clean
