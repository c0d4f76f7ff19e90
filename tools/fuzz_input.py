# SPDX-License-Identifier: GPL-2.0-only
"""``make fuzz-input``: changed inputs of every kind against what reads them, for MINUTES=.

Mailboxes, consoles, what test programs print, kconfig fragments and results of earlier runs: real
ones, of which Hypothesis changes, cuts and doubles pieces. Each is read, or refused as the
invocation's or the series' fault; anything else is a defect of ours, and so is a reader that keeps
memory. What fails is made as small as it can be, and kept in OUT.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st

from harness.build.fragments import read_values, requests
from harness.cases.ktap import read_case, read_tap
from harness.core import events as ev
from harness.core.errors import InternalError, InvocationError, SeriesError
from harness.core.settings import PROJECT, Settings
from harness.report.files import html, junit
from harness.report.results import Results, document
from harness.run.session import read_results
from harness.series.patches import load_series
from harness.vm.splats import find_splats
from tests.series.mail.odd_inputs import INPUTS
from tests.series.mail.test_inputs import Reader

MINUTES = 10.0
EXAMPLES = 50  # of one reader, before it is the next one's turn
MAX_EDITS = 6
GROWTH_BYTES = 64 << 20  # by which the process may grow after its first round
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Pieces that mean something to one of the readers.
WORDS = (
    b"\n\n", b"\r\n", b"\0", b"\xff\xfe", b"=?x?Q?", b"\nFrom a\n", b"\n@@ -1,9 +1 @@\n",
    b"Content-Type: multipart/mixed; boundary=b\n", b"Subject: [PATCH v9 2/3] ", b"[    1.0] ",
    b"WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2\n", b"---[ end trace ]---\n", b"Call Trace:\n",
    b"not ok 1 - ", b"1..", b"# SKIP ", b"Bail out! ", b"\x1b[31m", b"    ok 1\n", b"CONFIG_",
    b"# CONFIG_X is not set\n", b"=y\n", b"null", b"[]", b"{", b"-1", b"1e999", b'"\\ud800"',
)  # fmt: skip
TAP = (
    b"KTAP version 1\n1..2\nok 1 a\n# why\nnot ok 2 b # TODO later\n",
    b"TAP version 14\n# Subtest: x\n    ok 1 - y # SKIP none\n    1..1\nok 1 - x\n1..1\n",
    b"1..0 # SKIP no zram here\n",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One reader: ``read`` gets the path of a file with the input."""

    name: str
    samples: Sequence[bytes]
    read: Callable[[Path], object]


def _tap(path: Path) -> None:
    text = path.read_bytes().decode("utf-8", "replace")
    read_tap(text.splitlines())
    read_case(text, "a", 0)


def _kconfig(path: Path) -> None:
    with contextlib.suppress(InvocationError):
        requests([path], "6.12")
    read_values(path)


def _results(path: Path) -> None:
    for result in read_results([path]):
        html(result.document, None)
        junit(result.document)


def _a_run() -> bytes:
    case = ev.CaseId.parse("p.c::a")
    events = [
        ev.RunStarted("r1", "out", "test-kernel", {"KERNEL": "6.1"}),
        ev.CaseFinished(case, "fail", "lost it", 0.1, ("V-IF-2",), ("p.c:3: is 1, not 2",)),
        ev.SplatSeen("WARNING in f", "warning", case, "WARNING: ...", False, ""),
        ev.RunFinished("fail", 1, 3.0, ()),
    ]
    return json.dumps(document(Results(list(events)), None), indent=1, default=vars).encode()


def targets(folder: Path) -> list[Target]:
    """The readers with real inputs; the toy kernel of the mails lies in ``folder``."""
    mails = Reader(folder)

    def mailbox(path: Path) -> None:
        load_series(mails.toy.settings(series=str(path)), mails.base)

    def console(path: Path) -> None:
        find_splats(path.read_bytes().decode("utf-8", "replace"))

    def files(below: str, pattern: str) -> list[bytes]:
        return [path.read_bytes() for path in sorted((PROJECT / below).glob(pattern))]

    return [
        Target("mail", [one.make(mails.parts) for one in INPUTS], mailbox),
        Target("console", files("tests/vm/data/console", "*.log"), console),
        Target("tap", TAP, _tap),
        Target("kconfig", files("kconfig", "*.config"), _kconfig),
        Target("results", [_a_run()], _results),
    ]


@st.composite
def changed(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """A sample with pieces cut out, put in and doubled."""
    whole = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, MAX_EDITS))):
        at, cut = draw(st.integers(0, len(whole))), draw(st.integers(0, 60))
        put = draw(st.one_of(st.binary(max_size=9), st.sampled_from(WORDS)))
        times = draw(st.sampled_from((1, 1, 1, 2, 1000)))
        whole = whole[:at] + put * times + whole[at + cut :]
    return whole


def fuzz_one(target: Target, number: int, path: Path) -> None:
    """Reads ``EXAMPLES`` inputs, the ``number``-th lot of the target; raises what it should not."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink),
    )  # fmt: skip
    @given(changed(target.samples))
    def read(whole: bytes) -> None:
        path.write_bytes(whole)
        with contextlib.suppress(InvocationError, SeriesError):
            target.read(path)

    read()


def resident_bytes() -> int:
    """What this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


def fuzz(found: Sequence[Target], minutes: float, first: int, out: Path) -> int:
    """Rounds over the targets until the time is over; how many inputs were read.

    Raises:
        InternalError: a reader failed or kept memory; with the input and its seed.
    """
    out.mkdir(parents=True, exist_ok=True)
    end, number, start = time.monotonic() + minutes * 60, first, 0
    while number == first or time.monotonic() < end:
        for target in found:
            path = out / f"{target.name}.input"
            try:
                fuzz_one(target, number, path)
            except Exception as error:
                what = f"reading {target.name}: {type(error).__name__}: {error} (SEED={number})"
                raise InternalError(what, evidence=path) from error
            path.unlink()
        grown = resident_bytes() - start if start else 0
        start = start or resident_bytes()
        if grown > GROWTH_BYTES:
            raise InternalError(f"reading keeps memory: {grown >> 20} MiB since the first round")
        number += 1
    return (number - first) * len(found) * EXAMPLES


def fuzz_input(settings: Settings) -> int:
    """Runs for MINUTES= from SEED= on; raises as :func:`fuzz` does."""
    with tempfile.TemporaryDirectory(prefix="harness-") as folder:
        found = targets(Path(folder))
        minutes = settings.minutes or MINUTES
        read = fuzz(found, minutes, settings.seed or 0, settings.out / "fuzz")
    names = ", ".join(target.name for target in found)
    sys.stdout.write(f"{read} inputs read ({names}): no defect, no growth\n")
    return 0
