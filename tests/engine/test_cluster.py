# SPDX-License-Identifier: GPL-2.0-only
"""Work on the workers of a real Dask scheduler, on 127.0.0.1; some are killed, some can nothing."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import distributed
import pytest

from harness.core.errors import InvocationError, MachineError
from harness.engine.cluster import MOST_IN_BATCH, Cluster, batch_size, connected
from harness.engine.joining_worker import QEMU, GuestPlugin, code_digest


@contextmanager
def workers(count: int, *, processes: bool = False) -> Iterator[str]:
    """A scheduler with so many workers, threads of ours or a process each; its address."""
    with distributed.LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=processes,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture
def qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something that is called as QEMU is, first in PATH."""
    path = tmp_path / "bin" / QEMU
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(path.parent), prepend=os.pathsep)
    return path


def doubled(folder: str, batch: Sequence[int]) -> list[int]:
    """Notes who has done what, before it is done; kills its worker at the first batch with a 7."""
    mark = Path(folder) / "killed"
    for number in batch:
        with open(Path(folder) / "done", "a", encoding="utf-8") as rows:
            rows.write(f"{number}\n")
    if 7 in batch and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if 11 in batch:
        raise ValueError("no such thing")
    return [2 * number for number in batch]


def results(cluster: Cluster, items: Sequence[int], folder: Path) -> list[Any]:
    return list(cluster.shared_out(deque(items), doubled, str(folder)))


def test_the_work_of_a_killed_worker_is_done_again_and_counted_once(
    tmp_path: Path, qemu: Path
) -> None:
    said: list[str] = []
    with (
        workers(2, processes=True) as address,
        connected(address, tmp_path, said.append) as cluster,
    ):
        found = results(cluster, range(10), tmp_path)
    assert sorted(n for done in found for n in done.batch) == list(range(10))
    assert sorted(n for done in found for n in done.result) == list(range(0, 20, 2))
    begun = (tmp_path / "done").read_text().split()
    assert begun.count("7") == 2 and (tmp_path / "killed").exists()
    assert all(done.lost is None and done.seconds >= done.worked >= 0 for done in found)
    assert not list((tmp_path / "locks").glob("engine-*"))


def test_an_error_is_that_of_its_batch_alone(tmp_path: Path, qemu: Path) -> None:
    (tmp_path / "killed").touch()
    with workers(1) as address, connected(address, tmp_path, lambda said: None) as cluster:
        found = results(cluster, range(9, 13), tmp_path)
    lost = [done for done in found if done.lost is not None]
    assert len(lost) == 1 and 11 in lost[0].batch and lost[0].lost == "ValueError: no such thing"
    assert sum(len(done.batch) for done in found) == 4


def test_a_worker_says_what_it_lacks_and_offers_no_guest(
    tmp_path: Path, qemu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "locks" / "mark"
    mark.parent.mkdir()
    good = GuestPlugin(code_digest(), mark)
    assert "is not the client's store here" in (good.lacking() or "")
    mark.touch()
    assert good.lacking() is None
    assert "another version" in (GuestPlugin("0" * 32, mark).lacking() or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert good.lacking() == f"{QEMU} is not installed"


def test_of_two_workers_the_one_that_can_run_no_guest_gets_nothing(
    tmp_path: Path, qemu: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "killed").touch()
    reasons = iter([None, "no QEMU"])
    monkeypatch.setattr(GuestPlugin, "lacking", lambda self: next(reasons))
    with workers(2) as address, connected(address, tmp_path, lambda said: None) as cluster:
        assert sorted(cluster.workers().values()) == [False, True]
        found = results(cluster, range(5), tmp_path)
    assert sorted(n for done in found for n in done.batch) == list(range(5))


def test_what_is_missing_is_said_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.engine.cluster.CONNECT_S", 0.2)
    with pytest.raises(InvocationError, match="SCHEDULER= names no scheduler"):
        connected(None, tmp_path, print).__enter__()
    with pytest.raises(MachineError, match="no Dask scheduler answers"):
        connected("tcp://127.0.0.1:9", tmp_path, print).__enter__()


@pytest.mark.parametrize(
    ("left", "slots", "size"), [(1000, 2, MOST_IN_BATCH), (1000, 64, 7), (100, 64, 1), (1, 2, 1)]
)
def test_batches_are_smaller_where_the_work_comes_to_its_end(
    left: int, slots: int, size: int
) -> None:
    assert batch_size(left, slots) == size
