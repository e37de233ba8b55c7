# Every target says after `##` what it does; `make help` prints that. The targets are thin: the work is in cargo and in
# `lab` (crate e2e), which builds what it needs once and keeps it in the lab's cache.

.DEFAULT_GOAL := help
SHELL := /bin/bash

LAB := cargo run --locked --package e2e --bin lab --
LAB_CACHE := $(or $(BERTH_LAB_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/berth-lab)
CARGO_DENY := $(LAB_CACHE)/cargo-deny-0.20.2/bin/cargo-deny
CARGO_FUZZ := $(LAB_CACHE)/cargo-fuzz-0.13.2/bin/cargo-fuzz

FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

.PHONY: help check test test-kernels test-oldest fuzz demo bench bench-long reliability image manifests e2e e2e-conformance clean

help: ## print this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-15s %s\n", $$1, $$2 }'

check: $(CARGO_DENY) ## formatting, lints, documentation, licences, chart and rendered manifests; changes nothing
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps
	$(CARGO_DENY) --locked --all-features check bans licenses sources
	$(LAB) manifests --check

test: ## every rung of the test ladder, or RUNGS="unit wire …", then one summary (needs root; the better part of an hour, more the first time)
	$(LAB) test $(RUNGS)

test-kernels: ## the rung "kernel" on Linux 5.10 and the newest of Debian's backports (needs root)
	$(LAB) test kernel --kernel 5.10 --kernel newest

test-oldest: ## API server and cluster rungs on the oldest Kubernetes that the chart admits (needs root; half an hour with its parts still to be built)
	$(LAB) --kubernetes 1.29 test apiserver cluster

fuzz: $(CARGO_FUZZ) ## random input for every parser, FUZZ_SECONDS=60 for each of FUZZ_TARGETS (a C++ compiler is needed)
	CARGO_FUZZ=$(CARGO_FUZZ) fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

demo: ## cluster up, chart installed, three replicas share one volume on two nodes, everything deleted again (needs root)
	$(LAB) demo

bench: ## the figures Berth promises, each beside its goal and the machine's load (needs root)
	$(LAB) bench

bench-long: ## figures that take minutes each: the trash, memory with many volumes, a thousand claims, 10,000 publishes (needs root; 40 minutes)
	$(LAB) bench trash known thousand held

reliability: ## what goes wrong around a volume, each thing in full, and docs/reliability.md; a run that was cut off is gone on with (needs root; hours)
	$(LAB) reliability

image: ## static release binaries and the OCI image that holds them, into target/image
	$(LAB) image

manifests: ## render manifests/install.yaml from the chart
	$(LAB) manifests

e2e: ## only the cluster rung; with KUBECONFIG set, against that cluster instead of the lab's
	$(LAB) test cluster

e2e-conformance: ## Kubernetes' external storage suite, all of it; a run that was cut off is gone on with (needs root; about an hour)
	$(LAB) conformance

clean: ## stop the lab and remove target/ (the lab's cache of built parts stays; `lab parts --help` says where)
	@if [ -d target/lab ]; then $(LAB) down --all; fi
	cargo clean

$(CARGO_DENY):
	cargo install cargo-deny --version 0.20.2 --locked --root $(LAB_CACHE)/cargo-deny-0.20.2

$(CARGO_FUZZ):
	cargo install cargo-fuzz --version 0.13.2 --locked --root $(LAB_CACHE)/cargo-fuzz-0.13.2
