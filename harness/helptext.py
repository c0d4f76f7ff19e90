# SPDX-License-Identifier: GPL-2.0-only
"""``make help``: every command and every variable. Needs nothing but Python itself."""

from __future__ import annotations

import sys

from harness.settings import VARIABLES

COMMANDS: dict[str, str] = {
    "test-kernel": "apply, build, boot, test, report: the whole main job",
    "test-series": "the same after each patch of the series, from none to all; one table",
    "seen-red": "each clause's cases on kernels with a mistake in it: they must fail there",
    "test-regression": "the kernel's own selftests without the series and with it: what differs",
    "revision": "each patch against the base, the whole against PREVIOUS=; reply.txt",
    "soak": "repeat KIND= with fresh seeds for MINUTES=, resumable; without KIND= the table",
    "repro": "races on demand: RACE= with and without the protection, the CPUs held in order",
    "build-matrix": "the series built for other configurations and architectures (CELL=: one)",
    "static-checks": "checkpatch, sparse and kernel-doc of each patch, against the patch before",
    "plan": "the cells of a revision: kernel x flavour x state x shard, as rows and plan.json",
    "cell": "one cell of the plan (CELL=); 0 once it came to its end, the verdict is merge's",
    "merge": "the verdict on a revision from the cells' results below OUT=",
    "check": "the project's own tests, ruff and mypy: the one gate (SLOW=no: without kernels)",
    "shell": "an interactive shell in the built kernel, console log alongside",
    "tree": "the patched tree as a git branch to edit (TREE= says where)",
    "refresh": "the edited branch back to patches/, byte-stable",
    "report": "the runs of one series merged into one clause table",
    "list-tests": "the guest tests with their clauses",
    "selftest-detectors": "prove that hangs, oopses, stalls ... are seen on this very kernel",
    "b4-check": "for b4 review, by ci/b4-check: a message on standard input, our verdict as JSON",
    "bench": "measure cold, repeated and incremental runs, and boot times",
    "clean-cache": "remove the store",
    "help": "this text",
}


def text() -> str:
    """The help text, ending with a newline."""
    lines = ["make COMMAND [VARIABLE=value ...]", ""]
    lines += [f"  {name:<20} {about}" for name, about in COMMANDS.items()]
    lines += ["", "variables (also from the environment):"]
    for name, (default, about) in VARIABLES.items():
        shown = f" [{default}]" if default else ""
        lines.append(f"  {name:<20} {about}{shown}")
    lines += [
        "",
        "exit status of `.venv/bin/python -m harness COMMAND` (make itself turns every failure",
        "into 2, so the last line on the screen names the kind as well): 0 pass, 1 the series is",
        "at fault, 2 the invocation, 3 the machine, 70 the harness itself.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
