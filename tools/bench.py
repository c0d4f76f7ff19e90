# SPDX-License-Identifier: GPL-2.0-only
"""``make bench``: what a user waits for, measured as a user would: whole commands.

Cold (making .venv included, against a bare make of the same configuration),
again with nothing changed, again after a one-line change, and the boot times.
Every figure is a whole process from start to end; the cold pair runs once, or ``REPEAT=``
times, the others ``REPEATS`` times, and medians count. A machine's pace moves by several
percent within minutes, so a ratio of single runs is worth no more than that. The stores
are temporary ones, so the user's own stays as it is.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.core.errors import InternalError, MachineError
from harness.core.events import GuestBooted
from harness.core.jsondata import read_json, write_json
from harness.core.settings import PROJECT, Settings
from harness.core.tables import plain_table
from harness.run.assemble_guest import assemble_guest, booted
from harness.run.session import Session, run_session
from harness.setup import bootstrap

REPEATS = 3
# The bars of the project on two cores under TCG: seconds, but for the first.
COLD_RATIO, AGAIN, ONE_LINE, BOOT, RESTORE = 1.3, 30.0, 60.0, 1.5, 0.5
# GiB of disk for the cold pair and what follows, and for each pair more.
ROOM, PAIR_ROOM = 8, 3


@dataclass(frozen=True)
class Measurement:
    """One measured thing. ``values`` and ``bar`` in ``unit``."""

    name: str
    values: tuple[float, ...]
    unit: str
    bar: float

    @property
    def median(self) -> float:
        """Of the values, in their unit."""
        return statistics.median(self.values)


def _run(arguments: Sequence[str], env: Mapping[str, str]) -> float:
    """Runs the harness as a user would; seconds from start to end.

    Raises:
        InternalError: it did not end with 0; then there is nothing to measure.
    """
    start = time.monotonic()
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(
        command, env=dict(env), cwd=PROJECT, check=False, capture_output=True, text=True
    )
    seconds = time.monotonic() - start
    if done.returncode != 0:
        raise InternalError(
            f"a measured run ended with {done.returncode}:\n"
            f"{done.stdout[-2000:]}{done.stderr[-500:]}"
        )
    return seconds


def _set_up(folder: Path) -> float:
    """What a fresh clone's first command does before it is ours: a .venv; seconds."""
    start = time.monotonic()
    bootstrap.make_venv(folder / "venv", PROJECT / bootstrap.LOCKS["test-kernel"], folder / "log")
    return time.monotonic() - start


def _bare_make(source: Path, config: Path, folder: Path, jobs: int) -> float:
    """``make vmlinux`` of the same source and configuration, without ccache; seconds."""
    folder.mkdir()
    shutil.copyfile(config, folder / ".config")
    make = ["make", "-s", "-C", str(source), f"O={folder}"]
    subprocess.run([*make, "olddefconfig"], check=True, capture_output=True)
    start = time.monotonic()
    done = subprocess.run([*make, f"-j{jobs}", "vmlinux"], check=False, capture_output=True)
    if done.returncode != 0:
        raise InternalError(f"the bare make failed:\n{done.stderr.decode()[-2000:]}")
    return time.monotonic() - start


def _results(out: Path) -> dict[str, Any]:
    return read_json(dict[str, Any], out / "latest" / "results.json")


def _sources(cache: Path) -> Path:
    """The one source tree that a cold run left in a fresh store."""
    found = [p.parent for p in cache.glob("work/**/MAINTAINERS")]
    if len(found) != 1:
        raise InternalError(f"{len(found)} source trees in a fresh store: {found}")
    return found[0]


def one_line_more(series: Sequence[str], source: Path, mark: str) -> str:
    """A patch on top of the texts of a series: one line in the last C file that it touches.

    Args:
        source: the tree with the series; nothing is written there.
        mark: a C identifier, which makes this change different from another one.
    """
    name = re.findall(r"(?m)^\+\+\+ b/((?!tools/|Documentation/).+\.c)$", "\n".join(series))[-1]
    old = (source / name).read_text().splitlines(keepends=True)
    new = [*old, f"static int __used {mark};\n"]
    diff = "".join(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"))
    return f"From: bench <bench@localhost>\nSubject: one line more\n\n---\n{diff}"


def _write_changes(settings: Settings, last: Path, folder: Path) -> list[Path]:
    """A patch for each measured change, made of the tree that a cold run left in ``last``."""
    line = ".".join(_results(last / "out")["kernel"]["version"].split(".")[:2])
    texts = [p.read_text() for p in sorted((settings.project / line).glob("*.patch"))]
    made = [folder / f"bench{number}.patch" for number in range(REPEATS)]
    for path in made:
        path.write_text(one_line_more(texts, _sources(last / "cache"), path.stem))
    return made


def boot_times(settings: Settings, count: int = 5) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds to the first command of ``count`` cold boots, and of as many restored guests."""
    measured: list[GuestBooted] = []

    def body(session: Session) -> None:
        with booted(session, assemble_guest(session)) as guests:
            for snapshot in (None, guests.snapshot):
                guests.snapshot = snapshot
                for _ in range(count):
                    guests.fresh().close()
        measured.extend(session.results.all(GuestBooted))

    if run_session(settings, "bench", body).code != 0:
        raise InternalError("a guest of the benchmark did not come up")
    cold = tuple(b.seconds for b in measured if not b.restored)
    return cold, tuple(b.seconds for b in measured if b.restored)


@dataclass(frozen=True)
class ColdPair:
    """Seconds of a run in which nothing is cached, and of a bare make after it.

    ``stages``: the seconds of that run's stages, by name.
    """

    cold: float
    bare: float
    stages: dict[str, float]


def _cold_pair(settings: Settings, env: Mapping[str, str], folder: Path) -> ColdPair:
    """One pair in ``folder``, whose store and results stay there."""
    folder.mkdir()
    own = {**env, "HARNESS_CACHE": str(folder / "cache"), "OUT": str(folder / "out")}
    cold = _set_up(folder) + _run(["test-kernel"], own)
    config = folder / "out" / "latest" / "kernel.config"
    bare = _bare_make(_sources(folder / "cache"), config, folder / "bare", settings.jobs)
    stages = {s["name"]: float(s["seconds"]) for s in _results(folder / "out")["stages"]}
    return ColdPair(cold, bare, stages)


def measure(
    settings: Settings, folder: Path, console: Console
) -> tuple[list[Measurement], list[ColdPair]]:
    """Runs everything below ``folder``, which needs ``ROOM`` and ``PAIR_ROOM`` GiB."""
    env = {
        **os.environ,
        **{name: value for name, value in settings.asked().items() if value},
        "SERIES": "",
        "REPEAT": "",
    }
    pairs: list[ColdPair] = []
    for number in range(settings.repeat or 1):
        console.print("cold run, then a bare make of the same source and configuration ...")
        last = folder / f"pair{number}"
        pair = _cold_pair(settings, env, last)
        pairs.append(pair)
        stages = ", ".join(f"{name} {seconds:.0f}" for name, seconds in pair.stages.items())
        console.print(f"  {pair.cold:.0f} s ({stages}); {pair.bare:.0f} s", soft_wrap=True)
    env |= {"HARNESS_CACHE": str(last / "cache"), "OUT": str(last / "out")}
    console.print("again with nothing changed ...")
    again = tuple(_run(["test-kernel"], env) for _ in range(REPEATS))
    console.print("one line changed ...")
    changes = _write_changes(settings, last, folder)
    one_line = [_run(["test-kernel"], {**env, "VARIANT": str(change)}) for change in changes]
    console.print("boots ...")
    cold_boots, restores = boot_times(
        replace(settings, cache=last / "cache", out=last / "out", series="")
    )
    bare = tuple(pair.bare for pair in pairs)
    rows = [
        Measurement(
            "cold run", tuple(p.cold for p in pairs), "s", COLD_RATIO * statistics.median(bare)
        ),
        Measurement("bare make", bare, "s", float("inf")),
        Measurement("cold run / bare make", tuple(p.cold / p.bare for p in pairs), "x", COLD_RATIO),
        Measurement("nothing changed", again, "s", AGAIN),
        Measurement("one line changed", tuple(one_line), "s", ONE_LINE),
        Measurement("boot to first command", cold_boots, "s", BOOT),
        Measurement("snapshot to first command", restores, "s", RESTORE),
    ]
    return rows, pairs


def table(rows: Sequence[Measurement]) -> Table:
    """The rows with their medians, spread and bars."""
    figures = ("median", "min", "max", "runs", "bar")
    shown = plain_table("", *figures, right=figures)
    for row in rows:
        bar = "" if row.bar == float("inf") else f"{row.bar:.1f}"
        said = [f"{v:.2f} {row.unit}" for v in (row.median, min(row.values), max(row.values))]
        shown.add_row(row.name, *said, str(len(row.values)), bar)
    return shown


def bench(settings: Settings) -> int:
    """Measures and prints; the figures also go to ``out/bench.json``.

    Raises:
        MachineError: not enough room for a second store.
        InternalError: a run or the bare make failed; its folder stays.
    """
    console = Console(highlight=False)
    settings.out.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.out).free >> 30
    needed = ROOM + PAIR_ROOM * (settings.repeat or 1)
    if free < needed:
        raise MachineError(
            f"the benchmark needs {needed} GB beside {settings.out}, and there are {free}",
            next_step="OUT=/a/larger/disk make bench",
        )
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=settings.out))
    # Where it ends with an error, its runs are the evidence, and stay.
    rows, pairs = measure(settings, folder, console)
    shutil.rmtree(folder)
    console.print(table(rows))
    record = {
        "rows": [
            {"name": r.name, "unit": r.unit, "values": r.values, "median": r.median} for r in rows
        ],
        "cold": pairs,
    }
    write_json(settings.out / "bench.json", record)
    return 0
