# SPDX-License-Identifier: GPL-2.0-only
"""``ENGINE=dask``: the work of a run on the workers of a Dask scheduler.

A worker is a plain ``dask worker`` that has this program and sees the same store (HARNESS_CACHE=)
under the same path: inputs are entries of the store, which are named by content, and only their
names travel. What a worker lacks it says when it joins, and it gets no work then. Dask gives the
work of a lost worker to another one; a result counts when it comes, and comes once.
"""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness.core.errors import InvocationError, MachineError

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")

GUEST = "harness-guest"  # the resource of a worker that can run guests: one at a time
TOPIC = "harness"
CONNECT_S = 10
# A batch is large enough that its way costs little, and small where the work comes to its end:
# the last ones decide how long the workers that have nothing to do wait.
MOST_IN_BATCH = 8
BATCHES_LEFT = 2  # for each worker, at least, when a batch is cut


def batch_size(left: int, slots: int) -> int:
    """How many of the items that are ``left`` the next batch has, with ``slots`` workers."""
    return max(1, min(MOST_IN_BATCH, left // (BATCHES_LEFT * max(1, slots))))


@dataclass(frozen=True)
class Done(Generic[T, R]):
    """What has come of a batch: ``result``, or ``lost``, the reason why there is none.

    ``seconds``: from when it was given away until it was back; ``worked``: those on the worker.
    """

    batch: Sequence[T]
    result: R | None
    lost: str | None
    seconds: float
    worked: float


def timed(work: Callable[..., R], *given: Any) -> tuple[R, float]:
    """What ``work`` returns, and the seconds that it took; runs on a worker."""
    start = time.monotonic()
    return work(*given), time.monotonic() - start


@dataclass
class Cluster:
    """The workers of a scheduler; made by ``connected``."""

    client: Client

    def workers(self) -> dict[str, bool]:
        """The address of each worker, and whether it runs guests."""
        known = self.client.scheduler_info(n_workers=-1)["workers"]
        return {name: bool(about["resources"].get(GUEST)) for name, about in known.items()}

    def shared_out(
        self, waiting: deque[T], work: Callable[..., R], given: object
    ) -> Generator[Done[T, R], None, None]:
        """Has the workers do ``work(given, batch)``, as many batches at once as there are guests.

        They come as they are done; more may be added to ``waiting`` meanwhile. Batches that are
        under way are given up when this is closed.
        """
        from distributed import as_completed

        coming = as_completed()
        under_way: dict[Any, tuple[Sequence[T], float]] = {}

        def begin() -> None:
            slots = max(1, sum(self.workers().values()))
            while waiting and len(under_way) < slots:
                size = batch_size(len(waiting), slots)
                batch = [waiting.popleft() for _ in range(size)]
                future = self.client.submit(
                    timed, work, given, batch, resources={GUEST: 1}, pure=False
                )
                under_way[future] = batch, time.monotonic()
                coming.add(future)

        try:
            while waiting or under_way:
                begin()
                future = next(coming)
                batch, start = under_way.pop(future)
                seconds = time.monotonic() - start
                error = future.exception()
                if error is not None:
                    yield Done(batch, None, f"{type(error).__name__}: {error}", seconds, 0.0)
                else:
                    result, worked = future.result()
                    yield Done(batch, result, None, seconds, worked)
        finally:
            self.client.cancel(list(under_way))


@contextmanager
def connected(address: str | None, store: Path, note: Callable[[str], object]) -> Iterator[Cluster]:
    """The cluster whose scheduler is at ``address``; ``note`` hears what each worker says.

    Raises:
        InvocationError: no address was given.
        MachineError: Dask is not installed, or there is no scheduler.
    """
    if not address:
        raise InvocationError(
            "ENGINE=dask, and SCHEDULER= names no scheduler",
            next_step="SCHEDULER=tcp://127.0.0.1:8786; docs/ci.md says how to start one",
        )
    try:
        from distributed import Client

        from harness.engine.joining_worker import GuestPlugin, code_digest
    except ImportError as error:
        raise MachineError(
            "ENGINE=dask, and Dask is not installed here",
            next_step=".venv/bin/pip install --require-hashes -r requirements-dask.lock",
        ) from error
    mark = store / "locks" / f"engine-{secrets.token_hex(8)}"
    mark.parent.mkdir(parents=True, exist_ok=True)
    try:
        client = Client(address, timeout=CONNECT_S, name=f"harness-{os.getpid()}")
    except (OSError, TimeoutError, ValueError) as error:
        raise MachineError(
            f"SCHEDULER={address}: no Dask scheduler answers: {error}",
            next_step="dask scheduler --host 127.0.0.1",
        ) from error
    with client:
        mark.touch()
        try:
            client.subscribe_topic(TOPIC, lambda event: note(str(event[1])))
            client.register_plugin(GuestPlugin(code_digest(), mark))
            cluster = Cluster(client)
            if not any(cluster.workers().values()):
                note("no worker of the scheduler runs guests yet; the work waits for one")
            yield cluster
        finally:
            client.unsubscribe_topic(TOPIC)
            mark.unlink(missing_ok=True)
