# SPDX-License-Identifier: GPL-2.0-only
"""A case is recorded: QEMU's command line, and what is kept of the run."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import MachineError
from harness.core.jsondata import read_json
from harness.findings.recording import (
    RECORDED,
    Recorded,
    check_end,
    record,
    recorded,
    registers_of,
)
from harness.findings.replay_guest import ReplayGuest
from harness.vm.machine import Recording
from tests.findings.fake_qemu import PASSES
from tests.findings.made_up import FAILS, REASON, finding
from tests.findings.test_pyz_file import spec
from tests.findings.test_replay import FAKE

FAILING = [FAILS.format(REASON), 1]


def recording(folder: Path, **plan: Any) -> Recorded:
    told = folder / "plan"
    told.write_text(json.dumps(plan))
    return record(finding(argv=(sys.executable, str(FAKE), str(told))), folder)


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_a_recorded_guest_has_one_cpu_no_network_and_logged_disks(
    mode: Any, tmp_path: Path
) -> None:
    argv = recorded(finding(), spec(tmp_path), Recording(Path("log"), mode)).argv
    assert argv[argv.index("-smp") + 1].startswith("1,")
    assert argv[argv.index("-icount") + 1] == f"shift=4,rr={mode},rrfile=log"
    assert not [word for word in argv if "net" in word.split("-")]
    devices = [word for word in argv if word.startswith("virtio-blk")]
    logged = [word for word in argv if word.startswith("driver=blkreplay")]
    assert len(devices) == len(logged) == 3
    assert ("-S" in argv) == ("-gdb" in argv) == (mode == "replay")


def test_the_kernel_hands_the_command_on_as_one_word(tmp_path: Path) -> None:
    argv = recorded(finding(), spec(tmp_path), Recording(Path("log"), "record")).argv
    before, command, after = argv[argv.index("-append") + 1].split('"')
    assert before.endswith(" init=/bin/sh -c ")
    assert "sh /tests/finding 1 60 12 1;" in command
    assert after == ""
    # The kernel takes a word with one of these for a variable, or for a module's.
    assert not {"=", "."} & set(command)


def test_a_failure_that_is_seen_again_is_kept(tmp_path: Path) -> None:
    seen = recording(tmp_path, outcomes=[FAILING], recorded="")
    assert (seen.like, seen.said, seen.report) == ("same", REASON, "")
    assert seen.logged == 4  # mounted, network up, begin, end
    assert read_json(Recorded, tmp_path / RECORDED) == seen


def test_the_registers_of_a_report_are_kept(tmp_path: Path) -> None:
    seen = recording(tmp_path, outcomes=[[PASSES, 0]], recorded="splat")
    assert (seen.like, seen.report) == ("other", "WARNING in do_thing")
    assert seen.registers["rbx"] == 0xFFFF888001234000
    assert seen.registers["rsp"] == 0xFFFFC90000127E10


def test_of_two_lists_of_registers_the_first_counts() -> None:
    text = "RAX: 00000000000000aa RBX: 00000000000000bb\nRIP: 0033:0x1\nRAX: 00000000000000cc"
    assert registers_of(text) == {"rax": 0xAA, "rbx": 0xBB}


def test_what_does_not_fail_on_one_cpu_is_not_seen(tmp_path: Path) -> None:
    assert recording(tmp_path, outcomes=[[PASSES, 0]], recorded="").like == "not seen"


def test_a_qemu_that_cannot_record_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="does not record:\nqemu-system-x86_64: no such machine"):
        recording(tmp_path, outcomes=[], silent=True)


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ("exit 0", None),
        ("echo error reading the replay data >&2; exit 1", "with status 1.*\nerror reading"),
        ("kill -SEGV $$", "by signal 11"),
        ("exec sleep 1000", "and QEMU has not"),
    ],
)
def test_only_a_qemu_that_ends_by_itself_was_at_the_end_of_the_recording(
    ends: str, said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in ends:
        monkeypatch.setattr("harness.findings.recording.END_TIMEOUT_S", 0.0)
    guest = ReplayGuest(finding(argv=("sh", "-c", ends)), tmp_path, 1)
    try:
        with pytest.raises(MachineError, match=said) if said else contextlib.nullcontext():
            check_end(guest)
    finally:
        guest.close()
