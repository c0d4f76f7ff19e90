# SPDX-License-Identifier: GPL-2.0-only
"""Selftests are built by the tree's own Makefile, and none of the folder is forgotten."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core import git
from harness.core.errors import InternalError, MachineError
from harness.core.store import Store
from harness.series.base import Base
from harness.workloads.regression_selftests import (
    RegressionRow,
    Selftest,
    SelftestList,
    build_programs,
    case_of,
    present,
)
from harness.workloads.selftest_sources import SELFTESTS
from harness.workloads.suite import selftest_suite

SCRIPT = """#!/bin/bash
run_test() {
	"$@"
}
run_test ./hugepage-mmap
	run_test ./userfaultfd anon${mod} 20 16
run_test sudo -u nobody ./on-fault-limit
CATEGORY="hugevm" run_test bash ./va_high_addr_switch.sh
CATEGORY="userfaultfd" run_test ${uffd_stress_bin} anon 20 16
"""
MAKEFILE = """TEST_GEN_FILES = one two broken
TEST_PROGS := run_vmtests.sh
CFLAGS = -Wall $(EXTRA_CFLAGS) $(KHDR_INCLUDES)
include ../lib.mk
local_config.mk:
	@echo "  CHK     [config] $@"; touch $@
include local_config.mk
"""
LIB = """TEST_GEN_FILES := $(patsubst %,$(OUTPUT)/%,$(TEST_GEN_FILES))
$(OUTPUT)/%: %.c
	$(CC) $(CFLAGS) $< -o $@
"""
PROGRAM = """#include <linux/answer.h>
#include <stdio.h>
#include "../pidfd/pidfd.h"
int main(void) { return %s; }
"""
FOLDER = "vm"


def test_the_script_tells_what_it_runs(tmp_path: Path) -> None:
    (tmp_path / "run_vmtests.sh").write_text(SCRIPT)
    assert present(tmp_path / "run_vmtests.sh", []) == {
        "hugepage-mmap", "userfaultfd", "on-fault-limit", "va_high_addr_switch.sh",
    }  # fmt: skip


@pytest.fixture
def base(tmp_path: Path) -> Base:
    """A tree with a folder of selftests: two programs, one of them broken, and its script."""
    tree = tmp_path / "tree"
    folder = tree / SELFTESTS / FOLDER
    folder.mkdir(parents=True)
    (folder / "Makefile").write_text(MAKEFILE)
    (folder / "run_vmtests.sh").write_text("run_test ./one\nrun_test ./gone.sh\n")
    (folder / "one.c").write_text(PROGRAM % "ANSWER")
    (folder / "two.c").write_text(PROGRAM % "EXTRA")
    (folder / "broken.c").write_text("int main(void) { return nothing; }\n")
    (folder.parent / "lib.mk").write_text(LIB)
    # As in 7.3: the folders include one another's headers.
    for name, text in (("pidfd", '#include "../clone3/clone3.h"\n'), ("clone3", "")):
        (folder.parent / name).mkdir()
        (folder.parent / name / f"{name}.h").write_text(text)
    git.text(None, "init", "--quiet", str(tree))
    git.text(tree, "add", "-A")
    git.text(tree, "commit", "--quiet", "-m", "base")
    commit = git.text(tree, "rev-parse", "HEAD")
    whole = git.text(tree, "rev-parse", "HEAD^{tree}")
    return Base("t", "6.1.0", tree / ".git", commit, whole, "", "t")


@pytest.fixture
def headers(tmp_path: Path) -> Path:
    (tmp_path / "include" / "linux").mkdir(parents=True)
    (tmp_path / "include" / "linux" / "answer.h").write_text("#define ANSWER 42\n")
    return tmp_path / "include"


@pytest.fixture
def listed() -> SelftestList:
    left_out = dict.fromkeys(("broken", "gone.sh", "run_vmtests.sh"), "a reason")
    tests = (Selftest("one", ("one",)), Selftest("two_x", ("two", "x"), timeout=3.0))
    cflags = {"*": "", "two": "-DEXTRA=7"}
    row = RegressionRow(FOLDER, 512, (), left_out, cflags=cflags)
    return SelftestList(Path("/x/regression.yaml"), "V-KS-2", 1, tests, row)


def leaving_out(listed: SelftestList, *names: str) -> SelftestList:
    """The list with these left out, and no others."""
    row = replace(listed.row, left_out=dict.fromkeys(names, "a reason"))
    return replace(listed, row=row)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", 1 << 30)


def status(program: Path) -> int:
    return subprocess.run([program], check=False).returncode


def test_programs_are_built_against_the_given_headers(
    base: Base, headers: Path, listed: SelftestList, store: Store
) -> None:
    folder, cached = build_programs(store, listed, base, headers, 2)
    assert not cached and (status(folder / "one"), status(folder / "two")) == (42, 7)
    assert not (folder / "broken").exists()
    assert build_programs(store, listed, base, headers, 2)[1]


def test_other_headers_are_another_build(
    base: Base, headers: Path, listed: SelftestList, store: Store
) -> None:
    build_programs(store, listed, base, headers, 2)
    (headers / "linux" / "answer.h").write_text("#define ANSWER 43\n")
    folder, cached = build_programs(store, listed, base, headers, 2)
    assert not cached and status(folder / "one") == 43


def test_variables_of_our_own_make_do_not_reach_the_kernels(
    base: Base, headers: Path, listed: SelftestList, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CFLAGS", "-DANSWER=1")
    monkeypatch.setenv("MAKEFLAGS", "n")
    folder, _ = build_programs(store, listed, base, headers, 2)
    assert status(folder / "one") == 42


@pytest.mark.parametrize("name", ["broken", "gone.sh", "run_vmtests.sh"])
def test_a_program_that_no_table_names_is_an_error(
    base: Base, headers: Path, listed: SelftestList, store: Store, name: str
) -> None:
    names = [left for left in listed.row.left_out if left != name]
    with pytest.raises(InternalError, match=f"neither runs nor leaves out {name}"):
        build_programs(store, leaving_out(listed, *names), base, headers, 2)


def test_a_pattern_leaves_out_all_that_it_names(
    base: Base, headers: Path, listed: SelftestList, store: Store
) -> None:
    folder, _ = build_programs(store, leaving_out(listed, "broken", "*.sh"), base, headers, 2)
    assert {path.name for path in folder.iterdir()} == {"one", "two"}


def test_a_program_that_does_not_compile_is_named_with_the_compilers_words(
    base: Base, headers: Path, listed: SelftestList, store: Store
) -> None:
    tests = (*listed.tests, Selftest("broken", ("broken",)))
    listed = replace(leaving_out(listed, "gone.sh", "run_vmtests.sh"), tests=tests)
    with pytest.raises(MachineError, match=r"(?s)broken of .*'nothing' undeclared"):
        build_programs(store, listed, base, headers, 2)


def test_the_suite_has_a_case_a_test_and_an_image(
    base: Base, headers: Path, listed: SelftestList, store: Store
) -> None:
    suite = selftest_suite(store, listed, base, headers, 2)
    assert [str(case.id) for case in suite.cases] == ["one", "two_x"]
    assert suite.cases[1].program.argv == ("python3", "/tests/selftest.py")
    assert suite.image.is_file() and not suite.cached
    tree = suite.image.parent / "tree"
    assert {p.name for p in (tree / "bin").iterdir()} == {"one", "two"}
    plan = json.loads((tree / "plan.json").read_text())
    assert plan["two_x"]["argv"] == ["two", "x"] and plan["two_x"]["timeout"] == 3.0
    assert selftest_suite(store, listed, base, headers, 2).cached


def test_repetitions_have_ids_of_their_own_and_one_name() -> None:
    test = Selftest("one", ("one",), timeout=20)
    cases = [case_of(test, Path("/x/regression.yaml"), attempt) for attempt in (1, 2)]
    assert [(c.id.attempt, c.name) for c in cases] == [(1, "one"), (2, "one")]
    assert cases[0].timeout == 50 and cases[0].clauses == ()


def test_what_the_makefile_and_the_script_name_is_there(tmp_path: Path) -> None:
    script = tmp_path / "run_vmtests.sh"
    assert present(script, ["a", "b"]) == {"a", "b"}
    script.write_text("run_test ./c\n")
    assert present(script, ["a", "b"]) == {"a", "b", "c"}
