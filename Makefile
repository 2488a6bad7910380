# Every target makes what it needs first: a virtual environment in .venv. For make demo it has what the exporter runs on, from
# requirements.lock; for all others what the tests and checks take too, from requirements-dev.lock.
# Options of the program behind a target go into ARGS: make test ARGS='-k store', make demo ARGS='--help'.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
READY := .venv/.ready
PYTHONS := python3.11 python3 python3.12 python3.13 python3.14
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Bytecode is kept, also where the environment says otherwise: the tests start the exporter some hundred times.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-taps quick coverage check fix golden docs bench compiled image-test sbom release lock lock-taps clean

help: ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: .venv/.running ## run the exporter beside simulated calls
	@$(BIN)/python -m exporter.cli demo $(ARGS)

test: $(READY) ## run all tests on all cores; installs the real programs they talk to where it can
	@.ci/peers
	@$(PYTEST) $(PARALLEL) $(THREE_MORE) $(COVERAGE) -m "not alone" $(ARGS) || $(unless_none_was_chosen)
	@$(PYTEST) $(PARALLEL) 2 -m alone $(ARGS) || $(unless_none_was_chosen)

test-taps: export TAPS := all
test-taps: $(READY) ## run the taps for frameworks in every version that is supported; make test runs the newest
	@.ci/peers
	@$(PYTEST) $(wildcard tests/sockets/test_tap_livekit.py tests/sockets/test_tap_pipecat.py) $(ARGS)

quick: export HYPOTHESIS_PROFILE := $(or $(HYPOTHESIS_PROFILE),quick)
quick: $(READY) ## run the tests that need no server, process or peer: what one runs while editing
	@$(PYTEST) $(PARALLEL) auto -m "not external and not alone" $(ARGS)

coverage: ## run all tests and show which branches they take
	@$(MAKE) test COVERAGE="--cov --cov-report=term-missing:skip-covered"

check: $(READY) ## lint, format, types, imports, generated pages
	@echo "ruff check" && $(BIN)/ruff check --quiet
	@echo "ruff format" && $(call unless_failing,$(BIN)/ruff format --diff)
	@echo "mypy" && $(BIN)/mypy --no-error-summary
	@echo "mypy, the tap on its oldest Python" && $(BIN)/mypy --no-error-summary --python-version 3.10 tap/agentstack_tap
	@echo "lint-imports" && $(call unless_failing,$(BIN)/lint-imports --no-logo)
	@echo "docs" && $(write_pages)
	@for page in $(PAGES); do diff -u docs/$$page .cache/docs/$$page \
	  || { echo "docs/$$page is stale: run make docs" >&2; exit 1; }; done
	@echo "boards" && $(write_boards)
	@for form in dashboards dashboards-native export; do diff -ru grafana/$$form .cache/grafana/$$form \
	  || { echo "grafana/$$form is stale: run make docs" >&2; exit 1; }; done
	@echo "chart" && rm -rf .cache/chart && $(BIN)/python -m deploy.helm.render .cache/chart
	@for made in README.md values.schema.json files; do diff -ru $(CHART)/$$made .cache/chart/$$made \
	  || { echo "$(CHART)/$$made is stale: run make docs" >&2; exit 1; }; done

fix: $(READY) ## repair what the linter and the formatter can
	@$(BIN)/ruff check --fix --exit-zero --quiet >/dev/null
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check

golden: $(READY) ## rewrite the expected outputs; read the diff before you commit it
	@$(BIN)/pytest --update-golden $(or $(ARGS),tests/golden)
	@git diff --stat -- tests 2>/dev/null || true

docs: $(READY) ## write the generated pages, dashboards and parts of the Helm chart
	@$(write_pages)
	@mkdir -p docs && for page in $(PAGES); do cp .cache/docs/$$page docs/$$page; done
	@$(write_boards)
	@rm -rf grafana/dashboards grafana/dashboards-native grafana/export && cp -r .cache/grafana/* grafana/
	@$(BIN)/python deploy/prometheus/native_rules.py > .cache/recording.rules.yml && mv .cache/recording.rules.yml $(NATIVE_RULES)
	@$(BIN)/python deploy/kubernetes/monitoring/render.py > .cache/rules.yaml && mv .cache/rules.yaml $(OPERATOR_RULES)/prometheusrule.yaml
	@$(BIN)/python deploy/kubernetes/monitoring/render.py native > .cache/rules.yaml && mv .cache/rules.yaml $(OPERATOR_RULES)/prometheusrule-native.yaml
	@$(BIN)/python -m deploy.helm.render $(CHART)

bench: $(READY) compiled ## measure what the exporter costs
	@$(BIN)/python -m bench $(ARGS)

compiled: .cache/compiled/.ready ## compile the hot path, as in the image, in a copy: .cache/compiled

.cache/compiled/.ready: $(READY) $(shell find exporter -name '*.py' -o -name '*.pyx' -o -name '*.pxd')
	@rm -rf $(@D) && mkdir -p $(@D) && cp -R exporter $(@D)/exporter && find $(@D) -name __pycache__ -prune -exec rm -rf {} +
	@COMPILED_CACHE="$${XDG_CACHE_HOME:-$$HOME/.cache}/agentstack-exporter/compiled" $(BIN)/python -m exporter.compiled.build $(@D)/exporter >/dev/null
	@touch $@

image-test: ## build the image and run it as Kubernetes would (Debian, root, two minutes)
	@deploy/image/test.sh

sbom: $(READY) ## write the image's bill of materials to dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist
	@$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json
	@echo dist/sbom.cdx.json

release: $(READY) ## check the versions and build what is released into dist/
	@$(BIN)/python -m deploy.release.build
	@$(MAKE) sbom

# Keeps the versions that still fit; make lock ARGS=--upgrade takes the newest.
lock: $(READY) ## pin the dependencies of pyproject.toml by hash
	@$(BIN)/$(COMPILE) pyproject.toml --output-file requirements.lock >/dev/null
	@$(BIN)/$(COMPILE) pyproject.toml --group dev --constraint requirements.lock --output-file requirements-dev.lock >/dev/null
	@$(BIN)/$(COMPILE) --group build --constraint requirements-dev.lock --output-file requirements-build.lock >/dev/null
	@$(BIN)/$(subst 3.11,3.10,$(COMPILE)) tap/pyproject.toml --resolution lowest --output-file tap/requirements-oldest.lock >/dev/null

# Without docopt: it has no wheel, and only a program of num2words, which nobody runs, needs it.
lock-taps: $(READY) ## pin the environments of the frameworks that taps are made for, one a version
	@for wanted in tap/environments/*.in; do $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --no-emit-index-url --no-emit-package docopt $(ARGS) $$wanted --output-file $${wanted%.in}.lock >/dev/null; done

clean: ## remove everything that make made
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The generated pages, each from the code it describes; written aside so that a failure leaves the old ones.
PAGES := metrics.md configuration.md semconv.md live-api.schema.json
define write_pages
mkdir -p .cache/docs; \
$(BIN)/agentstack-exporter catalogue --format markdown > .cache/docs/metrics.md; \
$(BIN)/python -m exporter.config.reference > .cache/docs/configuration.md; \
$(BIN)/python -m exporter.tools.semconv_page > .cache/docs/semconv.md; \
$(BIN)/python -m exporter.exporters.live.schema > .cache/docs/live-api.schema.json
endef
NATIVE_RULES := deploy/prometheus/native/recording.rules.yml
OPERATOR_RULES := deploy/kubernetes/monitoring
CHART := deploy/helm/agentstack-exporter

# The dashboards' JSON, from their source in grafana/boards.
write_boards = rm -rf .cache/grafana && $(BIN)/python -m grafana .cache/grafana

COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-header --no-annotate --no-emit-index-url --no-emit-package agentstack-tap $(ARGS)

# The tests that measure time come last, one at a time, or two of those that mostly wait. Options may leave one of the two lots empty, which pytest says with 5.
PYTEST := $(BIN)/pytest
# With servers and processes, three workers more than cores: many of these tests wait.
PARALLEL := --dist loadgroup --numprocesses
THREE_MORE := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 3)
unless_none_was_chosen = { status=$$?; [ -n "$(ARGS)" ] && [ $$status -eq 5 ] || exit $$status; }

# $(call unless_failing,COMMAND): say nothing, or everything and fail.
unless_failing = { out=$$($(1) 2>&1) || { printf '%s\n' "$$out" >&2; exit 1; }; }

# What the exporter runs on, and then all the rest; again only when the lock changed.
.venv/.running: requirements.lock
	@python=; for candidate in $(PYTHONS); do \
	  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; done; \
	test -n "$$python" || { echo "Python 3.11 or newer is needed; found none of: $(PYTHONS)" >&2; exit 1; }; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  echo "making .venv with $$($$python --version)"; $$python -m venv --clear .venv; fi
	@$(install)
.venv/.locked: requirements-dev.lock .venv/.running
	@$(install)
define install
echo "installing $<" && $(BIN)/python -m pip install --quiet --require-hashes --requirement $< && touch $@
endef

# The packages themselves, from these files; again only when what pyproject.toml says of them may have changed.
$(READY): .venv/.locked pyproject.toml tap/pyproject.toml
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . --editable ./tap
	@touch $@
