# SPDX-License-Identifier: GPL-2.0-only
"""The case of a finding once more in a guest whose run QEMU records, instruction by instruction.

One virtual CPU, under TCG. Nobody talks to the guest, for what is typed on the console comes to a
recorded one too slowly (QEMU 7.2: minutes for a command). A shell is process 1 at first: it begins
what runs the case, and becomes the process 1 of every guest.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.core.errors import MachineError
from harness.findings.compare import ReplayedRun
from harness.findings.finding import OUT_FILE, SCRIPT, Finding
from harness.findings.pyz_file import argv_of
from harness.findings.replay import judged
from harness.findings.replay_guest import ReplayGuest, send_command, sent
from harness.vm.guest import INIT
from harness.vm.machine import GuestSpec, Recording
from harness.vm.protocol import END, HEAD, RAN

FOLDER = "recording"  # of a run's
LOG = Path("recording.bin")  # QEMU's, in that folder
RECORDED = "recorded.json"
WORD = "recorded"
# What agent/benchmark.c takes, 1.125 s, in references: a recorded guest's clock counts
# instructions, and so that is the same on every machine.
PACE = 12
# What process 1 sets when all is mounted.
MOUNTED = "grep -q on /proc/sys/kernel/printk_devkmsg"
RECORD_LIMIT_S = 900.0  # 10 s for a case of 1 s, on a busy machine
END_TIMEOUT_S = 60.0  # for QEMU to end: it writes the log's end before
TRIED = "qemu-system-x86_64 --version   (7.2 is the one that was tried)"
_REGISTER = re.compile(r"\b(R[A-Z0-9]{2}|CR2): (?:[0-9a-f]{4}:)?([0-9a-f]{16})\b")


@dataclass(frozen=True)
class Recorded:
    """A recording, beside its log: what the run was, and what its report's registers were.

    ``report``: the title of the kernel's first report, '' for none. ``logged``: how many lines were
    written to /dev/kmsg until the case had ended, that one included.
    """

    like: str
    said: str
    report: str
    registers: dict[str, int]
    logged: int


def recorded(finding: Finding, spec: GuestSpec, recording: Recording) -> Finding:
    """The finding with QEMU's command line for its recording, or for the replay of that."""
    # The kernel hands a word of its command line on to process 1 where that has no "=" and no ".";
    # of several init= it takes the last.
    case = f"sh {SCRIPT} 1 {math.ceil(finding.timeout_s * PACE)} {PACE} 1"
    command = (
        f"mount -t devtmpfs dev /dev; (exec >/dev/console 2>&1; until {MOUNTED}; do :; done;"
        f" {case}; echo $? >/run/status; {send_command(OUT_FILE)};"
        f" echo {HEAD}{RAN} {WORD} $(cat /run/status) >/dev/kmsg) & exec {INIT}"
    )
    guest = replace(
        spec, accel="tcg", cpus=1, counted=False, recording=recording,
        extra_append=f'{spec.extra_append} init=/bin/sh -c "{command}"'.strip(),
    )  # fmt: skip
    return replace(finding, argv=argv_of(guest, stub=recording.mode == "replay"))


def registers_of(report: str) -> dict[str, int]:
    """The registers that a report of the kernel lists; of several lists the first."""
    found: dict[str, int] = {}
    for name, value in _REGISTER.findall(report):
        found.setdefault(name.lower(), int(value, 16))
    return found


def _logged(lines: list[str]) -> int:
    """How many lines of the log are the agent's until the case had ended."""
    ends = [n for n, line in enumerate(lines) if f"{HEAD}{END} 1 " in line]
    # The kernel prints its command line too, which has the words of the last line in it.
    return sum(f"] {HEAD}" in line for line in lines[: ends[0] + 1]) if ends else 0


def record(finding: Finding, folder: Path) -> Recorded:
    """Records the case; ``finding``: of ``recorded``. ``folder`` gets the log and RECORDED.

    Raises:
        MachineError: QEMU cannot record, or does not end its log.
    """
    guest = ReplayGuest(finding, folder, 1)
    try:
        guest.pace = PACE
        guest.announce(1)
        deadline = time.monotonic() + RECORD_LIMIT_S
        ran = rf"{HEAD}{RAN} {WORD} (-?\d+)"
        while (ended := guest.console.wait_for(ran, 0.5)) is None:
            if not guest.alive or guest.spoilt or time.monotonic() > deadline:
                break
        lines = guest.console.text(0).split("\n")
        if not any(line.strip() for line in lines):
            raise MachineError(
                f"QEMU does not record:\n{guest.qemu_said()}", evidence=folder, next_step=TRIED
            )
        lost = "" if ended else "the guest died, or does not end the case"
        status = int(ended[1]) if ended else None
        run: ReplayedRun = judged(guest, 1, status, sent(lines), "", lost)
        report = next(iter(guest.counting(None)), None)
        guest.process.terminate()  # and not killed: the log has an end
        guest.process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise MachineError("QEMU does not end", evidence=folder, next_step=TRIED) from error
    finally:
        guest.close()
    made = Recorded(
        run.like, run.said, report.title if report else "",
        registers_of(report.text) if report else {}, _logged(lines),
    )  # fmt: skip
    (folder / RECORDED).write_text(json.dumps(asdict(made)) + "\n", "utf-8")
    return made


def check_end(guest: ReplayGuest) -> None:
    """Waits for QEMU to end by itself, as it does at the end of a recording, with status 0.

    It has 1 where the log ends in the middle ("error reading the replay data"; QEMU 7.2).

    Raises:
        MachineError: it does not end, or ends otherwise.
    """
    try:
        status = guest.process.wait(END_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        what = "QEMU's stub has gone in the middle of the replay, and QEMU has not"
        raise MachineError(what, evidence=guest.folder, next_step=TRIED) from error
    if status:
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        what = f"QEMU ended {how}, in the middle of the replay\n{guest.qemu_said()}".rstrip()
        raise MachineError(what, evidence=guest.folder, next_step=TRIED)
