# SPDX-License-Identifier: GPL-2.0-only
"""Which workloads are chosen for the files of a series."""

from __future__ import annotations

import fnmatch
import shlex
import subprocess
from pathlib import Path

from harness.change.touched import Touched
from harness.workloads.choose import OWN_GROUP, load_workloads, own_program, selftest_folders
from harness.workloads.suite import own_script


def test_the_first_pattern_of_a_file_counts() -> None:
    table = load_workloads()
    found = selftest_folders([Touched("mm/mincore.c", "code")], table)
    assert found == {"mincore": "for mm/mincore.c"}
    assert "mm" in selftest_folders([Touched("mm/vmscan.c", "code")], table)
    assert not selftest_folders([Touched("drivers/net/tun.c", "code")], table)
    assert not selftest_folders([Touched("mm/mincore.c", "comments")], table)


def test_a_pattern_is_not_hidden_by_one_before_it() -> None:
    seen: list[str] = []
    for pattern in load_workloads().kselftests:
        assert not [p for p in seen if fnmatch.fnmatchcase(pattern, p)], pattern
        seen.append(pattern)


def test_selftests_that_the_series_changes_are_run() -> None:
    files = [
        Touched("tools/testing/selftests/futex/functional/new.c", "selftest"),
        Touched("tools/testing/selftests/kselftest.h", "selftest"),
        Touched("tools/testing/selftests/gone/x.c", "selftest", gone=True),
    ]
    assert list(selftest_folders(files, load_workloads())) == ["futex/functional"]


def test_listed_programs_have_names_of_their_own() -> None:
    table = load_workloads()
    for folder, rows in table.programs.items():
        tests = [row.selftest(table.timeout) for row in rows]
        names = [test.name for test in tests]
        assert len(set(names)) == len(names), folder
        assert all(test.timeout >= 30 for test in tests)


def test_the_users_program_runs_where_its_files_are(tmp_path: Path) -> None:
    test = own_program("./my-test --fast 'a b'")
    assert (test.group, test.name) == (OWN_GROUP, "my_test_fast_a_b")
    assert test.keep > 1000
    files, here = tmp_path / "files", tmp_path / "here"
    files.mkdir()
    here.mkdir()
    program = files / "my-test"
    program.write_text('#!/bin/sh\necho "$2" > written\nexit 7\n')
    program.chmod(0o755)
    script = own_script("./my-test --fast 'a b'").replace("/tests/files", shlex.quote(str(files)))
    done = subprocess.run(["sh", "-c", script], cwd=here, check=False)
    assert done.returncode == 7
    assert (here / "written").read_text() == "a b\n"
    assert not (files / "written").exists()
