# `make` alone lists the targets. MODEL and DEVICE choose what `make serve` serves and where it runs.

MODEL ?= $(or $(DARKROOM__MODELS__DEFAULT),emoji64)
DEVICE ?= cpu
PYTHON ?= python3
CARGO ?= cargo
SECONDS ?= 60

# The CUDA flavour lies under a name of its own, so that cargo sees a change of flavour and links anew.
ifeq ($(DEVICE),cuda)
  WITH_LIBTORCH := LIBTORCH="$${LIBTORCH:-$(CURDIR)/.libtorch-cuda}"
  SERVE_ENV := DARKROOM__ENGINE__DEVICES='["cuda:0"]'
endif

.DEFAULT_GOAL := help
.PHONY: help serve build test fuzz check fmt fmt-check lint doc deny openapi methods bench compare edits goldens clients venv libtorch

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  MODEL=emoji64|gaussian and DEVICE=cpu|cuda apply to serve; DEVICE also to build, test, bench, lint, doc."

serve: build ## set everything up and serve on port 8080 (MODEL=..., DEVICE=...)
	DARKROOM__MODELS__DEFAULT=$(MODEL) $(SERVE_ENV) target/release/darkroom serve

build: libtorch ## target/release/darkroom
	$(WITH_LIBTORCH) $(CARGO) build --release

# Many servers at once: their threads should sleep while they wait, not spin.
test: libtorch clients ## every test, with all they need
	OMP_WAIT_POLICY=PASSIVE $(WITH_LIBTORCH) $(CARGO) test --release

# Alone and one after the other, because the address space is watched.
fuzz: libtorch ## feed mutated pictures, forms and tensors to their readers, each for SECONDS (60)
	DARKROOM_FUZZ_SECONDS=$(SECONDS) $(WITH_LIBTORCH) $(CARGO) test --release --test it -- fuzz:: --test-threads=1 --nocapture

check: fmt-check test lint doc deny ## all that must hold before a change is merged

fmt: ## format the code
	$(CARGO) fmt

fmt-check:
	$(CARGO) fmt --check

lint: libtorch ## clippy, warnings denied
	$(WITH_LIBTORCH) $(CARGO) clippy --release --all-targets -- -D warnings

doc: libtorch ## the documentation of the library, warnings denied
	$(WITH_LIBTORCH) RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --no-deps --document-private-items

deny: ## licences, sources and bans of the dependencies
	"$$($(PYTHON) scripts/cargo_deny.py)" --log-level warn check bans licenses sources

openapi: build ## write openapi.yaml anew
	target/release/darkroom openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml

methods: build ## write docs/methods.md anew
	target/release/darkroom methods > docs/methods.md.new && mv docs/methods.md.new docs/methods.md

bench: build venv ## measure against a bare loop and a Python server, on this machine
	$(WITH_LIBTORCH) $(CARGO) bench --no-run --profile release --bench forward --bench bare_loop
	.venv/bin/python benches/measure.py

compare: build ## compare samplers on the embedded model, as docs/compare shows it
	$(WITH_LIBTORCH) docs/compare/make.sh

edits: build venv ## edit real pictures by every method, as docs/edits shows it
	$(WITH_LIBTORCH) docs/edits/make.sh

goldens: venv ## the golden numbers of tests/data, anew
	.venv/bin/python tests/data/make_goldens.py
	.venv/bin/python tests/data/make_inpaint_goldens.py
	.venv/bin/python tests/data/make_picture_goldens.py
	.venv/bin/python tests/data/make_prompt_goldens.py
	.venv/bin/python tests/data/make_schedule_goldens.py
	.venv/bin/pip install --no-deps k-diffusion==0.1.1.post1 torchsde==0.2.6 trampoline==0.1.2 torchdiffeq==0.2.5
	.venv/bin/python tests/data/make_sampler_goldens.py

clients: .clients/complete ## the real clients that the tests drive, in .clients

.clients/complete: tests/clients/requirements.txt scripts/chromium.sh
	$(PYTHON) -m venv .clients
	.clients/bin/python -m pip install --quiet --requirement tests/clients/requirements.txt
	scripts/chromium.sh .clients/bin/python
	touch $@

venv: .venv/complete

# The Python libraries that goldens and benchmarks compare with: several GB.
.venv/complete: benches/peer/requirements.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --requirement benches/peer/requirements.txt
	touch $@

libtorch: ## fetch LibTorch once per user (LIBTORCH=... in the environment wins)
	@$(PYTHON) scripts/libtorch.py --device $(DEVICE)
