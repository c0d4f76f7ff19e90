# SPDX-License-Identifier: GPL-2.0-only
"""Entries appear whole or not at all, one run at a time works in a work directory."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from harness.core import store as store_module
from harness.core.settings import PROJECT
from harness.core.store import Entry, Store, digest, entry_key, file_digest
from tests.support.limits import note_refused_locks


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", 1 << 30)


def write(text: str) -> Callable[[Path], None]:
    def make(draft: Path) -> None:
        (draft / "file").write_text(text)

    return make


KEY = entry_key("key", write(""))  # as long as the maker stands in this folder


def killed(draft: Path) -> None:
    (draft / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_entry_is_made_once(store: Store) -> None:
    first = store.entry("kind", "key", write("one"))
    second = store.entry("kind", "key", write("two"))
    assert (first.cached, second.cached) == (False, True)
    assert (second.path / "file").read_text() == "one"


def test_a_failed_maker_leaves_nothing(store: Store) -> None:
    def fail(draft: Path) -> None:
        (draft / "half").write_text("x")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        store.entry("kind", "key", fail)
    assert list((store.root / "kind").iterdir()) == []
    assert not store.entry("kind", "key", write("good")).cached


def test_a_killed_maker_leaves_no_entry(store: Store) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.core.test_store import Store, killed\n"
        "Store(Path(sys.argv[1]), 1).entry('kind', 'key', killed)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(store.root)], cwd=PROJECT, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert [p.name for p in (store.root / "kind").iterdir()] == [f".draft-{KEY}"]
    entry = store.entry("kind", "key", write("whole"))
    assert sorted(p.name for p in entry.path.iterdir()) == ["file"]


def _make_slowly(root: Path, started: str, go: str, results: str) -> None:
    def make(draft: Path) -> None:
        (draft / "file").write_text(str(os.getpid()))
        Path(started).write_text("x")
        Path(go).read_text()

    entry = Store(root, 1 << 30).entry("kind", "key", make)
    Path(results).write_text(f"{entry.cached} {(entry.path / 'file').read_text()}")


def test_two_runs_at_once_make_it_once(store: Store, tmp_path: Path) -> None:
    pipes = [tmp_path / name for name in ("started", "go", "results")]
    for pipe in pipes:
        os.mkfifo(pipe)
    other = multiprocessing.get_context("fork").Process(
        target=_make_slowly, args=(store.root, *map(str, pipes))
    )
    other.start()
    assert pipes[0].read_text() == "x"
    waits: list[str] = []

    def release(message: str) -> None:
        waits.append(message)
        threading.Thread(target=pipes[1].write_text, args=("",)).start()

    entry = store.entry("kind", "key", write("mine"), on_wait=release)
    cached, text = pipes[2].read_text().split()
    other.join()
    assert cached == "False" and entry.cached
    assert (entry.path / "file").read_text() == text == str(other.pid)
    assert waits == [f"waiting for process {other.pid}, which holds kind-{KEY}"]


def test_who_wants_what_is_there_does_not_wait_as_its_maker(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would be: until nobody uses it any more."""
    store.entry("kind", "key", write("x"))
    store.release()
    other = Store(store.root, 1 << 30)
    waits: list[str] = []
    found: list[Entry] = []
    wants = threading.Thread(
        target=lambda: found.append(other.entry("kind", "key", write("y"), waits.append))
    )
    refused = note_refused_locks(monkeypatch, store_module)
    with store.lock(f"kind-{KEY}"):
        wants.start()
        refused.acquire()
    wants.join()
    assert [entry.cached for entry in found] == [True] and waits == []


def test_who_waits_for_a_maker_does_not_wait_for_the_rest_of_its_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, made = threading.Event(), threading.Event()
    other = Store(store.root, 1 << 30)
    found: list[Entry] = []
    wants = threading.Thread(
        target=lambda: found.append(other.entry("kind", "key", write("y"), lambda _: refused.set()))
    )

    def flock(handle: IO[str], how: int) -> None:
        if threading.current_thread() is wants:
            if not how & (fcntl.LOCK_NB | fcntl.LOCK_UN):
                made.wait()  # as late as the kernel may let it go on: its maker shares the entry
            how |= fcntl.LOCK_NB
        fcntl.flock(handle, how)

    def make(draft: Path) -> None:
        wants.start()
        refused.wait()
        write("x")(draft)

    changed = SimpleNamespace(**{**vars(fcntl), "flock": flock})
    monkeypatch.setattr(store_module, "fcntl", changed)
    store.entry("kind", "key", make)
    made.set()
    wants.join()
    assert [entry.cached for entry in found] == [True]


def test_a_work_directory_keeps_what_was_left_in_it(store: Store) -> None:
    with store.work_dir("build", "k") as shop:
        (shop / "object").write_text("1")
    with store.work_dir("build", "k") as shop:
        assert (shop / "object").read_text() == "1"


def test_eviction_takes_the_least_recently_used_first(store: Store) -> None:
    def fill(draft: Path) -> None:
        (draft / "f").write_bytes(os.urandom(40_000))

    entries = [store.entry("kind", number, fill).path for number in range(3)]
    for number, entry in enumerate(entries):
        os.utime(entry, (number, number))
    assert names(limited(store, 90_000).evict()) == ["new"]  # the others are in use
    store.release()
    assert names(limited(store, 90_000).evict()) == [entries[0].name]
    assert not entries[0].exists()


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def limited(store: Store, limit: int) -> Store:
    """The same store as another run sees it that has added to it."""
    other = Store(store.root, limit)
    with other.work_dir("build", "new"):
        pass
    os.utime(store.root / "work/build/new", (2**31, 2**31))
    return other


def test_eviction_spares_what_a_run_holds(store: Store) -> None:
    entry = store.entry("kind", "kept", write("x"))
    with store.work_dir("build", "held") as shop:
        (shop / "f").write_text("x")
        assert names(limited(store, 1).evict()) == ["new"]
    assert names(limited(store, 1).evict()) == ["held", "new"]
    store.release()
    assert names(limited(store, 1).evict()) == [entry.path.name]
    assert not entry.path.exists()
    assert not store.entry("kind", "kept", write("x")).cached


def test_nothing_is_sized_up_where_nothing_was_added(store: Store) -> None:
    store.entry("kind", "kept", write("x"))
    store.release()
    other = Store(store.root, 1)
    assert other.entry("kind", "kept", write("x")).cached
    other.release()
    assert other.evict() == []


def test_only_what_was_worked_in_is_sized_up_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []

    def size(path: Path) -> int:
        looked.append(path.name)
        return 1

    monkeypatch.setattr("harness.core.store._size", size)
    entry = store.entry("kind", "kept", write("x"))
    with store.work_dir("build", "b"):
        pass
    assert store.evict() == []
    assert sorted(looked) == sorted([entry.path.name, "b", "ccache"])
    looked.clear()
    with store.work_dir("source", "s"):
        pass
    assert store.evict() == [] and looked == ["s"]
    looked.clear()
    with store.work_dir("build", "b"):
        pass
    assert store.evict() == [] and sorted(looked) == ["b", "ccache"]
    (store.root / "sizes.json").write_text("[]")
    with store.work_dir("build", "b"):
        pass
    assert store.evict() == [] and len(looked) == 2 + 4


def test_another_run_in_a_work_directory_is_noticed(store: Store) -> None:
    other = Store(store.root, store.limit)
    with store.work_dir("build", "b") as path:
        (path / "object").touch()
    with store.work_dir("build", "b"):
        assert not store.used_by_others(path)
    with other.work_dir("build", "b"):
        assert not other.used_by_others(path)  # it knows of nothing that it could miss
    with store.work_dir("build", "b"):
        assert store.used_by_others(path)
    with store.work_dir("build", "b"):
        assert store.used_by_others(path)  # nor has it been said that it was put in order


def test_ccache_counts(store: Store) -> None:
    entry = store.entry("kind", "kept", write("x"))
    store.release()
    (store.root / "ccache").mkdir()
    (store.root / "ccache" / "object").write_bytes(os.urandom(200_000))
    assert names(limited(store, 100_000).evict()) == [entry.path.name, "new"]
    assert (store.root / "ccache" / "object").exists()


def test_clean_removes_everything(store: Store) -> None:
    store.entry("kind", "key", write("x"))
    with store.work_dir("build", "k"):
        pass
    store.clean()  # but what is in use
    assert (store.root / "kind" / KEY).exists() and not (store.root / "work/build/k").exists()
    store.release()
    store.clean()
    assert not store.root.exists()


def test_digests_depend_on_content_and_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    one = file_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert file_digest(tmp_path) != one
    assert digest("a", ["b"]) != digest(["a", "b"])
    assert digest({"x": 1, "y": 2}) == digest({"y": 2, "x": 1})
