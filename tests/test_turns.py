# SPDX-License-Identifier: GPL-2.0-only
"""Short turns: asked for, had by threads that come later, and nothing else changed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from harness.turns import TURN, take_short_turns

RELEASE = tuple(int(number) for number in re.findall(r"\d+", platform.release())[:2])

# Waits, then tells policy, nice value and length of turn of a thread started after that.
LATER = """
import ctypes, struct, sys, threading
def tell():
    size = struct.calcsize("=IIQiIQQQ")
    text = ctypes.create_string_buffer(size)
    number = {"x86_64": 315, "aarch64": 275}[sys.argv[1]]
    assert ctypes.CDLL(None).syscall(number, 0, text, size, 0) == 0
    fields = struct.unpack("=IIQiIQQQ", text)
    print(fields[1], fields[3], fields[5])
print("here", flush=True)
sys.stdin.readline()
thread = threading.Thread(target=tell)
thread.start()
thread.join()
"""


@pytest.mark.skipif(RELEASE < (6, 12), reason="before Linux 6.12 all turns have one length")
def test_threads_that_come_later_have_short_turns_and_the_same_nice_value() -> None:
    command = ["nice", "-n", "3", sys.executable, "-c", LATER, platform.machine()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert take_short_turns(process.pid)
        said, _ = process.communicate("\n")
    assert said.split() == [str(os.SCHED_OTHER), "3", str(TURN)]


def test_a_process_that_is_gone_has_no_turns() -> None:
    with subprocess.Popen(["true"]) as process:
        pass
    assert not take_short_turns(process.pid)


def test_a_machine_whose_numbers_are_not_known_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    assert not take_short_turns(os.getpid())
