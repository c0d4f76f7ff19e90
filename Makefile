# SPDX-License-Identifier: GPL-2.0-only
# The commands of the project; harness/core/command_table.py says what each is, and `make help` prints it.
# Variables that are given to make are in the environment of what it runs.

PYTHON ?= python3
VENV := .venv/bin/python
# Images for CI like to set it, and then every run compiles the same 600 modules: 2 s of 30.
unexport PYTHONDONTWRITEBYTECODE

COMMANDS := test-kernel test-series revision plan seen-red mutants test-regression build-matrix try-config static-checks soak \
	cost example repro race-search why-locked finding back drgn shell list-tests tree refresh new-series report selftest-detectors b4-check bench check fuzz-input newcomer

.DEFAULT_GOAL := help
.PHONY: help clean-cache $(COMMANDS)

$(COMMANDS):
	@$(PYTHON) harness/setup/bootstrap.py --for $(if $(filter check fuzz-input,$@),check,test-kernel)
	@$(VENV) -m harness $@

# What needs nothing but Python; and the answer to a name that is no command.
help clean-cache .DEFAULT:
	@$(PYTHON) -m harness $@
