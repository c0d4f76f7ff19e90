# SPDX-License-Identifier: GPL-2.0-only
"""Soaks add up, per kernel, and a kill costs no more than the round it hit."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness.commands.soak import (
    Identity,
    Record,
    SoakFailure,
    TotalsFile,
    all_records,
    figures_in_words,
    read_record,
    table,
)

IDENTITY = Identity("stress", "6.1", "kasan", "a" * 32)
ROUND = Record(
    IDENTITY,
    seconds=30.0,
    rounds=1,
    guests=1,
    cpus={"2": 30.0},
    figures={"purges": 5, "cycles": 100},
    runs=("20260102-030405-7",),
    seeds=(11,),
)
FAILED = Record(
    IDENTITY, runs=("run-1",), failures=(SoakFailure("run-1", 7, "seed 7: a page was lost"),)
)


def totals(folder: Path, identity: Identity = IDENTITY) -> TotalsFile:
    return TotalsFile(folder / "soak", identity, "6.1.192")


def test_rounds_add_up_in_the_file(tmp_path: Path) -> None:
    totals(tmp_path).add(ROUND)
    later = replace(
        ROUND, runs=("20260102-040000-8",), seeds=(12,), cpus={"4": 30.0}, figures={"purges": 7}
    )
    record = totals(tmp_path).add(later)
    assert record == read_record(tmp_path / "soak" / "stress-6.1-kasan.json")
    assert record.figures == {"purges": 12, "cycles": 100}
    assert (record.rounds, record.seconds, record.guests) == (2, 60.0, 2)
    assert record.cpus == {"2": 30.0, "4": 30.0}
    assert record.runs == (*ROUND.runs, *later.runs) and record.seeds == (11, 12)


def test_another_kernel_starts_anew_and_the_old_figures_are_kept(tmp_path: Path) -> None:
    totals(tmp_path).add(ROUND)
    other = totals(tmp_path, replace(IDENTITY, kernel="b" * 32))
    assert other.read().rounds == 0
    assert totals(tmp_path).read().rounds == 1, "looking at it changes nothing"
    assert other.add(ROUND).rounds == 1
    old = read_record(tmp_path / "soak" / "earlier" / f"stress-6.1-kasan-{'a' * 12}.json")
    assert old is not None and old.rounds == 1
    assert [r.identity.kernel for r in all_records(tmp_path / "soak")] == ["b" * 32]


def test_two_soaks_of_one_kernel_add_to_one_sum(tmp_path: Path) -> None:
    one, two = totals(tmp_path), totals(tmp_path)
    one.read(), two.read()
    one.add(ROUND)
    assert two.add(ROUND).rounds == 2


def test_a_kill_while_it_writes_leaves_the_last_sum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals(tmp_path).add(ROUND)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.core.atomic.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        totals(tmp_path).add(ROUND)
    assert totals(tmp_path).read().rounds == 1


def test_the_last_seeds_are_kept_and_only_they(tmp_path: Path) -> None:
    for seed in range(40):
        record = totals(tmp_path).add(replace(ROUND, seeds=(seed,)))
    assert record.seeds == tuple(range(24, 40))


def test_a_failure_stays_on_the_record_of_its_kernel(tmp_path: Path) -> None:
    totals(tmp_path).add(FAILED)
    record = totals(tmp_path).add(ROUND)
    assert record.failures == (SoakFailure("run-1", 7, "seed 7: a page was lost"),)
    assert record.runs == ("run-1", *ROUND.runs)


def test_a_file_of_another_schema_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "stress-6.1-kasan.json"
    path.write_text(json.dumps({"schema": 99}))
    assert read_record(path) is None and all_records(tmp_path) == []


def test_the_table_shows_figures_and_failures(tmp_path: Path) -> None:
    totals(tmp_path).add(replace(ROUND, figures={"nonvolatile_0": 1234}))
    totals(tmp_path).add(Record(IDENTITY, leak_scans=1))
    record = totals(tmp_path).add(FAILED)
    text = io.StringIO()
    Console(file=text, width=200).print(table([record]))
    shown = text.getvalue()
    assert "1,234 nonvolatile 0" in shown and "seed 7: a page was lost" in shown
    assert "2: 0.5" in shown


def test_figures_read_as_words() -> None:
    assert figures_in_words({"programs": 2, "steps": 1000}) == "2 programs, 1,000 steps"
