# `make book` and `make test` are the two commands; `make help` lists the rest.
PYTHON ?= python3
PROFILE ?= quick
CHAPTER ?= xray/study
# Processes of `make test`; each has one thread
TEST_WORKERS ?= 2
# Another package index for torch alone, for instance https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Further options of `medssl book`, for instance BOOK_OPTIONS="--force --jobs 2"
BOOK_OPTIONS ?=

VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.lock)
LOCK_HASH := $(shell cksum requirements.lock | tr ' ' '-' | cut -d- -f1,2)
LOCK_STAMP := $(VENV)/.lock-$(LOCK_HASH)
PROJECT_STAMP := $(VENV)/.project
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps

.DELETE_ON_ERROR:
.PHONY: help venv book chapter test lint verify bench lock clean python-version

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: PYTHON=$(PYTHON) PROFILE=$(PROFILE) CHAPTER=$(CHAPTER) TEST_WORKERS=$(TEST_WORKERS) TORCH_INDEX=$(TORCH_INDEX) BOOK_OPTIONS=$(BOOK_OPTIONS)"

python-version:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	"Python 3.11 or later is needed, and $(PYTHON) is %d.%d: name another one with make PYTHON=python3.12 ..." % v[:2])'

# The stamp carries the hash of the lock and is written last: an interrupted installation starts again.
$(LOCK_STAMP): requirements.lock
	@$(MAKE) --no-print-directory python-version
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	rm -f $(VENV)/.lock-* $(PROJECT_STAMP)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(UV_INSTALL) -r requirements.lock
	@touch $@

$(PROJECT_STAMP): $(LOCK_STAMP) pyproject.toml
	$(UV_INSTALL) --no-build-isolation -e .
	@touch $@

venv: $(PROJECT_STAMP)  ## make .venv from requirements.lock when the lock has changed

book: venv  ## execute every chapter (PROFILE=quick|published|full) and build _build/html
	$(BIN)/medssl book --profile $(PROFILE) $(BOOK_OPTIONS)

chapter: venv  ## the same with one chapter: make chapter CHAPTER=xray/study PROFILE=full
	$(BIN)/medssl book --profile $(PROFILE) --chapter $(CHAPTER) $(BOOK_OPTIONS)

test: venv  ## run the test suite
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile

lint: venv  ## check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

verify: venv  ## open every page of _build/html in headless Chromium and check it
	$(BIN)/python -m pytest tests_rendered

bench: venv  ## time the book and the pretraining
	for script in benchmarks/[!_]*.py; do $(BIN)/python $$script || exit 1; done

lock: venv  ## resolve the ranges of pyproject.toml anew into requirements.lock
	rm -f requirements.lock.part && cp requirements.lock requirements.lock.part
	$(BIN)/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 \
		--quiet --no-annotate --no-header --upgrade --output-file requirements.lock.part
	grep -vE '^(nvidia-|cuda-|triton)' requirements.lock.part > requirements.lock.new
	rm requirements.lock.part && mv requirements.lock.new requirements.lock

clean:  ## remove everything that a build made; .venv stays
	rm -rf _build
