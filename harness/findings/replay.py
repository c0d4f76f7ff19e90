# SPDX-License-Identifier: GPL-2.0-only
"""What ``python3 finding-ID.pyz`` runs: the finding again, and whether it is the same.

Needs Python and QEMU alone. The file is unpacked into a temporary folder, from which this and
QEMU run. Exit status: 0 the same, 1 something else, 4 not seen; 3 this machine cannot do it.
"""

from __future__ import annotations

import argparse
import json
import lzma
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path

from harness.cases.outcome import judge_end
from harness.core.errors import UNTESTED, HarnessError
from harness.core.events import BROKEN
from harness.core.jsondata import read_json
from harness.core.rates import wilson
from harness.core.words import counted
from harness.findings.compare import ReplayedRun, compared
from harness.findings.finding import DATA, ERR_FILE, OUT_FILE, RATE, Finding, Rate
from harness.findings.race_replay import ordered_runs, program_runs
from harness.findings.rebuild import rebuild
from harness.findings.replay_guest import GuestLostError, ReplayGuest
from harness.vm.protocol import END, HEAD, CaseEnd

RUNS = 5
PACKED = ".xz"  # how a file ends that is unpacked before QEMU starts
MARGIN_S = 10.0  # beyond a case's own limit, for the guest to end it


def case_runs(guest: ReplayGuest, number: int, _: int) -> Iterator[ReplayedRun]:
    """Runs the case of a finding once."""
    finding = guest.finding
    status = guest.begin_case(number)((finding.timeout_s + MARGIN_S) * guest.pace)
    out = err = lost = ""
    try:
        if status is None:
            guest.shell("true")  # raises where it does not answer
            lost = "the case cannot be ended: the guest did not do it in time"
        out, err = guest.file(OUT_FILE), guest.file(ERR_FILE)
    except GuestLostError as error:
        lost = str(error)
    yield judged(guest, number, status, out, err, lost)


def judged(
    guest: ReplayGuest, number: int, status: int | None, out: str, err: str, lost: str
) -> ReplayedRun:
    """What a run of the case with that number was; ``lost``: why the guest is, '' if it is not."""
    finding, limit_s = guest.finding, guest.finding.timeout_s * guest.pace
    ended = guest.console.wait_for(rf"{HEAD}{END} {number} (\w+)=", 0.0)
    complaints = guest.complaints(number)
    if lost and complaints:
        lost = f"{lost} ({complaints[0]})"
    timed_out = ended is not None and ended[1] == "timeout"
    end = CaseEnd(status, out, err, limit_s, timed_out, lost)
    disk = guest.swap if finding.search_swap else None
    result, reason, _notes = judge_end(end, complaints, finding.case, disk)
    return compared(finding, result in BROKEN, reason or result, complaints)


def replayed(finding: Finding, folder: Path, runs: int) -> Iterator[ReplayedRun]:
    """Replays a finding ``runs`` times in guests of ``folder``; a new guest for a spoilt one.

    Raises SeriesError, MachineError: no guest comes up.
    """
    modes = {"case": case_runs, "order": ordered_runs, "runs": program_runs}
    done = 0
    for guest_number in count(1):
        if done >= runs:
            return
        guest = ReplayGuest(finding, folder, guest_number)
        try:
            guest.boot()
            for number in count(1):
                for run in modes[finding.mode](guest, number, runs - done):
                    done += 1
                    yield run
                if done >= runs or guest.spoilt or finding.mode == "order":
                    break
        finally:
            guest.close()


def unpack(folder: Path) -> None:
    """Makes the files of a finding's folder as QEMU's command line names them."""
    for packed in folder.glob(f"*{PACKED}"):
        with lzma.open(packed) as source, open(packed.with_suffix(""), "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        packed.unlink()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _description(finding: Finding, folder: Path) -> str:
    origin = finding.origin
    patched = f" and {counted(len(origin.patches), 'patch')}" if origin.patches else ""
    patched += f" and {origin.variant}" if origin.variant else ""
    clauses = f"  ({', '.join(finding.clauses)})" if finding.clauses else ""
    rates = f"{finding.seen} of {finding.runs}"
    if (folder / RATE).is_file():
        rate = read_json(Rate, folder / RATE)
        rates += f"; replayed there: {rate.same} of {rate.runs}"
    return (
        f"finding {finding.id}: {finding.title}\n"
        f"  {finding.test}{clauses}\n"
        f"  Linux {origin.version}{patched}, CONFIG={origin.config}; run {origin.run}\n"
        f"  seen there: {rates}"
    )


def _answer(counts: Counter[str]) -> tuple[str, int]:
    """The last line of a replay, and its exit status."""
    runs, same = counts.total(), counts["same"]
    low, high = wilson(same, runs)
    if same:
        return f"same: {same} of {runs} (95 %: {low:.0%} to {high:.0%})", 0
    if counts["other"]:
        return f"other: {counts['other']} of {runs} runs failed otherwise", 1
    return f"not seen in {runs}", UNTESTED


def main(argv: Sequence[str], folder: Path) -> int:
    """Replays the finding that is unpacked in ``folder``; the exit status."""
    parser = argparse.ArgumentParser(prog="finding.pyz", description=__doc__)
    parser.add_argument(
        "-n", type=int, default=RUNS, metavar="RUNS", help="how often (%(default)s)"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="the consoles go there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the rate goes there")
    parser.add_argument("--show", action="store_true", help="what it is; nothing is run")
    parser.add_argument(
        "--build", type=Path, metavar="FOLDER",
        help="what is needed to build it from sources goes there; prints the commands",
    )  # fmt: skip
    given = parser.parse_args(argv)
    finding = read_json(Finding, folder / DATA)
    _say(_description(finding, folder))
    if given.build:
        _say(rebuild(finding, folder, given.build.absolute()))
        return 0
    if given.show:
        return 0
    counts: Counter[str] = Counter()
    try:
        unpack(folder)
        for run in replayed(finding, folder, given.n):
            counts[run.like] += 1
            _say(f"  {counts.total()}: {run.like}: {run.said}")
    except HarnessError as error:
        _say("\n".join([f"{error.kind} error: {error.what}", *error.lines()[1:]]))
        return error.exit_code
    finally:
        if given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            for log in folder.glob("*.log"):
                shutil.copy(log, given.keep)
    said, code = _answer(counts)
    _say(said)
    if given.json:
        rate = Rate(counts["same"], counts["other"], counts.total())
        given.json.write_text(json.dumps(asdict(rate)) + "\n")
    return code
