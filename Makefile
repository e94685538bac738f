# Every verb a developer or user types. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help build check test test-full fuzz torture kernel image run cluster cluster-down bench clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12
	@echo
	@echo '`make run` takes IMAGE=my.tar (a container image of your own), PORT=8081, MEMORY=512M,'
	@echo 'DATA=disk.img, CONFIG=drive.img, MACHINE=microvm, KERNEL=tuned, INTERACTIVE=1 and APPEND="kernel words".'
	@echo '`make bench` measures boot, kernel, containers and engines, or ONLY= one of these, pull, worker, ready or services; containers need root or sudo,'
	@echo 'the last three root.'

# What `skerry-runtime --version` tells, and nothing else: another commit builds that one program again.
# Who builds from an archive may set it.
COMMIT = $(or $(SKERRY_COMMIT),$(if $(wildcard .git),$(shell git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null)),unknown)

build: ## the programs, static, in target/x86_64-unknown-linux-gnu/release
	@tools/need gcc libc6-dev
	cargo build --release --workspace --exclude tests --exclude runtime --bins
	@# By itself: what other programs ask of a library would be in it, too.
	SKERRY_COMMIT=$(COMMIT) cargo build --release -p runtime

check: ## format, lints, unit tests, docs, licences: no root, no VM
	@tools/need-cargo-deny
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	@# Those of them that need more than this.
	cargo clippy --workspace --test '*' -- -D warnings
	cargo test --workspace --exclude tests --quiet
	cargo test -p tests --lib --bins --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	cargo deny --log-level error check bans licenses sources

test: ## the tests, virtual machines included, but for those that take long; ends with the count; as root all of them
	@tools/run-tests

test-full: ## what `make test` does, and what is longer; as root
	@tools/run-tests --full

fuzz: ## made-up config.json, seccomp profiles, mount options, layers, manifests, names, messages, node.toml, packets and streams: MINUTES=10 each, or TARGET=seccomp alone; KEEP=1 takes what leads to new places into the corpus
	@tools/fuzz "$(or $(TARGET),all)" "$(or $(MINUTES),10)" $(if $(KEEP),--keep)

torture: build ## a thousand runtimes killed, each at a step of its own, a thousand pulls and removals, a thousand monitors, a thousand pods while our programs are killed, 100 nodes each in mid-pull and mid-run, long races; ROUNDS=1000, CUTS=100 (nodes), SEED=… repeats; as root
	@tools/need gcc libc6-dev busybox-static util-linux openssl qemu-system-x86 mmdebstrap umoci skopeo
	@tools/need-unpacked docker-registry
	SKERRY_TORTURE_ROUNDS=$(or $(ROUNDS),1000) $(if $(SEED),SKERRY_TORTURE_SEED=$(SEED)) \
	    cargo test -p runtime --test containers -- --nocapture torture:: advisories::
	cargo build -p store --examples
	SKERRY_TORTURE_ROUNDS=$(or $(ROUNDS),1000) $(if $(SEED),SKERRY_TORTURE_SEED=$(SEED)) \
	    cargo test -p store --test registries killed -- --nocapture
	SKERRY_TORTURE_ROUNDS=$(or $(ROUNDS),1000) $(if $(SEED),SKERRY_TORTURE_SEED=$(SEED)) \
	    cargo test -p monitor --test live kills:: -- --nocapture
	SKERRY_TORTURE_PODS=$(or $(ROUNDS),1000) $(if $(SEED),SKERRY_TORTURE_SEED=$(SEED)) \
	    cargo test -p tests --test cluster torture:: -- --nocapture
	SKERRY_TORTURE_CUTS=$(or $(CUTS),100) cargo test -p tests --test store --test persons power_cut -- --nocapture

kernel: ## the tuned kernel, from Debian's source, in target/kernel: half an hour, once; KEEP=1 keeps its objects, VERIFY=1 compares a second build
	@tools/kernel

image: build ## the demonstration's image, in target/run/demo
	@tools/run image

run: build ## boot the demonstration in QEMU, or IMAGE=my.tar
	@tools/run boot

cluster: build ## a Kubernetes cluster of three nodes in QEMU, and the example of four containers; as root
	@tools/need qemu-system-x86 mmdebstrap umoci skopeo uidmap xz-utils iproute2 e2fsprogs
	@cargo run --quiet -p tests --bin cluster up

cluster-down: ## ends that cluster; leaves nothing
	@cargo run --quiet -p tests --bin cluster down

bench: build ## a boot and a container beside their peers: times, memory, sizes; also in target/bench/*.json
	@tools/need qemu-system-x86 mmdebstrap umoci skopeo uidmap xz-utils busybox-static runit \
	    crun strace libseccomp-dev pkg-config
	cargo run --release --quiet -p tests --bin bench -- $(ONLY)

clean: ## remove what was built; ~/.cache/skerry stays
	rm -rf target
