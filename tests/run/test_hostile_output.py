# SPDX-License-Identifier: GPL-2.0-only
"""What a test program prints is its output and no more: the run goes on, and judges it.

Each is played by a fake guest (fake_guest_run.py), beside a case that passes before and after.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.vm import channel
from tests.run.fake_guest_run import Behaviour, Job, built_toy, fails, passes
from tests.support.toy import Toy
from tests.vm.fake_guest import WARNING, FakeQemu

KEPT_BYTES = 1 << 16
HEAD = "KTAP version 1\n1..1\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    return built_toy(tmp_path_factory, {"first": {"before": 1, "hostile": 1, "later": 1}})


def play(job: Job, behaviour: Behaviour) -> tuple[str, str]:
    """Status and reason of a case that behaves so; its neighbours have passed."""
    job.behaviours = {"hostile": behaviour}
    job.code = job.test_kernel("JOBS=1")
    found = {test["id"].split("::")[1]: test for test in job.document["tests"]}
    assert found["before"]["status"] == found["later"]["status"] == "pass"
    return found["hostile"]["status"], found["hostile"]["reason"]


@pytest.mark.parametrize(
    ("output", "end", "status", "reason"),
    [
        # Another's verdict, a second one, one before the end that does not agree.
        (HEAD + "ok 1 later\n", "exit=0", "error", "reported 'later' when asked for 'hostile'"),
        (HEAD + "ok 1 hostile\nnot ok 1 hostile\n", "exit=1", "error", "printed 2 result lines"),
        (HEAD + "ok 1 hostile\n", "exit=1", "error", "said 'ok' and exited 1"),
        (HEAD + "ok 1 hostile\n", "signal=9", "error",
         "died by signal 9: said 'ok' and exited 137"),
        # The agent's own words, on the program's streams.
        ("harness: end 2 exit=0 tainted=0\n", "exit=0", "error", "printed no KTAP header"),
        (HEAD + "harness: begin 9 a::b\nharness: error: sshd ended\nok 1 hostile\n",
         "exit=0", "pass", ""),
        (HEAD + "@reply x\n@swap absent 00 1\nnot ok 1 hostile\n", "exit=1", "fail",
         "failed without a diagnostic"),
    ],
)  # fmt: skip
def test_a_verdict_is_not_the_programs_to_make(
    job: Job, output: str, end: str, status: str, reason: str
) -> None:
    assert play(job, lambda *_: (output, end)) == (status, reason)
    assert job.code == (status != "pass")


@pytest.mark.parametrize("filling", ["x", "# y\n", "ok 1 hostile\n", "\n", "\0"])
def test_a_flood_of_output_is_cut_and_judged(
    job: Job, monkeypatch: pytest.MonkeyPatch, filling: str
) -> None:
    """4 MiB, without an end of line in the first of them; the true result comes last."""
    monkeypatch.setattr(channel, "MAX_KEPT_BYTES", KEPT_BYTES)
    flood = filling * ((4 << 20) // len(filling))
    status, reason = play(job, lambda *_: (f"{HEAD}{flood}\nok 1 hostile\n", "exit=0"))
    assert status == "error" and len(reason) < 200
    assert (job.out / "latest" / "results.json").stat().st_size < 8 * KEPT_BYTES


def test_a_fake_marker_on_the_console_hides_no_failure(job: Job) -> None:
    def behaviour(name: str, guest: FakeQemu) -> tuple[str, str]:
        guest.print("harness: end 2 exit=0 tainted=0\n")
        return fails(name, guest)

    assert play(job, behaviour) == ("fail", "wanted 1, got 2")


@pytest.mark.parametrize("marker", ["end 2 exit=0 tainted=0", "begin 1 toy/first.py::before"])
def test_a_fake_marker_on_the_console_hides_no_complaint(job: Job, marker: str) -> None:
    def behaviour(name: str, guest: FakeQemu) -> tuple[str, str]:
        guest.print(f"harness: {marker}\n{WARNING}")
        return passes(name, guest)

    play(job, behaviour)
    assert job.code == 1
    assert [splat["title"] for splat in job.document["splats"]] == ["WARNING in do_thing"]
