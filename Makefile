# Targets for people and CI. Every step leaves a stamp in .kaon/cache/stamps, so what is done is not done again.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

CACHE := .kaon/cache
STAMPS := $(CACHE)/stamps
PY := .venv/bin/python
BUF_VERSION := 1.75.0
MERMAID_VERSION := 11.17.2
AXE_VERSION := 4.14.1
UV_VERSION := 0.13.9
# The distribution's own is built with profile-guided optimization, which others often are not: a tenth of everything. rpy2 is built
# with its headers.
PYTHON ?= $(or $(and $(wildcard /usr/include/python3.11/Python.h),$(wildcard /usr/bin/python3.11)),3.11)
# By its place: the script in .venv/bin hides exit codes.
COMPOSE = $(wildcard .venv/lib/python3*/site-packages/compose/docker-compose)
BUF := $(CACHE)/npm/node_modules/.bin/buf
MERMAID := $(CACHE)/mermaid-$(MERMAID_VERSION).min.js
AXE := $(CACHE)/axe-$(AXE_VERSION).min.js

WEB := services/console/web
# What Vite asks for.
NODE_IS_NEW := node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'
# Only where Node is: everything but the console's page works without it.
WEB_READY = $(wildcard $(WEB)/node_modules)

PROTOS := $(shell find proto -name '*.proto' 2>/dev/null)
# A package counts as soon as it has a pyproject.toml.
VERSION := packages/wire/src/kaon_wire/version.py
PROJECTS := $(wildcard packages/*/pyproject.toml sdk/pyproject.toml services/*/pyproject.toml deploy/local/pyproject.toml)
SOURCES := $(wildcard $(addsuffix src,$(dir $(PROJECTS)))) docs/docsite

# A Node that was fetched comes first.
export PATH := $(CURDIR)/$(CACHE)/node/node_modules/.bin:$(PATH)
export UV_PYTHON_DOWNLOADS := never
# Some machines tell Python to keep no compiled code: every process would compile all that it imports, which is more than half of what
# the start of a service costs.
unexport PYTHONDONTWRITEBYTECODE
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# --- set-up ---------------------------------------------------------------------------------------------------------

.PHONY: setup packages page system generate fetch lock
setup: packages page ## make .venv from requirements.lock, generate code, install our packages, build the console's page

packages: $(STAMPS)/packages

# Everything else works without it, and `kaon ui` says what is missing. An older Node fetches a newer one: Debian 12 has an old one.
page:
	@if command -v npm > /dev/null && { $(NODE_IS_NEW) || npm install --silent --no-audit --no-fund --prefix $(CACHE)/node node@22; }; then \
	  $(MAKE) --no-print-directory web $(AXE); \
	else echo "The console's page is not built: that needs Node.js 20.19 or newer, with npm (make system)."; fi

system: $(STAMPS)/system ## install what the machine lacks (Debian/Ubuntu as root); elsewhere list it

$(STAMPS)/system: deploy/local/install.py
	@mkdir -p $(STAMPS)
	python3 deploy/local/install.py
	@touch $@

$(CACHE)/bin/uv: | $(STAMPS)/system
	@mkdir -p $(CACHE)/bin
	@if found=$$(command -v uv); then ln -sf "$$found" $@; else \
	  python3 -m venv $(CACHE)/uv && $(CACHE)/uv/bin/pip install --quiet uv==$(UV_VERSION) && ln -sf ../uv/bin/uv $@; fi

$(STAMPS)/venv: requirements.lock $(CACHE)/bin/uv
	@test -x $(PY) || $(CACHE)/bin/uv venv --quiet --python $(PYTHON) .venv
	DIST_EXTRA_CONFIG=$(CURDIR)/deploy/images/wheels.cfg \
	  $(CACHE)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements.lock
	@touch $@

generate: $(STAMPS)/generate ## proto/ -> packages/wire/src/kaonapi

$(STAMPS)/generate: $(PROTOS) deploy/local/generate.py $(STAMPS)/venv
	$(PY) deploy/local/generate.py
	@touch $@

$(STAMPS)/packages: $(PROJECTS) $(VERSION) $(STAMPS)/generate
	$(CACHE)/bin/uv pip install --quiet --python $(PY) --no-deps --no-build-isolation $(foreach p,$(PROJECTS),-e $(dir $p))
	@touch $@

fetch: setup ## fetch jars and data by package name, make base images, into .kaon/cache
	$(PY) -m kaon_local fetch

# What goes to an index of a company; kaon-local, which starts servers for tests, does not.
.PHONY: wheels
DIST ?= dist
wheels: setup ## build a wheel of each package into DIST=dist: pip install --find-links dist 'kaon[run]'
	@rm -rf $(DIST)
	@for project in packages/* sdk services/*; do \
	  $(CACHE)/bin/uv build --quiet --wheel --no-build-isolation --python $(PY) --out-dir $(DIST) $$project; done
	@ls $(DIST)

lock: $(CACHE)/bin/uv ## requirements.in -> requirements.lock
	$(CACHE)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --python-version 3.11 requirements.in -o requirements.lock
	@! grep -nE '://|--(index|extra-index|find-links)' requirements.lock

# --- checks ---------------------------------------------------------------------------------------------------------

$(BUF):
	@mkdir -p $(CACHE)/npm
	npm install --silent --no-audit --no-fund --prefix $(CACHE)/npm @bufbuild/buf@$(BUF_VERSION)

.PHONY: check breaking format test test-quick chaos
check: packages $(BUF) ## format, lint, imports, types, protos
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	$(PY) deploy/local/imports.py
	.venv/bin/lint-imports --no-logo --cache-dir $(CACHE)/import-linter
	.venv/bin/mypy --strict $(SOURCES)
	$(BUF) lint
	$(if $(WEB_READY),$(MAKE) --no-print-directory web-check)

breaking: $(BUF) ## tell whether protos have only gained fields since AGAINST=commit (HEAD~1)
	$(BUF) breaking --against "$$(git rev-parse --git-common-dir)#format=git,ref=$$(git rev-parse $(or $(AGAINST),HEAD~1))"

format: packages ## apply the formatter and the linter's safe fixes
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
	$(if $(WEB_READY),$(MAKE) --no-print-directory web-format)

chaos: fetch ## random faults against the system in containers under load, MINUTES=3 SEED= (tests/chaos_suite.py)
	$(PY) -m kaon_local with-engine $(PY) tests/chaos_suite.py --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED))

# As many workers as share two cores; conftest.py says which tests stay together.
WORKERS ?= 2
PYTEST = .venv/bin/pytest --numprocesses $(WORKERS) --dist loadgroup

# Tests that start servers come last and one after the other: two systems at once are more than two cores carry in time. The images
# are built beside those without servers, which leave the processor alone now and then, and wait for the package indexes meanwhile.
test: fetch ## every test: first those without servers, by WORKERS=2 processes, then those on real parts
	$(PY) -m kaon_local fetch --object-store
	nice -n 19 $(PY) -m kaon_local with-engine $(PY) tests/build_images.py & images=$$!; \
	$(PYTEST) -m "not real and not e2e" || { kill $$images; exit 1; }; wait $$images
	$(if $(WEB_READY),$(MAKE) --no-print-directory web-test)
	$(PY) -m kaon_local with-engine .venv/bin/pytest -m "real or e2e"

# They wait for half of their time, which further processes use.
test-quick: WORKERS = 4
test-quick: packages ## the tests that start no server and no whole system: two minutes at most, for the inner loop
	$(PYTEST) -m "not real and not e2e and not slow"

# The same tests as in the suite, with other examples each time.
.PHONY: hunt
hunt: packages ## hostile definitions and requests against engine, API and publisher, TIMES=50 times as many as `make test` tries
	KAON_HUNT=$(or $(TIMES),50) $(PYTEST) --timeout 0 -k hostile -m "not real and not e2e"

# --- the console's page ---------------------------------------------------------------------------------------------

# The stamps stand beside what they are of: without it they count for nothing.
WEB_PACKAGES := $(WEB)/node_modules/.package-lock.json
WEB_CLIENTS := $(WEB)/src/gen/.stamp
WEB_SOURCES = $(shell find $(WEB)/src $(WEB)/public $(WEB)/scripts -type f -not -path '$(WEB)/src/gen/*') $(wildcard $(WEB)/*.json $(WEB)/*.ts $(WEB)/*.html)
WEB_PAGE := services/console/src/kaon_console/static/index.html

.PHONY: web web-check web-test web-format
web: $(WEB_PAGE) ## build the console's page from services/console/web (needs Node)

$(WEB_PACKAGES): $(WEB)/package-lock.json
	npm ci --silent --no-audit --no-fund --prefix $(WEB)
	@touch $@

$(WEB_CLIENTS): $(PROTOS) $(WEB)/buf.gen.yaml $(WEB_PACKAGES)
	npm run --silent --prefix $(WEB) generate
	@touch $@

$(WEB_PAGE): $(WEB_SOURCES) $(WEB_CLIENTS)
	npm run --silent --prefix $(WEB) build -- --logLevel warn

web-check: $(WEB_CLIENTS) ## format, lint and types of the page
	npm run --silent --prefix $(WEB) check

web-test: $(WEB_CLIENTS) ## unit tests of the page
	npm run --silent --prefix $(WEB) test

web-format: $(WEB_PACKAGES) ## apply the page's formatter and the linter's safe fixes
	npm run --silent --prefix $(WEB) format

# Rules for what everybody can use, which the tests of pages ask: of the package only the one file that a browser needs.
$(AXE):
	@mkdir -p $(CACHE)/axe
	cd $(CACHE)/axe && npm pack --silent axe-core@$(AXE_VERSION) && tar -xzf axe-core-$(AXE_VERSION).tgz package/axe.min.js
	mv $(CACHE)/axe/package/axe.min.js $@ && rm -r $(CACHE)/axe

# --- documentation --------------------------------------------------------------------------------------------------

# Of the package only the one file that a browser needs.
$(MERMAID):
	@mkdir -p $(CACHE)/mermaid
	cd $(CACHE)/mermaid && npm pack --silent mermaid@$(MERMAID_VERSION) && tar -xzf mermaid-$(MERMAID_VERSION).tgz package/dist/mermaid.min.js
	mv $(CACHE)/mermaid/package/dist/mermaid.min.js $@ && rm -r $(CACHE)/mermaid

.PHONY: docs
docs: packages $(MERMAID) ## build the documentation's site into .kaon/docs/site: pages, generated references, links checked
	PYTHONPATH=docs $(PY) -m docsite $(MERMAID)

# --- figures --------------------------------------------------------------------------------------------------------

.PHONY: bench
bench: fetch ## measure dispatching on the real system (PEER=celery: and a peer beside it)
	$(PY) -m benchmarks $(if $(PEER),--peer $(PEER))

.PHONY: bench-quick
bench-quick: fetch ## a short form of it, at most a minute: prints figures, and ratios where redis-server is installed
	$(PY) -m benchmarks.quick

.PHONY: bench-console
bench-console: fetch web ## measure the web console against its goals: a quarter of an hour (PARTS="frames pixels": some)
	$(PY) -m benchmarks.console $(PARTS)

.PHONY: simulate mutants
SEEDS ?= 10000
START ?= 0
simulate: packages ## simulate the whole system: SEEDS=n runs from START=first on
	cd tests && PYTHONPATH=. ../$(PY) -m simulation --first $(START) --seeds $(SEEDS)

mutants: packages ## switch each safety mechanism off in turn: something must notice
	cd tests && PYTHONPATH=. ../$(PY) -W ignore -m simulation.mutants

# --- run ------------------------------------------------------------------------------------------------------------

.PHONY: demo dev link clean images up down
demo: fetch ## the recommendations workflow on Kafka, HDFS, Hive, Spark, R, Scala and Docker, from start to report
	$(PY) -m kaon_local demo

dev: fetch ## start the whole system and leave it running (stop it with Ctrl-C); RUNNERS=4 for more step-runners, SECURE=1 for a closed one
	$(PY) -m kaon_local dev $(if $(SECURE),--secure)

link: packages ## print another link to the console of make dev
	@$(PY) -m kaon_local link $(if $(SECURE),--secure)

images: fetch ## build the images of docker-compose.yml, and write .env for it
	$(PY) -m kaon_local images

up: images ## the whole system in containers, left running; SECURE=1: closed, with tokens in .kaon/compose/secure.env
	$(if $(SECURE),$(PY) -m kaon_local up-secure,$(COMPOSE) up --detach --wait)

down: ## stop the system in containers (SECURE=1: the closed one); its data stays (docker compose down --volumes deletes it)
	$(if $(SECURE),$(PY) -m kaon_local down-secure,$(COMPOSE) down --remove-orphans)

clean: ## delete state, environment and generated code (stop everything first)
	rm -rf .kaon .venv packages/wire/src/kaonapi
