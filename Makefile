# SPDX-License-Identifier: GPL-2.0-only
# The commands of the project; each is one line here and a module in harness/.
# `make help` prints them with their variables.

PYTHON ?= python3
VENV := .venv/bin/python

VARIABLES := PROJECT KERNEL REF SERIES PREVIOUS PATCHES VARIANT CONFIG MACHINE ACCEL TESTS CELL ROOTFS ROOTFS_LOGIN DEBUG CONSOLE DECODE JOBS OUT \
	RACE MODE EXPLAIN RUNS \
	KIND MINUTES SEED CPUS SHARDS REPEAT STATICS KTAP NOTES TREE HARNESS_CACHE HARNESS_CACHE_LIMIT
export $(VARIABLES)
# Images for CI like to set it, and then every run compiles the same 600 modules: 2 s of 30.
unexport PYTHONDONTWRITEBYTECODE

RUN_COMMANDS := test-kernel test-series revision plan cell merge seen-red test-regression build-matrix static-checks soak \
	repro shell list-tests tree refresh report selftest-detectors b4-check bench

.DEFAULT_GOAL := help
.PHONY: help check clean-cache $(RUN_COMMANDS)

help:
	@$(PYTHON) -m harness.helptext

$(RUN_COMMANDS):
	@$(PYTHON) harness/bootstrap.py --for test-kernel
	@$(VENV) -m harness $@

# The slow part builds a kernel and runs guests: minutes for the first time. SLOW=no leaves it out.
check:
	@$(PYTHON) harness/bootstrap.py --for check
	@$(if $(filter no,$(SLOW)),,$(PYTHON) harness/bootstrap.py --for test-kernel)
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .
	@$(VENV) -m mypy harness tests guest-tests patches
	@$(VENV) -m pytest -rs $(if $(filter no,$(SLOW)),-m "not slow")

clean-cache:
	@$(PYTHON) -m harness.clean_cache
