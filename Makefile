# One door to every task: `make help` lists them. What is built lies in .venv, .venv-proto, .node and typings/, all ignored
# by git; `make clean` removes it. Stamp files make the second call of everything quick.

PYTHON ?= python3
NPM ?= npm
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= constraint protobuf stdout study_file
BUF_VERSION := 1.75.0
GRPC_TOOLS_VERSION := 1.66.2
MYPY_PROTOBUF_VERSION := 3.6.0
UV_VERSION := 0.13.9

BIN := .venv/bin
PROTO := .venv-proto/.stamp-$(GRPC_TOOLS_VERSION)-$(MYPY_PROTOBUF_VERSION)
UV := .venv-lock/.stamp-$(UV_VERSION)
BUF_STAMP := .node/.stamp-$(BUF_VERSION)
# setuptools warns of every editable installation, at length.
PIP := PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check
# A test that ends its process ends the run: with groups, the rest would wait for ever for a worker in its place.
PYTEST := $(BIN)/pytest -n auto --dist loadgroup --max-worker-restart 0
BUF := .node/node_modules/.bin/buf
# The folders of code beside the package, where they have any.
CODE := $(shell find tests benchmarks examples tools -name '*.py' 2>/dev/null | cut -d/ -f1 | sort -u)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two recipes must not install into one environment at the same time.
.NOTPARALLEL:
.PHONY: setup test quick lint format types imports proto proto-check proto-lint proto-baseline demo bench soak fuzz lock typings clean help

setup: .venv/.stamp-dev typings  ## make the development environment in .venv
	@echo "Ready: $(BIN)/wazir, $(BIN)/pytest and the other tools."

test: .venv/.stamp-dev  ## run every test but the soak tests (PYTEST_ARGS="-k name" for some)
	$(PYTEST) $(PYTEST_ARGS)

quick: .venv/.stamp-dev  ## run the tests that take no more than a few seconds each
	$(PYTEST) -m "not slow and not soak" $(PYTEST_ARGS)

soak: .venv/.stamp-dev  ## run the tests that repeat for a long time
	$(BIN)/pytest -m soak --timeout 0 -o faulthandler_timeout=0 $(PYTEST_ARGS)

fuzz: .venv/.stamp-dev  ## feed every parser of foreign text with broken input (FUZZ_SECONDS=600 each)
	for target in $(FUZZ_TARGETS); do $(BIN)/python -m tests.fuzz $$target --seconds $(FUZZ_SECONDS) || exit 1; done

lint: .venv/.stamp-dev typings  ## check style, types, floors, the .proto files and the generated code
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	@$(MAKE) --no-print-directory types imports proto-lint proto-check

format: .venv/.stamp-dev  ## format the code and sort its imports
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

types: .venv/.stamp-dev typings  ## check the types
	$(BIN)/mypy typings/wazir $(CODE)

imports: .venv/.stamp-dev  ## check that every folder imports only from the floors below it
	$(BIN)/lint-imports --no-cache

proto: $(PROTO)  ## generate the Python modules of the .proto files
	.venv-proto/bin/python -m tools.proto

proto-check: $(PROTO)  ## compare the generated modules with the .proto files
	.venv-proto/bin/python -m tools.proto --check

proto-lint: $(BUF_STAMP) typings  ## check the .proto files, also against the released API
	$(BUF) lint
	@if [ -e tools/api.json ]; then echo "$(BUF) breaking --against tools/api.json"; $(BUF) breaking --against tools/api.json; \
	else echo "No API is released yet (tools/api.json, by make proto-baseline): nothing that could be broken."; fi

proto-baseline: $(BUF_STAMP) typings  ## at a release: from now on the API may not break what it is now
	$(BUF) build --exclude-source-info --output tools/api.json

demo: .venv/.stamp-run  ## tune a small network on the digits data, 4 trials at a time
	$(BIN)/wazir run examples/digits/study.yaml

bench: .venv/.stamp-dev  ## measure what a local trial and the service cost
	$(BIN)/python benchmarks/local.py
	$(BIN)/python benchmarks/service.py

lock: $(UV)  ## pin every dependency anew in requirements.lock
	.venv-lock/bin/uv pip compile --quiet --universal --upgrade --all-extras --no-header --output-file requirements.lock pyproject.toml

typings:
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) tools/links.py

clean:  ## remove everything that make has built
	rm -rf .venv .venv-proto .venv-lock .node typings build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## list the tasks
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  make %-16s %s\n", $$1, $$2}'

# ---- environments ------------------------------------------------------------------------------------------------

define check-python
@command -v $(PYTHON) >/dev/null || { echo "Wazir needs Python 3.11 or newer and finds no '$(PYTHON)': install it (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=python3.12 ..." >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Wazir needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1): install a newer one and name it: make PYTHON=python3.12 ..." >&2; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "'$(PYTHON)' cannot make virtual environments: install the module (Debian, Ubuntu: apt install python3-venv) and call make again." >&2; exit 1; }
endef

.venv/.stamp-venv .venv-proto/.stamp-venv .venv-lock/.stamp-venv:
	$(check-python)
	@echo "Making the virtual environment $(@D) ..."
	@$(PYTHON) -m venv $(@D)
	@touch $@

# What the demo needs: the service, the commands and the library that its training script uses.
.venv/.stamp-run: pyproject.toml requirements.lock | .venv/.stamp-venv
	@echo "Installing Wazir into .venv ..."
	@$(PIP) --constraint requirements.lock --editable '.[run,examples]'
	@touch $@

# Everything, so it stands for the demo's part too.
.venv/.stamp-dev: pyproject.toml requirements.lock | .venv/.stamp-venv
	@echo "Installing Wazir and its development tools into .venv ..."
	@$(PIP) --constraint requirements.lock --editable '.[run,postgres,gpu,skopt,kubernetes,examples,dev]'
	@touch .venv/.stamp-run $@

# The versions stand here and not in the lock: the generated code depends on them (tools/proto.py says why they are old).
$(PROTO): | .venv-proto/.stamp-venv
	@echo "Installing the protobuf compiler into .venv-proto ..."
	@.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check 'grpcio-tools==$(GRPC_TOOLS_VERSION)' 'mypy-protobuf==$(MYPY_PROTOBUF_VERSION)'
	@touch $@

$(UV): | .venv-lock/.stamp-venv
	@.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv==$(UV_VERSION)'
	@touch $@

$(BUF_STAMP):
	@command -v $(NPM) >/dev/null || { echo "The check of the .proto files needs npm, to install buf: install Node.js with npm (Debian, Ubuntu: apt install nodejs npm) and call make again." >&2; exit 1; }
	@echo "Installing buf $(BUF_VERSION) into .node ..."
	@mkdir -p .node
	@$(NPM) install --silent --no-fund --no-audit --no-save --ignore-scripts --prefix .node @bufbuild/buf@$(BUF_VERSION)
	@touch $@
