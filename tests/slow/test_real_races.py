# SPDX-License-Identifier: GPL-2.0-only
"""Real races, on 6.1 or on the kernel that HARNESS_TEST_RACES names.

That kernel and the variants are built where the user's store has none: minutes for the
first time, and `make test-kernel` finds the kernel there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

KERNEL = os.environ.get("HARNESS_TEST_RACES", "6.1")
PROJECT = Path(__file__).resolve().parents[2]
RACE = PROJECT / "guest-tests" / "races" / "sigbus-fault.c"


def repro(out: Path, race: str, **more: str) -> subprocess.CompletedProcess[str]:
    """``make repro``, as a user calls it, with its results in ``out``."""
    env = {**os.environ, "KERNEL": KERNEL, "RACE": race, "OUT": str(out), **more}
    command = [sys.executable, "-m", "harness", "repro"]
    return subprocess.run(
        command, cwd=PROJECT, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the sandbox's user can read, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="harness-") as made:
        os.chmod(made, 0o755)
        yield Path(made)


def edited(folder: Path, name: str, old: str, new: str) -> str:
    """A file of the race sigbus-fault with a mistake in it, under another name."""
    text = RACE.read_text()
    assert old in text
    path = folder / f"{name}.c"
    path.write_text(text.replace(f"name: {RACE.stem}", f"name: {name}").replace(old, new))
    return str(path)


def processes_of(out: Path) -> list[str]:
    """Every process that has something below ``out`` on its command line: each QEMU has."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(out) in line:
            found.append(line)
    return found


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "out"
    assert processes_of(tmp_path) == []  # whatever came of it


@pytest.mark.slow
class TestRealRaces:
    @pytest.mark.parametrize(
        ("race", "ending"), [("sigbus-fault", "miss"), ("purge-after-intact", "excluded")]
    )
    def test_every_run_strikes_without_the_protection_and_none_with_it(
        self, out: Path, race: str, ending: str
    ) -> None:
        done = repro(out, race, RUNS="5", EXPLAIN="1")
        assert done.returncode == 0, done.stdout[-3000:]
        (row,) = json.loads((out / "latest" / "repro.json").read_text())["scenarios"]
        assert row["variant"] == {"runs": 5, "hit": 5, "miss": 0, "excluded": 0}
        series: dict[str, Any] = row["series"]
        assert series["runs"] == series[ending] == 5 and series["hit"] == 0
        results = json.loads((out / "latest" / "results.json").read_text())
        assert [t["status"] for t in results["tests"]] == ["pass"]
        assert all(results["clauses"][c]["verdict"] == "pass" for c in row["clauses"])
        trace = (out / "latest" / "races" / race / "series.txt").read_text()
        assert trace.count(f": {ending}") == 5 and "was held at" in trace

    def test_a_misspelt_symbol_is_refused_before_any_guest(self, out: Path, folder: Path) -> None:
        race = edited(folder, "misspelt", '"6.1": handle_purged', '"6.1": handle_purgd')
        done = repro(out, race)
        assert done.returncode == 2
        assert "it has no function handle_purgd_entry()" in done.stdout
        assert "there is: handle_purged_entry()" in done.stdout
        assert "guest booted" not in done.stdout

    def test_an_order_that_deadlocks_is_told_with_the_lock(self, out: Path, folder: Path) -> None:
        # B wants to change the mapping whose lock A's fault holds.
        write = "*(volatile int *)page = FRESH;"
        race = edited(folder, "deadlock", write, "mprotect(range.p, VR_PAGE, PROT_READ);")
        done = repro(out, race)
        assert done.returncode == 2
        assert "the order deadlocks: B waits for a semaphore for writing" in done.stdout
        assert "held: A on CPU 1 at handle_purged_entry()" in done.stdout
        (row,) = json.loads((out / "latest" / "repro.json").read_text())["scenarios"]
        assert row["status"] == "error"
