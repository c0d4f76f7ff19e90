# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark's arithmetic; the runs that it measures are stand-ins here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core import git
from harness.core.errors import MachineError
from harness.core.settings import PROJECT, Settings, from_environment
from harness.series.apply import apply_series
from harness.series.contract import with_variant
from harness.series.patches import load_series
from tests.support.toy import Toy, grow
from tools import bench


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return from_environment({"OUT": str(tmp_path / "out")})


def room(monkeypatch: pytest.MonkeyPatch, gib: int) -> None:
    """A disk with so much free, whatever this machine's has."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=gib << 30))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """The environments of the runs, each of which takes the next of a few times."""
    colds: Iterator[float] = iter((130.0, 100.0, 126.0))
    bares: Iterator[float] = iter((100.0, 100.0, 90.0))
    environments: list[Mapping[str, str]] = []

    def run(arguments: Sequence[str], env: Mapping[str, str]) -> float:
        assert arguments == ["test-kernel"]
        environments.append(env)
        out = Path(env["OUT"])
        cold = not (out / "latest").exists()
        (out / "latest").mkdir(parents=True, exist_ok=True)
        (Path(env["HARNESS_CACHE"]) / "work/source/x/tree").mkdir(parents=True, exist_ok=True)
        (Path(env["HARNESS_CACHE"]) / "work/source/x/tree/MAINTAINERS").touch()
        stages = [{"name": "tree", "seconds": 12.4}, {"name": "build", "seconds": 80}]
        (out / "latest" / "results.json").write_text(
            json.dumps({"stages": stages, "kernel": {"version": "6.1.9"}})
        )
        return next(colds) if cold else 20.0

    room(monkeypatch, 99)
    monkeypatch.setattr(bench, "_run", run)
    monkeypatch.setattr(bench, "_set_up", lambda folder: 2.0)
    monkeypatch.setattr(bench, "_write_changes", lambda *_: [Path("changed")] * bench.REPEATS)
    monkeypatch.setattr(bench, "_bare_make", lambda *_: next(bares))
    monkeypatch.setattr(bench, "boot_times", lambda settings: ((1.0, 3.0, 1.5), (0.4,)))
    monkeypatch.setenv("REPEAT", "3")
    return environments


def test_one_cold_pair_where_nothing_is_said(
    settings: Settings, seen: list[Mapping[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.bench(settings) == 0
    record = json.loads((settings.out / "bench.json").read_text())
    medians = {row["name"]: row["median"] for row in record["rows"]}
    assert medians["cold run"] == 132.0  # with the making of .venv
    assert medians["cold run / bare make"] == 1.32
    assert medians["boot to first command"] == 1.5
    assert len(seen) == 1 + 2 * bench.REPEATS
    shown = capsys.readouterr().out
    assert "132 s (tree 12, build 80); 100 s" in shown
    assert not list(settings.out.glob("bench-*"))


def test_each_cold_run_has_a_store_of_its_own_and_the_median_counts(
    settings: Settings, seen: list[Mapping[str, str]]
) -> None:
    assert bench.bench(replace(settings, repeat=3)) == 0
    record = json.loads((settings.out / "bench.json").read_text())
    rows = {row["name"]: row for row in record["rows"]}
    assert rows["cold run / bare make"]["values"] == [1.32, 1.02, 128 / 90]
    assert rows["cold run / bare make"]["median"] == 1.32
    assert rows["cold run"]["median"] == 128.0 and rows["bare make"]["median"] == 100.0
    assert [pair["bare"] for pair in record["cold"]] == [100.0, 100.0, 90.0]
    stores = [env["HARNESS_CACHE"] for env in seen]
    assert len(set(stores)) == 3 and set(stores[3:]) == {stores[2]}
    # REPEAT= means something else to the runs that are measured.
    assert {env["REPEAT"] for env in seen} == {""}


def test_room_for_every_pair_is_seen_to_first(
    settings: Settings, seen: list[Mapping[str, str]]
) -> None:
    with pytest.raises(MachineError, match=r"needs \d{6} GB") as caught:
        bench.bench(replace(settings, repeat=100_000))
    assert "OUT=" in str(caught.value.next_step)
    assert not seen


def test_the_changed_line_applies_on_top_of_the_series(toy: Toy) -> None:
    texts = [
        path.read_text() for path in sorted(toy.series(("one", {"mm/swap.c": grow})).iterdir())
    ]
    source = toy.root / "series-tree"  # with the series
    patch = toy.root / "bench0.patch"
    patch.write_text(bench.one_line_more(texts, source, "bench0"))
    base = toy.base()
    series = load_series(toy.settings(series=str(toy.root / "series")), base)
    made = with_variant(series, str(patch), toy.root, base.line)
    applied = apply_series(base, made, None, toy.store, toy.events)
    changed = git.text(applied.repo, "diff", "--unified=0", f"{applied.commit}~", applied.commit)
    assert [x for x in changed.splitlines() if x[0] in "+-"][2:] == ["+static int __used bench0;"]


@pytest.mark.parametrize("line", sorted(p.name for p in (PROJECT / "patches/volatile").glob("6.*")))
def test_every_series_of_ours_has_a_file_to_change(line: str, tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm" / "volatile.c").write_text("int x;\n")
    folder = PROJECT / "patches" / "volatile" / line
    texts = [path.read_text() for path in sorted(folder.glob("*.patch"))]
    assert "+++ b/mm/volatile.c" in bench.one_line_more(texts, tmp_path, "m")


def test_a_disk_that_is_too_full_is_said_before_anything_runs(
    settings: Settings, seen: list[Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    room(monkeypatch, 16)
    with pytest.raises(MachineError, match=r"needs 17 GB .* there are 16"):
        bench.bench(replace(settings, repeat=3))
    assert not seen
