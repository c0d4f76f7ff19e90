# SPDX-License-Identifier: GPL-2.0-only
"""What ``python3 finding-ID.pyz`` says, with its exit status."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from harness.findings.finding import RATE, Rate
from harness.findings.replay import main
from tests.findings.fake_qemu import PASSES
from tests.findings.made_up import FAILS, REASON, finding, sources

FAKE = Path(__file__).with_name("fake_qemu.py")
SAME = [FAILS.format("volatile/a.c:18: found 0x2e after 3 tries"), 1]
OTHER = [FAILS.format("volatile/a.c:30: the page is gone"), 1]


def unpacked(folder: Path, outcomes: list[Any], **changed: Any) -> Path:
    """The folder of a finding's file, with a QEMU that plays ``outcomes``."""
    plan = folder / "plan"
    plan.write_text(json.dumps({"outcomes": outcomes}))
    argv = (sys.executable, str(FAKE), str(plan))
    made = finding(**{"argv": argv, **changed})
    (folder / "finding.json").write_text(json.dumps(asdict(made)))
    return folder


@pytest.mark.parametrize(
    ("outcomes", "code", "last"),
    [
        ([SAME, [PASSES, 0], SAME], 0, "same: 2 of 3 (95 %: 21% to 94%)"),
        ([OTHER, [PASSES, 0], [PASSES, 0]], 1, "other: 1 of 3 runs failed otherwise"),
        ([[PASSES, 0]] * 3, 4, "not seen in 3"),
        (["splat", [PASSES, 0], [PASSES, 0]], 1, "other: 1 of 3 runs failed otherwise"),
        ([[PASSES, 0], "dies", SAME], 0, "same: 1 of 3 (95 %: 6% to 79%)"),
    ],
)
def test_a_replay_says_same_other_or_not_seen(
    outcomes: list[Any], code: int, last: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-n", "3"], unpacked(tmp_path, outcomes)) == code
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_report_of_the_kernel_is_the_finding_whatever_the_case_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unpacked(tmp_path, ["splat", OTHER], splat="WARNING in do_thing")
    assert main(["-n", "2"], folder) == 0
    said = capsys.readouterr().out
    assert "1: same: kernel: WARNING in do_thing" in said
    assert "2: other: volatile/a.c:30: the page is gone" in said


def test_a_report_that_did_not_count_then_does_not_count_now(tmp_path: Path) -> None:
    folder = unpacked(tmp_path, ["splat"], ignored=("WARNING in do_thing",))
    assert main(["-n", "1"], folder) == 4


def test_the_rate_and_the_consoles_are_kept_where_asked(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    folder = unpacked(tmp_path / "file", [SAME, OTHER])
    told, kept = tmp_path / "told", tmp_path / "kept"
    assert main(["-n", "2", "--json", str(told), "--keep", str(kept)], folder) == 0
    assert Rate(**json.loads(told.read_text())) == Rate(same=1, other=1, runs=2)
    assert "harness: begin 1 it" in (kept / "console1.log").read_text()


def test_without_qemu_the_machine_is_at_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], unpacked(tmp_path, [], argv=("no-such-qemu",))) == 3
    assert "machine error: no-such-qemu is not here" in capsys.readouterr().out


def test_a_qemu_that_ends_at_once_is_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unpacked(tmp_path, [])
    (folder / "plan").write_text(json.dumps({"outcomes": [], "silent": True}))
    assert main([], folder) == 3
    assert "qemu-system-x86_64: no such machine" in capsys.readouterr().out


def test_what_it_is_is_told_without_running_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unpacked(tmp_path, [])
    (folder / RATE).write_text(json.dumps(asdict(Rate(4, 0, 5))))
    assert main(["--show"], folder) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"finding {finding().id}: volatile/a.c::it: {REASON}\n")
    assert "Linux 6.1.192 and 1 patch and variant.patch, CONFIG=default" in said
    assert "seen there: 1 of 2; replayed there: 4 of 5" in said


def test_what_must_not_be_trusted_is_built_from_its_sources(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, target = tmp_path / "file", tmp_path / "sources"
    sources(folder)
    unpacked(folder, [])
    assert main(["--build", str(target)], folder) == 0
    said = capsys.readouterr().out
    assert (target / "patches" / "0001-first.patch").read_text() == "first"
    assert (target / "source" / "a.c").is_file()
    assert (
        f"make test-kernel KERNEL=6.1 SERIES={target}/patches CONFIG={target}/kernel.config"
        f" CPUS=2 VARIANT={target}/variant.patch 'TESTS=a and it'" in said
    )
    assert f"git am --keep-cr {target}/patches/0001-first.patch {target}/variant.patch" in said
