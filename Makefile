# `make demo` and `make test` do all their own set-up on a fresh Debian 12, as root.
PYTHON ?= python3
VENV := .venv
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help venv lab demo test check docs bench lock clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

venv: $(VENV)/.complete ## the project's Python environment, from the locked dependencies

$(VENV)/.complete: requirements-dev.lock
	@echo "make: installing the locked dependencies into $(VENV) (about 30 s)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { apt-get -qq update && apt-get -qq install -y python3-venv >/dev/null; }
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

lab: venv ## disposable hosts for the shipped hosts.yaml; `make clean` takes them down
	@$(PYTHON) -m lab.playground

demo: venv ## fresh lab hosts, deploy, configure, trust-cert, a pull through the cache
	@lab/demo

check: venv ## format, lint, types, unit tests: under 20 s
	@$(VENV)/bin/ruff format --check -q . && $(VENV)/bin/ruff check -q . && $(VENV)/bin/mypy
	@$(VENV)/bin/pytest -q -n 2 tests/unit

test: check ## every test, unit and integration
	@$(VENV)/bin/pytest -n 2 tests/integration

docs: venv ## write the reference of the settings and the editor's schema
	@$(VENV)/bin/python -m harbor.reference > docs/settings.md
	@$(VENV)/bin/python -m harbor.schema > files/hosts.schema.json

bench: venv ## how long things take
	@for script in bench/bench_*.py; do $(VENV)/bin/python $$script || exit 1; done

lock: venv ## pin the dependencies anew, with hashes
	@pin="$(VENV)/bin/pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-header"; \
	$$pin -o requirements.lock pyproject.toml && \
	$$pin --extra dev -o requirements-dev.lock pyproject.toml

clean: ## take down every lab host of this clone and remove what was built
	@[ ! -d .lab ] || $(PYTHON) -m lab down
	@rm -rf .lab $(VENV) .pytest_cache .mypy_cache .ruff_cache
