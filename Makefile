# Everything a fresh machine needs: Python 3.11 or newer, git, make.
PYTHON ?= python3
PORT ?= 2024
BIN := .venv/bin
export BALLAST_HOME ?= $(CURDIR)/.ballast
# Set, as in many images, each of the many processes of a test run would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-alone test-long test-plans run dev lint bench chaos evals lock clean

demo: .venv/ready  ## The main job on examples/office: search, read, mail, order, killed and resumed
	@$(BIN)/python -m app.demo

# Counting branches makes the suite a quarter slower: continuous integration does.
COVERAGE = $(if $(CI),--cov --cov-report=term:skip-covered --cov-fail-under=95)
test: .venv/ready tests/model_server/node_modules/ready  ## Real Postgres, server and browser, in under ten minutes
	@tests/browser.sh
	# Four at once, also on two processors: most tests wait, for servers, browsers and processes they start.
	$(BIN)/pytest -m 'not alone and not long' -n 4 --dist worksteal $(COVERAGE)

test-alone: .venv/ready  ## Tests of what a dead endpoint may cost: they measure time, so nothing runs beside them
	$(BIN)/pytest -m alone

test-long: .venv/ready  ## What takes minutes: kills at every write, chaos, each attack, AgentDojo, the demo, random plans
	$(BIN)/pytest -m long -n 2 --dist worksteal

test-plans: export PLANS = 1000
test-plans: export KILLED_PLANS = 40
test-plans: .venv/ready  ## 1,000 random plans, killed, stopped and decided at random, and 40 by SIGKILL: some minutes
	$(BIN)/pytest -s tests/integration/test_random_plans.py tests/integration/test_plan_killed.py

# The task reaches the shell through its environment, as it was typed: neither make nor the shell may read
# `$HOME`, quotes or backticks in it as code.
run: export TYPED_TASK = $(value TASK)
unexport TASK
run: .venv/ready  ## make run TASK='find the travel policy'
	@$(BIN)/ballast run -- "$$TYPED_TASK"

dev: .venv/ready  ## LangGraph server and Studio on our checkpointer
	$(BIN)/langgraph dev --port $(PORT) --n-jobs-per-worker 10 --no-browser --no-reload --studio-url https://smith.langchain.com

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

bench: .venv/ready  ## Beside LangChain's create_agent; writes benchmarks/results.md
	$(BIN)/python -m benchmarks

chaos: .venv/ready  ## Runs killed 1,000 times, cut off from Postgres, confused by 300 spoiled models: some minutes
	$(BIN)/ballast chaos --kills 1000 --runs 300
	$(BIN)/ballast chaos --graph plan --kills 300 --runs 100

evals: .venv/ready  ## Our own attacks and three of AgentDojo's suites, on both graphs: about half an hour
	$(BIN)/ballast eval run
	for graph in react plan; do for suite in banking travel workspace; do \
	  $(BIN)/ballast eval dojo --suite $$suite --marks evals/dojo/$$suite.yaml --graph $$graph \
	    --injections $$([ $$suite = banking ] && echo 0-8 || echo 0-5) || exit; done; done

lock:  ## Pin what pyproject.toml allows, with hashes
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet -o requirements.lock

clean:
	rm -rf .venv .ballast .langgraph_api

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ballast needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	# The lock is complete. Left to look for itself, pip takes a newer release for an extra and then misses its hash.
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# A real OpenAI-compatible server for the tests, run by the machine's Node.js or by the one the lock brings.
# Where the npm registry can't be reached its tests are skipped, and fail when CI=true.
NPM = $(shell command -v npm || echo $(BIN)/npm)
tests/model_server/node_modules/ready: tests/model_server/package-lock.json .venv/ready
	@if $(NPM) ci --silent --no-audit --no-fund --prefix tests/model_server; then touch $@; \
	else echo "npm could not install the model server: tests of openai: over HTTP will be skipped"; fi
