# SPDX-License-Identifier: GPL-2.0-only
"""Detectors are proven, not assumed: faults are provoked, and each must be named rightly.

The outcome of ``make selftest-detectors`` is kept under the built kernel's key, and every
later run of the same kernel reports it.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from harness.build.kernel import KernelBuild
from harness.cases.ktap import read_case
from harness.core.command_table import command
from harness.core.errors import InternalError
from harness.core.events import CanaryFinished, CaseId, Events
from harness.core.jsondata import from_json, read_kept, write_json
from harness.core.settings import PROJECT
from harness.core.store import Store
from harness.detectors.leaks import leaks_of
from harness.vm.guest import CaseRun, Guest

TABLE = Path(__file__).resolve().parent / "canaries.yaml"
PROGRAMS = PROJECT / "guest-tests" / "canaries"
IN_GUEST = "/run/canaries"
CASE = "canary"  # the name in every program's result line


@dataclass(frozen=True)
class Canary:
    """One row of canaries.yaml, which says what each means; ``seconds``: its time limit."""

    name: str
    program: str
    seconds: float
    expect: str
    args: tuple[str, ...] = ()
    repeat: int = 1
    needs: str = ""
    leaks: bool = False


def load_canaries() -> tuple[Canary, ...]:
    """Reads canaries.yaml."""
    return from_json(tuple[Canary, ...], yaml.safe_load(TABLE.read_text()))


def describe(run: CaseRun) -> str:
    """One line for what the harness saw of a case; see canaries.yaml for its words."""
    parts = [f"splat {s.category}: {s.title}" for s in run.splats if not s.expected]
    if run.lost:
        parts.append(f"lost: {run.lost}")
    if parts or run.timed_out:
        return "; ".join(parts) or "timeout"
    output = read_case(run.stdout, CASE, run.exit_code)
    return f"{output.outcome}: {output.reason}" if output.reason else output.outcome


def judge(canary: Canary, seen: str, seconds: float) -> CanaryFinished:
    """Whether the fault was reported as what it is; ``seconds``: from a ready guest to that."""
    ok = re.fullmatch(canary.expect, seen) is not None
    return CanaryFinished(canary.name, canary.expect, seen, ok, seconds)


def install(guest: Guest) -> None:
    """Puts the programs into a guest, which has them on no disk."""
    script = [f"mkdir -p {IN_GUEST}"]
    for path in sorted(PROGRAMS.glob("*.py")):
        script.append(f"cat > {IN_GUEST}/{path.name} <<'END-OF-PROGRAM'")
        script += [path.read_text().rstrip("\n"), "END-OF-PROGRAM"]
    done = guest.exec("sh -s", 30.0, stdin="\n".join([*script, ""]).encode())
    if done.exit_code != 0:
        raise InternalError(f"cannot install the canaries: {done.stderr}")


def run_canary(canary: Canary, guest: Guest) -> CanaryFinished:
    """Provokes one fault in a guest of its own, which may not survive it."""
    install(guest)
    start = time.monotonic()
    name, limit = str(CaseId("canary", None, canary.program)), canary.seconds * guest.pace
    argv = ["python3", f"{IN_GUEST}/{canary.program}.py", *canary.args]
    for _ in range(canary.repeat):
        run = guest.run_case(name, argv, limit, env={"PYTHONPATH": IN_GUEST})
    if canary.leaks:
        run = replace(run, splats=run.splats + leaks_of(guest))
    return judge(canary, describe(run), time.monotonic() - start)


def run_canaries(
    boot: Callable[[], Guest],
    events: Events,
    config: Mapping[str, str],
    canaries: Iterable[Canary],
) -> tuple[CanaryFinished, ...]:
    """Provokes every fault, each in a fresh guest from ``boot``, and emits what was seen.

    ``config``: symbols of the kernel's configuration. A canary for a detector that the
    kernel does not have is left out.
    """
    results = []
    for canary in canaries:
        if canary.needs and config.get(canary.needs) != "y":
            continue
        with contextlib.closing(boot()) as guest:
            result = run_canary(canary, guest)
        results.append(result)
        events.emit(result)
    return tuple(results)


def _path(store: Store, kernel: KernelBuild) -> Path:
    return store.root / "counts" / f"detectors-{kernel.entry.name}.json"


def keep(store: Store, kernel: KernelBuild, canaries: Iterable[CanaryFinished]) -> None:
    """Keeps the outcome for this kernel."""
    path = _path(store, kernel)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, list(canaries))


def known(store: Store, kernel: KernelBuild) -> tuple[CanaryFinished, ...]:
    """What was proven for this kernel; nothing if it was never tried."""
    return read_kept(tuple[CanaryFinished, ...], _path(store, kernel)) or ()


def sentence(canaries: tuple[CanaryFinished, ...]) -> str:
    """One line for the screen and the report."""
    if not canaries:
        return f"detectors: not proven on this kernel yet ({command('selftest-detectors')})"
    seen = sum(canary.ok for canary in canaries)
    missed = "".join(f", {canary.name} MISSED" for canary in canaries if not canary.ok)
    return f"detectors: {seen} of {len(canaries)} proven on this kernel{missed}"
