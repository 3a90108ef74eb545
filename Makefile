# Each target sets up what it needs. Another interpreter: make setup PYTHON=python3.12
PYTHON ?= python3
PIP = -m pip install --quiet --disable-pip-version-check
INSTALL = $(PIP) --editable ".[dev]"
PYTEST = -m pytest -n 2 --dist loadfile --durations 20
# The whole pipeline first: it takes as long as all others together.
TFX_TESTS = tests/examples/test_tfx_pipeline.py tests/components
QUICKSTART = examples/quickstart.py --report report

.PHONY: help setup run test test-newest test-oldest test-tfx lint format bench clean

help:
	@echo "make setup   an environment in .venv, with pinned packages"
	@echo "make run     the quickstart: train without and with augmentation, compare, write report/"
	@echo "make test    the tests, on TensorFlow 2.21 and, where Python 3.10 is found, on 2.16"
	@echo "make test-tfx  the tests of the TFX components, in real TFX: 1.21 where glibc is 2.39 or newer,"
	@echo "             else 1.16 on Python 3.10"
	@echo "make lint    ruff's checks; make format applies its format"
	@echo "make bench   every benchmark, in its quick form"
	@echo "make clean   removes what the targets made, environments too"

setup: .venv/.installed

.venv/.installed: setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "Python 3.10 to 3.13 is needed; $(PYTHON) is: $$($(PYTHON) --version 2>&1)." \
	    "Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv; this takes some minutes the first time."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(INSTALL) --constraint constraints.txt
	@touch $@

.venv-oldest/.installed: setup.py constraints-oldest.txt
	@echo "Installing TensorFlow 2.16 into .venv-oldest; this takes some minutes the first time."
	@$(OLDEST_PYTHON) -m venv .venv-oldest
	@.venv-oldest/bin/python $(INSTALL) --constraint constraints-oldest.txt
	@touch $@

run: setup
	.venv/bin/python $(QUICKSTART)

test: test-newest test-oldest

test-newest: setup
	.venv/bin/python $(PYTEST)

test-oldest:
	@if python=$$(scripts/find_python 3.10); then \
	  $(MAKE) --no-print-directory .venv-oldest/.installed OLDEST_PYTHON="$$python" && \
	  echo '.venv-oldest/bin/python $(PYTEST) -m "not slow"' && \
	  .venv-oldest/bin/python $(PYTEST) -m "not slow"; \
	else \
	  echo "not tested on TensorFlow 2.16: no Python 3.10 found"; \
	fi

# The lane that this system can hold; .venv-tfx remembers which one it has.
test-tfx:
	@lane=$$(scripts/tfx_lane) || exit 1; set -- $$lane; \
	$(MAKE) --no-print-directory .venv-tfx/.installed-$$1 TFX_LANE="$$1" TFX_PYTHON="$$2" && \
	.venv-tfx/bin/python -c 'import tfx.types, tensorflow_data_validation' && \
	echo "TFX $$1: .venv-tfx/bin/python $(PYTEST) $(TFX_TESTS)" && \
	.venv-tfx/bin/python $(PYTEST) $(TFX_TESTS)

.venv-tfx/.installed-$(TFX_LANE): setup.py constraints-tfx-$(TFX_LANE).txt
	@echo "Installing TFX $(TFX_LANE) into .venv-tfx; this takes some minutes the first time."
	@[ -e $@ ] || rm -rf .venv-tfx
	@$(TFX_PYTHON) -m venv .venv-tfx
	@.venv-tfx/bin/python $(PIP) --editable ".[dev,tfx,kubeflow,synthesis]" \
	  --constraint constraints-tfx-$(TFX_LANE).txt
	@touch $@

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

bench: setup
	@for script in benchmarks/[!_]*.py; do \
	  echo "$$script --quick"; .venv/bin/python "$$script" --quick || exit 1; \
	done

clean:
	rm -rf .venv .venv-oldest .venv-tfx build dist report *.egg-info .pytest_cache .ruff_cache
