# SPDX-License-Identifier: GPL-2.0-only
"""The runner of selftests: how a program ended, all that it said, and nothing left of it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.image.programs import GUEST_TESTS
from harness.workloads.regression_selftests import RUNNER, TIME_FACTOR
from tests.support.limits import HUNG_S, wait_gone


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The runner as a module, whose programs are scripts in ``tmp_path``/bin."""
    monkeypatch.setattr(sys, "path", [str(GUEST_TESTS / "lib"), *sys.path])
    for name in ("vtest", "vtsys", "selftest"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("selftest", RUNNER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(module, "HERE", str(tmp_path))
    return module


def plan(folder: Path, script: str, timeout: float = HUNG_S, user: str = "root") -> dict[str, Any]:
    program = folder / "bin" / "prog"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"argv": ["prog", "one", "two"], "timeout": timeout, "user": user}


def test_status_and_output_are_those_of_the_program(runner: Any, tmp_path: Path) -> None:
    status, said = runner.run(plan(tmp_path, 'echo "ok 1 $1 $2"; echo oops >&2; exit 3'))
    assert os.waitstatus_to_exitcode(status) == 3
    assert said.lines() == ["ok 1 one two", "oops"]


def test_a_program_out_of_time_is_ended_with_its_children(
    runner: Any,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It is late as soon as it has said something: when the runner looks for the third time.
    looks = iter((0.0, 0.0, 2 * HUNG_S * TIME_FACTOR))
    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=looks.__next__))
    script = f"sleep 3600 & echo $! > {tmp_path}/child; echo begun; sleep 3600"
    status, said = runner.run(plan(tmp_path, script))
    assert status is None and said.lines() == ["begun"]
    assert f"out of time after {HUNG_S * TIME_FACTOR:.1f} s" in capfd.readouterr().out
    wait_gone(int((tmp_path / "child").read_text()))


def test_what_a_program_leaves_running_holds_nobody_up(runner: Any, tmp_path: Path) -> None:
    script = f"sleep 3600 & echo $! > {tmp_path}/child; echo done"
    status, said = runner.run(plan(tmp_path, script))
    assert os.waitstatus_to_exitcode(status) == 0 and said.lines() == ["done"]
    wait_gone(int((tmp_path / "child").read_text()))


def test_a_signal_is_told_from_a_status(
    runner: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _ = runner.run(plan(tmp_path, "kill -SEGV $$"))
    runner.judge(status, [])
    assert "signal: is -11, not 0" in capfd.readouterr().out


def test_one_that_was_out_of_time_has_failed_for_that(
    runner: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    checks = sys.modules["vtest"]._checks
    runner.judge(None, [])
    assert "it was out of time" in capfd.readouterr().out
    assert sys.modules["vtest"]._checks > checks


def output(runner: Any, *pieces: str) -> Any:
    """What is kept of a program that printed these, one after the other."""
    said = runner.Output()
    for piece in (*pieces, ""):
        said.take(piece.encode())
    return said


def test_results_are_kept_when_the_rest_is_too_long(
    runner: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    text = ["ok 1 first", *(f"line {n}" for n in range(5000)), "not ok 2 second"]
    shown = runner.tell(output(runner, "\n".join(text)))
    assert shown[0] == "ok 1 first" and shown[-1] == "not ok 2 second"
    assert len(shown) == runner.LINES + 1
    out = capfd.readouterr().out.splitlines()
    assert out[0] == "# | ok 1 first" and len(out) == len(shown)


def test_of_a_flood_of_results_the_last_are_kept_and_the_rest_is_counted(
    runner: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    said = output(runner, *("".join(f"ok {n}\n" for n in range(k, k + 9999)) for k in (1, 10000)))
    assert runner.tell(said)[0] == f"ok {2 * 9999 - runner.KEPT + 1}"
    assert (
        capfd.readouterr().out.splitlines()[-1] == f"# left out: {2 * 9999 - runner.KEPT} results"
    )


def test_a_line_without_an_end_is_cut_and_the_next_is_whole(runner: Any) -> None:
    said = output(runner, *["x" * 65536] * 160, "\nok 1 af", "ter\nlast, without an end")
    assert said.lines() == ["x" * runner.WIDTH, "ok 1 after", "last, without an end"]


def test_no_part_of_a_line_looks_like_the_runners_own(
    runner: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    runner.tell(output(runner, "50%\rleft out: 3 results\r\n\x0bp.c:1: no\n"))
    assert all(line.startswith("# | ") for line in capfd.readouterr().out.splitlines())


@pytest.mark.parametrize(
    "line", ["ok", "not ok 3", "\x1b[31mnot ok 9 in red\x1b[0m", "1..0 # SKIP x", "Bail out!",
             "    not ok 2 inner"],
)  # fmt: skip
def test_results_in_any_form_are_kept(runner: Any, line: str) -> None:
    assert runner.is_result(line)
    assert not runner.is_result(f"# {line}")


def test_a_skip_names_its_reason(runner: Any) -> None:
    skipped = sys.modules["vtest"].SkippedError
    with pytest.raises(skipped, match="SKIP no such device"):
        runner.judge(4 << 8, ["TAP version 13", "1..0 # SKIP no such device", "# Totals"])


def test_the_folder_of_a_test_goes_with_all_that_is_in_it(runner: Any, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    (folder / "link").symlink_to(folder / "deep")
    runner.remove_folder(str(folder))
    assert not folder.exists()


def test_both_sides_agree_on_how_long_to_wait(runner: Any) -> None:
    assert runner.TIME_FACTOR == TIME_FACTOR


def test_its_name_is_a_path_that_leads_to_it(runner: Any, tmp_path: Path) -> None:
    # ftok(argv[0]) of ipc/msgque, and what runs itself again.
    program = tmp_path / "bin" / "ipc" / "sh"
    program.parent.mkdir()
    program.symlink_to("/bin/sh")
    argv = ["ipc/sh", "-c", "ls $0"]
    status, said = runner.run({"argv": argv, "timeout": HUNG_S, "user": "root"})
    assert (status, said.lines()) == (0, [str(program)])
