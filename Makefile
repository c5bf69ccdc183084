# The project's commands. Each does its own set-up.
.PHONY: help setup demo test check check-windows audit gen bench bench-engine bench-compose compose-golden fuzz soak clean

help:
	@echo "make demo    set up what is missing and run the main job"
	@echo "make test    set up what is missing and run all tests"
	@echo "make check   format, lints, types, generated files"
	@echo "make check-windows  the core for Windows: compiled, linted, its unit tests in Wine"
	@echo "make audit   licences, sources and doubled crates, by cargo-deny, which it installs"
	@echo "make gen     write the generated files anew"
	@echo "make bench   measure, beside the peers"
	@echo "make bench-engine  the engine's calls, beside every client"
	@echo "make bench-compose  Compose files of many services, beside docker compose"
	@echo "make compose-golden  record docker compose's answers to the cases anew"
	@echo "make fuzz    the parsers of Compose files, two minutes each, by cargo-fuzz, which it installs"
	@echo "make soak    ten thousand calls that are given up, in Python and Node"
	@echo "make clean   remove what was built"

setup:
	@tests/setup

demo: setup
	@tests/demo

test: setup
	@tests/run

check: setup
	@tests/check

check-windows:
	@tests/windows

audit:
	@command -v cargo-deny >/dev/null || cargo install --quiet --locked cargo-deny
	@cargo deny check bans licenses sources
	@echo "advisories were not asked for: they need a database from the network"

gen:
	cargo run -q -p dockerkit-codegen

bench: setup
	@benches/run

bench-engine: setup
	@benches/engine/run

bench-compose: setup
	@bash -c ". tests/lab/engine28.sh && engine28_fetch"
	@benches/compose

compose-golden:
	@tests/compose/golden

fuzz:
	@tests/fuzz

soak: setup
	@tests/soak/run

clean:
	rm -rf target .build node_modules bindings-node/*.node bindings-python/python/dockerkit/*.so
