# SPDX-License-Identifier: GPL-2.0-only
"""make mutants, of which nothing is played but the guests: found, compiled, switched, judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.events import Events
from harness.core.store import Store
from harness.mutants import run
from harness.mutants.reach import PARAMETER
from tests.run.fake_guest_run import Job, fails, passes, toy_project
from tests.support.toy import Toy, commit, repository
from tests.vm.fake_guest import FakeQemu

# As much of a kernel's headers as the switch asks for.
HEADERS = {
    "export.h": "#define EXPORT_SYMBOL_GPL(name)\n",
    "string.h": "void *memset(void *to, int byte, unsigned long size);\n",
    "kernel.h": "#define static_assert _Static_assert\n#define PAGE_SIZE 4096\n#define ERANGE 34\n"
    "#define WRITE_ONCE(to, value) (*(volatile unsigned int *)&(to) = (value))\n"
    "static inline int kstrtouint(const char *text, int base, unsigned int *to)\n"
    "{\n\t*to = *text;\n\treturn base;\n}\n",
    "moduleparam.h": "#define NULL ((void *)0)\nstruct kernel_param;\nstruct kernel_param_ops {\n"
    "\tint (*set)(const char *text, const struct kernel_param *param);\n"
    "\tint (*get)(char *page, const struct kernel_param *param);\n};\n"
    "#define __module_param_call(prefix, name, ops, arg, perm, level, flags) \\\n"
    "\tconst struct kernel_param_ops *name##_used = ops\n",
}
MEMSET = """
void *memset(void *to, int byte, unsigned long size)
{
\tvolatile char *at = to;

\twhile (size--)
\t\t*at++ = byte;
\treturn to;
}
"""
GROWN = """
int grown(int page)
{
\tint twice = swap_out(page);

\tif (twice > 1 && page != 4)
\t\ttwice = swap_in(page);
\tif (page < 0)
\t\treturn page < 0;
\treturn twice;
}
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Job]:
    toy = Toy(
        tmp_path, repository(tmp_path / "linux"), Store(tmp_path / "store", 1 << 30), Events()
    )
    more = {f"include/linux/{name}": text for name, text in HEADERS.items()}
    commit(
        toy.tree, {**more, "mm/madvise.c": lambda text: text + MEMSET}, "what the switch asks for"
    )
    project = toy_project(toy, {"first": {"knows": 1}})
    toy.series(("one", {"mm/swap.c": lambda text: text + GROWN}))
    one = Job(toy, project, tmp_path / "out", monkeypatch)
    yield one
    one.end()


def test_every_mutant_of_a_series_has_its_end(job: Job) -> None:
    chosen: list[int] = []

    def knows(name: str, guest: FakeQemu) -> tuple[str, str]:
        """Reaches all, and notices every second."""
        wrote = [line.split()[1] for line in guest.seen if line.startswith("echo ")]
        chosen.append(int(wrote[-1]))
        guest.files[PARAMETER] = f"{(1 << 99) - 1:x}\n"
        return (fails if chosen[-1] % 2 else passes)(name, guest)

    job.behaviours = {"knows": knows}
    job.monkeypatch.setattr(run, "scenarios_for", lambda session, line: [])
    assert job.run("mutants", "SAMPLE=all", "JOBS=2") == 1
    told = json.loads((job.out / "latest" / "mutants.json").read_text())
    ended = {m["number"]: m["outcome"] for m in told["mutants"]}
    assert len(ended) == told["found"] > 8 and set(ended) == set(range(1, len(ended) + 1))
    judged = {n: "killed" if n % 2 else "survived" for n in chosen if n}
    assert {n: outcome for n, outcome in ended.items() if n in judged} == judged
    rest = {outcome for n, outcome in ended.items() if n not in judged}
    assert rest <= {"equivalent", "invalid", "killed by the build"} and len(judged) > 4
    assert {m["path"] for m in told["mutants"]} == {"mm/swap.c"}
    assert {m["function"] for m in told["mutants"]} == {"grown"}
    # What runs is a kernel with all of them in it, and its sound self is the control.
    assert chosen[0] == 0 and sorted(chosen) == [0, *sorted(judged)]
