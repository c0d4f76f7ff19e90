# SPDX-License-Identifier: GPL-2.0-only
"""make mutants ENGINE=dask from the command line to its last file, with fake guests."""

from __future__ import annotations

import pytest

from harness.engine.joining_worker import GuestPlugin
from harness.mutants import on_workers, run
from tests.engine.test_cluster import workers
from tests.mutants import test_run
from tests.mutants.test_run import KILLS, Play

built, play = test_run.built, test_run.play


def test_the_workers_of_a_scheduler_say_the_same(
    play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    local = play(KILLS)
    assert local.mutants("JOBS=1") == 1
    monkeypatch.setattr(run, "FORM", "far")
    monkeypatch.setattr(GuestPlugin, "lacking", lambda self: None)
    with workers(2) as address:
        far = play(KILLS)
        assert far.mutants("JOBS=1", "ENGINE=dask", f"SCHEDULER={address}") == 1
        assert far.outcomes() == local.outcomes()
        assert "5 judged by 2 workers, " in capsys.readouterr().out
        judged = {number for number, _ in far.ran if number}
        # What workers have found is kept as any other verdict.
        again = play({})
        assert again.mutants("JOBS=1", "ENGINE=dask", f"SCHEDULER={address}") == 1
        assert again.outcomes() == local.outcomes() and again.ran == []
    assert judged == {1, 2, 3, 4, 6}
    on_workers._close()


def test_without_a_scheduler_no_mutant_is_judged_and_the_invocation_is_at_fault(play: Play) -> None:
    played = play(KILLS)
    assert played.mutants("JOBS=1", "ENGINE=dask") == 2
    assert played.outcomes()[1] == (None, None, None)
