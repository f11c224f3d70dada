# Needs Python 3.11 or newer and make. `make lab PYTHON=python3.12` picks another interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN ?= $(VENV)/bin
N ?= 11
D ?= induction

.PHONY: help lab reset test lesson reseed model blanks sync bench data
.NOTPARALLEL:          # what is installed first is needed next
.DELETE_ON_ERROR:      # a half-made environment is made again

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

lab: model  ## open your copies of the lessons in JupyterLab (ARGS= goes to JupyterLab)
	$(BIN)/python -m solutions.work lab $(ARGS)

reset: $(VENV)/lab.done  ## set your copy of a lesson aside and make a new one: make reset N=11
	@$(BIN)/python -m solutions.work reset $(if $(filter file,$(origin N)),,$(N))

test: $(VENV)/test.done model  ## run every test (ARGS= goes to pytest)
	$(BIN)/python -m pytest -n 2 --dist loadscope $(ARGS)

lesson: $(VENV)/test.done model  ## run one solved lesson without a screen: make lesson N=11
	@$(BIN)/python -m solutions.make run $(N)

reseed: $(VENV)/test.done model  ## run a lesson at three other seeds, its claims counted: make reseed N=11
	@$(BIN)/python -m solutions.reseed $(N) $(ARGS)

model: $(VENV)/lab.done  ## fetch the default model, once
	@$(BIN)/python -m utils.fetch

blanks: $(VENV)/test.done model  ## make the notebooks from solutions/*.py (ARGS=11 for one lesson)
	$(BIN)/python -m solutions.make blanks $(ARGS)

sync: $(VENV)/test.done  ## see whether the notebooks fit solutions/*.py
	$(BIN)/python -m solutions.make sync

bench: $(VENV)/test.done model  ## time and memory beside TransformerLens, about 15 minutes (ARGS=--json)
	@$(BIN)/python -m tests.bench $(ARGS)

data: $(VENV)/lab.done  ## make a folder's data again: make data D=induction
	$(BIN)/python -m data.$(D).make

$(VENV)/lab.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -c constraints.txt -e . && touch $@

$(VENV)/test.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -c constraints.txt -e ".[test]" && touch $(VENV)/lab.done $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo 'The course needs Python 3.11 or newer, and `$(PYTHON)` is not that: try `make $(MAKECMDGOALS) PYTHON=python3.12`.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo '`$(PYTHON)` cannot make environments: on Debian or Ubuntu, `sudo apt install python3-venv` first.' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
