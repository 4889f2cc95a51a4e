# The front door. `make help` lists what there is; everything is set up on the way.
.PHONY: help demo test check-all c go c-bare install-c wasm python bench bench-wasm fuzz conformance clean
.DEFAULT_GOAL := help
SHELL := /bin/bash

# rustup's own place, for shells that have not read its profile yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

export ONCE PORT TARGET CONFIG METHOD

help: ## this list
	@echo 'make TARGET, where TARGET is one of'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'demo, over your own servers: make demo TARGET=dns:///host:50051 [CONFIG=JSON] [METHOD=/pkg.Service/Method]'
	@echo 'demo, quick and checked:     make demo ONCE=1'
	@echo 'demo, in the browser, too:   make wasm demo [PORT=8080]'
	@echo 'test, only some parts:       make test PARTS="core grpc-go"   (names: make test PARTS=list)'

demo: ## gRPC calls spread over several backends, live in the terminal (needs Rust, nothing else)
	@.ci/setup-rust.sh
	cargo run --release -p grpclb --example demo

test: ## all tests, real peers included; ends with "N passed, N failed, N skipped"
	@.ci/test.sh $(PARTS)

check-all: ## make test, then fuzzing and a longer soak
	@.ci/test.sh --all $(PARTS)

c: ## the C library and its examples: target/c/{lib,include}, target/examples/c (needs Rust and a C compiler)
	@.ci/setup-rust.sh
	.ci/build-c.sh

c-bare: ## the C library without an operating system: target/bare/TRIPLE (TRIPLE=thumbv7em-none-eabi)
	@.ci/setup-rust.sh $(or $(TRIPLE),thumbv7em-none-eabi)
	.ci/build-bare.sh $(or $(TRIPLE),thumbv7em-none-eabi)

install-c: ## the C library, its header and grpclb.pc under PREFIX (default /usr/local; DESTDIR is heeded)
	@.ci/setup-rust.sh
	.ci/build-c.sh install $(or $(PREFIX),/usr/local)

wasm: ## the npm package: target/wasm/pkg and target/wasm/grpclb-VERSION.tgz (needs Rust and Node)
	.ci/build-wasm.sh

python: ## the Python wheel: target/wheels (needs Rust and Python 3.10 or later)
	@.ci/setup-rust.sh
	.ci/build-python.sh

go: ## the C library, and the Go examples over it: target/examples/go (needs Rust, a C compiler and Go)
	@.ci/setup-rust.sh
	.ci/build-c.sh
	.ci/build-go.sh

bench: ## benchmarks (criterion); ARGS=… goes to them
	@.ci/setup-rust.sh
	cargo bench -p grpclb-benches $(if $(ARGS),-- $(ARGS))

bench-wasm: wasm ## messages of a gRPC-Web stream: the npm package and grpc-web, nanoseconds each
	"$$(.ci/setup-node.sh)" wasm/test/bench.mjs "$$(.ci/setup-wasm.sh)"

fuzz: ## fuzzing, a short run of each target (SECONDS_EACH=30)
	@.ci/setup-rust.sh
	.ci/fuzz.sh

conformance: ## h2spec against our server and client; prints how many cases pass
	@.ci/setup-rust.sh
	.ci/conformance.sh

clean: ## removes what was built here (~/.cache/libgrpclb, the tests' tools, stays)
	cargo clean
	rm -rf fuzz/target
