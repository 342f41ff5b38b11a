# make demo          a running service in one command
# make demo-amqp     two workers that share a queue, on a RabbitMQ of their own
# make test          everything that must pass before a change lands
# make bench         what a baton costs, beside hand-written loops and peers
# make bench-faults  what becomes of messages when brokers, processes and networks fail: ROUNDS=20 of each kind
# make reference     renew docs/reference from the code
# make lock          renew constraints.txt

VENV ?= .venv
ROUNDS ?= 20
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check

.PHONY: demo demo-amqp test lint types unit bench bench-faults reference lock clean debian

demo: $(VENV)/.demo
	@echo
	@echo "An inbox for webhooks on http://127.0.0.1:8080, until you press ctrl-C. Try, in another terminal:"
	@echo "    curl -i -d '{\"hello\": \"world\"}' http://127.0.0.1:8080/hooks/first"
	@echo "    curl -i -d 'not json' http://127.0.0.1:8080/hooks/first"
	@echo "    curl http://127.0.0.1:8080/hooks/first"
	@echo "and open http://127.0.0.1:8080/ and http://127.0.0.1:8080/pipelines in a browser."
	@echo
	@exec $(BIN)/piped run examples/quickstart.yaml

demo-amqp: $(VENV)/.demo-amqp
	@exec $(BIN)/python -m examples.amqp_demo

test: lint types unit

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.dev
	$(BIN)/mypy

unit: $(VENV)/.dev debian
	$(BIN)/pytest

bench: $(VENV)/.bench debian
	$(BIN)/python bench/run.py

bench-faults: $(VENV)/.dev debian
	$(BIN)/python -m bench.faults --rounds $(ROUNDS)

reference: $(VENV)/.dev
	$(BIN)/python docs/reference.py

$(BIN)/pip:
	@echo "Making a virtual environment in $(VENV) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/pip pyproject.toml constraints.txt
	@echo "Installing Piped and what it needs, which takes about half a minute ..."
	@$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.demo-amqp: $(VENV)/.demo
	@$(PIP) install --quiet -c constraints.txt -e '.[amqp]'
	@touch $@

$(VENV)/.dev: $(BIN)/pip pyproject.toml constraints.txt
	@echo "Installing Piped and what its tests need ..."
	@$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo $(VENV)/.demo-amqp

$(VENV)/.bench: $(VENV)/.dev
	@echo "Installing what Piped is measured beside ..."
	@$(PIP) install --quiet -c constraints.txt -e '.[dev,bench]'
	@touch $@

# What the tests and benchmarks start besides Python, installed when that is possible and needed.
debian:
	@missing=$$(grep -v '^#' debian-packages.txt | while read package; do dpkg -s $$package >/dev/null 2>&1 || echo $$package; done); \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ]; then \
		echo "Installing Debian packages:" $$missing; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y $$missing >/dev/null; \
	elif [ -n "$$missing" ]; then \
		echo "Missing Debian packages, tests that need them will fail:" $$missing; \
	fi

lock:
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet -e '.[dev,bench]'
	{ echo "# The versions that the tests ran with. Renew with: make lock"; \
	  $(VENV)-lock/bin/pip freeze --exclude-editable --exclude piped; } > constraints.txt
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis src/*.egg-info
