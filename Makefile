# Two commands do all on a fresh machine with Rust, Go and Debian's package manager: `make run` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test verify bench install lab render format clippy generated deny shell powershell

# `make run CLUSTER=current` uses the cluster of your own kubeconfig instead of the lab's.
CLUSTER ?= lab
# Tools that have no Debian package are built once, outside of the tree.
CACHE := $(or $(VERTSKOMMUNE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/vertskommune)
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

help: ## Shows this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: install ## Starts the lab, applies tenants/ and shows the onboarding until all are Ready (Ctrl-C ends all)
	@if ((EUID == 0)); then tests/lab/install directories; fi
	cargo build --locked --package vertskommune --package fortios-simulator
	tests/lab/demo $(CLUSTER)

# With the same packages and features everywhere, since cargo compiles dependencies once for each choice of them.
TEST = cargo test --locked --workspace --features vertskommune/testing
# Tests of the directories wait for controllers most of the time, so they run beside the others.
DIRECTORY_TESTS = $(TEST) --test directories --test trust
# What runs after the tests, beside the demo.
REST = tests/planted/run && tests/lab/smoke && tests/lab/build --test vcenter && tests/clients/fortios/run

# They start the program as well, which cargo builds for a test of its own package. What they saw `why` tell and alerts fire at lies in target/seen.
test: install ## Runs every test, with the lab's real peers
	@tests/lab/install directories
	@rm -rf target/seen
	export VERTSKOMMUNE_LAB_BIN && VERTSKOMMUNE_LAB_BIN=$$(tests/lab/build) && $(DIRECTORY_TESTS) --test plan_and_apply --no-run && \
	  tests/beside target/directories.log '$(DIRECTORY_TESTS)' '$(TEST)' && grep '^test ' target/directories.log && \
	  tests/beside target/demo.log 'UNTIL=protected tests/lab/demo lab' '$(REST)' && BENCH_PART=backup BENCH_QUICKLY=1 BENCH_TURNS=1 \
	  cargo bench --locked --profile dev --workspace --features vertskommune/testing --bench backup
	VERTSKOMMUNE_LAB_BIN=$$(tests/lab/build) $(TEST) --test seen
	@echo 'all tests passed'

verify: install format clippy generated deny shell powershell ## Format, lints, generated files, licences and bans
	@echo 'verified'

bench: install ## Measures against the lab (figures: docs/benchmarks.md)
	cargo build --locked --release --package vertskommune
	bin=$$(tests/lab/build) && VERTSKOMMUNE_LAB_BIN="$$bin" cargo bench --locked --package vertskommune-tests

install: ## Installs what is missing: Debian packages and Rust components
	@tests/lab/install

lab: install ## Builds the lab's peers
	@tests/lab/build

render: ## Writes anew what is made from crds/ and the chart: the chart's copy of the kinds, and deploy/base
	cp crds/*.yaml deploy/chart/files/crds/
	bin=$$(tests/lab/build helm) && deploy/render "$$bin/helm" >deploy/base/.new && mv deploy/base/.new deploy/base/vertskommune.yaml

format:
	cargo fmt --all --check
	unformatted=$$(gofmt -l tests/lab) && test -z "$$unformatted" || { echo "gofmt: $$unformatted"; exit 1; }

clippy:
	cargo clippy --locked --workspace --all-targets --features vertskommune/testing -- --deny warnings
	cargo clippy --locked --workspace --test directories --test trust --test seen --features vertskommune/testing -- --deny warnings

# What is generated is checked in, and must be what would be generated now.
generated:
	$(TEST) --quiet --test plugin --no-run
	target/debug/vertskommune crd --dir target/crds
	diff --recursive --unified crds target/crds
	bin=$$(tests/lab/build vcenter) && "$$bin/ordergen" crates/vsphere-client/src/order_types.txt \
	  | diff --unified crates/vsphere-client/src/order_table.rs -
	diff --recursive --unified crds deploy/chart/files/crds
	bin=$$(tests/lab/build helm) && deploy/render "$$bin/helm" | diff --unified deploy/base/vertskommune.yaml - && "$$bin/helm" lint --strict deploy/chart

deny: $(CARGO_DENY)
	cargo fetch --locked --quiet
	$(CARGO_DENY) --offline --all-features check --hide-inclusion-graph bans licenses sources

$(CARGO_DENY):
	@echo 'installing cargo-deny $(CARGO_DENY_VERSION), some minutes …'
	CARGO_PROFILE_DEV_DEBUG=0 cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --quiet --debug --root $(CACHE)/cargo-deny-$(CARGO_DENY_VERSION)

shell:
	shellcheck tests/beside tests/lab/build tests/lab/up tests/lab/smoke tests/lab/demo tests/lab/install tests/lab/second-room tests/lab/directories tests/lab/directory/smoke tests/lab/directory/tickets deploy/image/assemble deploy/render deploy/second-room/setup deploy/second-room/job-status tests/planted/run tests/clients/fortios/run crates/provider-ad/agents/windows/check .ci/run

# The agent for Windows is read by grammars of PowerShell, and run in part where there is a PowerShell.
powershell:
	CHECK_ROOM=$(CACHE)/powershell-$$(sha256sum <crates/provider-ad/agents/windows/requirements.txt | cut -c1-16) crates/provider-ad/agents/windows/check
