# SPDX-License-Identifier: GPL-2.0-only
"""Kills runs at random moments, each followed by a whole run, and looks for what a kill leaves.

    python3 tools/kill_runs.py COUNT test-kernel TESTS=sigbus KERNEL=6.12

COUNT times the command is begun and killed (SIGKILL, so that nothing of ours cleans up) at a
moment of its usual duration, then run to its end. After each kill no process of the run may be
left, and no entry of the store may have changed; each whole run must end as the first one did.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.settings import from_environment

GONE_TIMEOUT_S = 30.0  # in which the processes of a killed run must have ended
MUTABLE = ("work", "locks", "ccache", "apt", "counts")  # folders of the store that are no entries
MARK = "KILLED_RUN"  # in the environment of all that a run starts

Digest = Mapping[str, tuple[int, int]]


@dataclass
class Killing:
    """What the kills of one command left.

    ``verdict``: reads what a whole run found from its folder of results; ``seconds``: what a whole
    run takes.
    """

    argv: Sequence[str]
    store: Path
    verdict: Callable[[], object]
    random: random.Random = field(default_factory=random.Random)
    seconds: float = 0.0
    expected: tuple[int, object] = (0, None)
    faults: list[str] = field(default_factory=list)

    def whole_run(self) -> tuple[int, object]:
        """A run to its end: exit status and verdict."""
        began = time.monotonic()
        code = subprocess.run(self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              check=False).returncode  # fmt: skip
        self.seconds = time.monotonic() - began
        return code, self.verdict()

    def one(self, number: int) -> None:
        """One kill and one whole run; adds to ``faults``."""
        before, mark = entries(self.store), uuid.uuid4().hex
        run = subprocess.Popen(
            self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, MARK: mark}, start_new_session=True,
        )  # fmt: skip
        moment = self.random.uniform(0, self.seconds)
        try:
            run.wait(moment)
        except subprocess.TimeoutExpired:
            run.kill()
        run.wait()
        found = []
        if left := left_behind(mark):
            found.append(f"left behind: {', '.join(left)}")
        after = entries(self.store)
        found += [
            f"changed in the store: {name}" for name in before if after.get(name) != before[name]
        ]
        if (ended := self.whole_run()) != self.expected:
            found.append(f"the next run ended with {ended}, not with {self.expected}")
        self.faults += [f"kill {number}, after {moment:.2f} s: {what}" for what in found]


def entries(store: Path) -> Digest:
    """Each file of each entry: its size and time. An entry never changes once it is there."""
    return {
        str(path.relative_to(store)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for kind in store.iterdir()
        if kind.is_dir() and kind.name not in MUTABLE
        for entry in kind.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
        for path in entry.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def _marked(mark: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (place / "environ").read_bytes():
                found.append(f"{place.name} {(place / 'comm').read_text().strip()}")
        except OSError:  # it has ended, or is not ours to look at
            continue
    return found


def left_behind(mark: str) -> list[str]:
    """The processes of a killed run that did not end by themselves in time."""
    deadline = time.monotonic() + GONE_TIMEOUT_S
    while (left := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def main(argv: Sequence[str]) -> int:
    """Runs the kills; 0 where nothing was found, 1 else."""
    count, command = int(argv[0]), argv[1:]
    given = dict(word.split("=", 1) for word in command if "=" in word)
    settings = from_environment({**os.environ, **given})

    def verdict() -> object:
        told = json.loads((settings.out / "latest" / "results.json").read_text())
        return told["verdict"], sorted((test["id"], test["status"]) for test in told["tests"])

    killing = Killing((sys.executable, "-m", "harness", *command), settings.cache, verdict)
    killing.expected = killing.whole_run()
    killing.expected = killing.whole_run()  # warm: its time is the one to kill in
    say = sys.stdout.write
    say(f"a whole run: exit {killing.expected[0]} in {killing.seconds:.1f} s\n")
    for number in range(1, count + 1):
        killing.one(number)
        if number % 10 == 0 or number == count:
            say(f"{number} kills: {len(killing.faults)} faults\n")
    say("".join(f"{fault}\n" for fault in killing.faults))
    return int(bool(killing.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
