# Isthmus. `make` lists the targets; each one prepares what it needs.

VENV ?= .venv
EXTRAS ?= mpich,test
PYTHON ?=
DEMO ?= demo
PYTEST_ARGS ?=
# One worker per core, of which many tests themselves start several processes; 0: none, in order.
WORKERS ?= auto

# The demo: one case, its gravity-wave scheme swapped for a learned one.
case := cases/aquaplanet_t21.yaml
bundle := gw_column

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env demo test lint clean

bin := $(abspath $(VENV))/bin
stamp := $(VENV)/.installed
# As in an activated environment: `isthmus`, `python` and `mpiexec` are the installed ones.
with_env := PATH="$(bin):$$PATH"

help:  ## This list
	@echo "Usage: make TARGET"
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  \1@\2/p' $(MAKEFILE_LIST) | sed 's/@/\t/' | expand -t 10

env: $(stamp)  ## Create .venv and install Isthmus into it (again only when its requirements change)
	@:

$(stamp): pyproject.toml constraints.txt
	@tools/make_env.sh "$(VENV)" "$(EXTRAS)" "$(PYTHON)"
	@touch $@

demo: env  ## Run the aquaplanet with a physical and a learned gravity-wave scheme and compare them
	@$(with_env) isthmus run $(case) --out "$(DEMO)/physics" --overwrite
	@$(with_env) isthmus run $(case) --out "$(DEMO)/emulator" --overwrite --swap gravity_wave=$(bundle)
	@$(with_env) isthmus compare runs "$(DEMO)/physics" "$(DEMO)/emulator" --report "$(DEMO)/report.html" --skip-days 20

test: env  ## Run the tests (others: PYTEST_ARGS="-m slow"; one after another: WORKERS=0)
	@tools/need.sh chromium || true  # the report is looked at in a browser
	@$(with_env) python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal $(PYTEST_ARGS)

lint: env  ## Check style, formatting and types
	@$(with_env) ruff check .
	@$(with_env) ruff format --check .
	@$(with_env) mypy

clean:  ## Remove the environment, the demo's output and caches
	rm -rf "$(VENV)" "$(DEMO)" build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
