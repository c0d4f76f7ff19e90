# SPDX-License-Identifier: GPL-2.0-only
"""Mutants as work for other machines: its parts, what they come to, and how it scales."""

from __future__ import annotations

import heapq
import json
import random
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.engine.cluster import batch_size
from harness.mutants.on_workers import ENOUGH_S, merged, parts_of
from harness.mutants.verdict import MutantVerdict

# Of SAMPLE=60 on 6.1: what each mutant took in its guest, in seconds, and whether it survived.
RECORDED = Path(__file__).parent / "data" / "recorded.json"
WORKERS, MUTANTS = 64, 1000
WAY_S = 0.1  # that a batch costs beside its work: assumed, it has not been measured
RESTORE_S = 0.5  # that one part more of a mutant costs its worker: a guest is restored


def test_parts_hold_all_cases_once_and_are_of_like_length() -> None:
    cases = [f"case{number}" for number in range(20)]
    parts = parts_of(cases, lambda name: 3.0)
    assert [name for part in parts for name in part] == cases
    assert {len(part) for part in parts[:-1]} == {3} and parts_of([], lambda name: 1.0) == []


def test_a_kill_counts_more_than_a_part_that_was_lost_and_that_more_than_survival() -> None:
    survived = MutantVerdict("survived", seconds=1.0, ran={"a": "1"})
    lost = MutantVerdict("lost", "no guest")
    killed = MutantVerdict("killed", "wanted 1", "check", "b", seconds=2.0, ran={"b": "2"})
    assert merged(None, survived) == survived
    for one, other in ((survived, killed), (killed, survived)):
        both = merged(one, other)
        assert (both.outcome, both.case, both.seconds) == ("killed", "b", 3.0)
        assert both.ran == {"a": "1", "b": "2"}
    assert merged(lost, survived).outcome == merged(survived, lost).outcome == "lost"
    assert merged(lost, killed).outcome == merged(killed, lost).outcome == "killed"


def makespan(mutants: Sequence[float], workers: int) -> float:
    """Seconds until the last of ``mutants`` is judged, which take so long in one guest.

    As ``judge_on_workers`` and ``Cluster.shared_out`` do it: who is free takes the next batch;
    behind ``ENOUGH_S`` of cases what is left of a mutant goes to the end of the queue, in parts.
    """
    waiting = deque((min(seconds, ENOUGH_S), max(0.0, seconds - ENOUGH_S)) for seconds in mutants)
    # (when a worker is free, a number that tells them apart, what is left of what it was at)
    busy: list[tuple[float, int, list[float]]] = [(0.0, at, []) for at in range(workers)]
    last, idle, number = 0.0, deque[float](), workers
    while busy:
        now, _, left = heapq.heappop(busy)
        idle.append(now)
        last = max(last, now) if number > workers else 0.0
        for seconds in left:
            parts = -int(-seconds // ENOUGH_S)
            waiting.extend((RESTORE_S + seconds / parts, 0.0) for _ in range(parts))
        while waiting and idle:
            size = batch_size(len(waiting), workers)
            batch = [waiting.popleft() for _ in range(size)]
            since = max(idle.popleft(), now)
            rest = [more for _, more in batch if more]
            number += 1
            took = WAY_S + sum(seconds for seconds, _ in batch)
            heapq.heappush(busy, (since + took, number, rest))
    return last


def test_64_workers_are_kept_busy_by_1000_mutants() -> None:
    """At least 90 % of the ideal: the sum of what each took in one guest, over the workers."""
    recorded: list[tuple[float, bool]] = json.loads(RECORDED.read_text("utf-8"))
    for seed in range(10):
        mutants = [s for s, _ in random.Random(seed).choices(recorded, k=MUTANTS)]
        ideal = sum(mutants) / WORKERS
        took = makespan(mutants, WORKERS)
        assert 0.9 <= ideal / took <= 1


def test_one_worker_takes_the_sum() -> None:
    assert makespan([1.0, 2.0], 1) == pytest.approx(3.0 + 2 * WAY_S)
    assert makespan([20.0], 1) == pytest.approx(20.0 + 2 * RESTORE_S + 3 * WAY_S)
