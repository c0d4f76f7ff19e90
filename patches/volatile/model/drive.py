# SPDX-License-Identifier: GPL-2.0-only
"""One case: batches of random programs, until there are enough or one diverges."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from harness.cases.plugins import Dialogue, Judgement

from .c_program import c_program
from .search import Divergence, Shrinker, draw, judge
from .steps import Outcome, Program, decode, encode
from .world import Counts

BATCH = 64  # programs of a request
BATCHES = 4
SLOW_BATCHES = 2  # of a guest that is SLOW times slower than the reference, or more
SLOW = 2.0
SHRINKING = 12.0  # seconds on a guest of reference speed
MOST_SHRINKING = 90.0  # on any guest: what is found by then has to do

# What a run must come to, a program; less has shown too little. They are a third and less
# of what a thousand programs came to, so that chance alone does not fail a run of a hundred.
FLOORS: dict[str, float] = {
    "steps": 15.0,
    "purges": 0.3,
    "nonvolatile_0": 0.5,
    "nonvolatile_1": 0.03,
    "sigbus": 0.2,
    "forks": 0.2,
    "splits": 0.5,
    "merges": 0.05,
}


def below_floors(counts: Counts) -> list[str]:
    """Which figures are too small for the number of programs, one line each."""
    found = []
    for name, each in FLOORS.items():
        have, least = getattr(counts, name), int(each * counts.programs)
        if have < least:
            found.append(f"{have} {name}, the floor is {least}")
    return found


def _run(dialogue: Dialogue, mglru: bool, programs: Sequence[Program]) -> list[Outcome]:
    return decode(programs, dialogue.ask(encode(programs, mglru)))


def _report(dialogue: Dialogue, seed: int, mglru: bool, found: Divergence) -> Judgement:
    again = f"{dialogue.again} TESTS=random_programs SEED={seed}"
    path = dialogue.folder / f"divergence-{seed}.c"
    text = c_program(found, again, mglru)
    path.write_text(text)
    reason = f"a program of {len(found.program)} steps diverged: {found.error}"
    notes = (
        *text[text.index("int main(") :].splitlines(),
        f"as a C program: {path}",
        f"gcc -static -o divergence {path}",
        again,
    )
    return Judgement("fail", reason, notes)


def drive(dialogue: Dialogue) -> Judgement:
    """Runs random programs in the guest and compares each step with the model.

    ``VTEST_SEED`` in the case's environment is the seed, ``MODEL_BATCHES`` how many
    batches; without them the seed is a fresh one.
    """
    seed = int(dialogue.env.get("VTEST_SEED") or secrets.randbits(32))
    usual = SLOW_BATCHES if dialogue.pace >= SLOW else BATCHES
    counts = Counts()
    in_guest = 0.0  # seconds
    for batch in range(int(dialogue.env.get("MODEL_BATCHES") or usual)):
        mglru = (seed + batch) % 2 == 1
        run = partial(_run, dialogue, mglru)
        drawing = (seed << 16) + batch
        programs = draw(drawing, BATCH)
        good: set[Program] = set()
        first: Divergence | None = None
        start = time.monotonic()
        outcomes = run(programs)
        in_guest += time.monotonic() - start
        for program, outcome in zip(programs, outcomes, strict=True):
            world, found = judge(program, outcome)
            counts.add(world.counts)
            first = first or found
            if found is None:
                good.add(program)
        if first is not None:
            shrinker = Shrinker(run, min(SHRINKING * dialogue.pace, MOST_SHRINKING))
            smallest = shrinker.shrink(drawing, BATCH, first, frozenset(good))
            return _report(dialogue, seed, mglru, smallest)
    pace = f"{counts.steps / max(in_guest, 1e-3):.0f} steps a second in the guest"
    notes = (f"seed {seed}", pace, *(f"@count {n} {count}" for n, count in asdict(counts).items()))
    if missing := below_floors(counts):
        return Judgement("fail", f"shown too little: {missing[0]}", (*notes, *missing))
    return Judgement("pass", "", notes)
