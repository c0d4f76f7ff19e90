# SPDX-License-Identifier: GPL-2.0-only
"""A series whose Makefile means harm: what it tries fails, is told, and leaves nothing."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.build import folder
from harness.core import sandbox
from harness.core.errors import SeriesError
from harness.core.events import Note
from tests.core.test_sandbox import left
from tests.support.recorder import Recorder
from tests.support.toy import Step, Toy, grow

pytestmark = pytest.mark.skipif(sandbox.why_not() is not None, reason=str(sandbox.why_not()))

MAPPED = "@nm -n $@ > System.map"
LINKED = "\t@echo '  LD      $@'\n"
# What is tried, and what is said of it. {port}: of a server on this machine.
ATTEMPTS = {
    "read": ("cat {home}/secret", "home/secret: No such file or directory"),
    "beside": ("echo x > {root}/beside", "Permission denied|Read-only file system"),
    "tree": ("echo x > $(srctree)/beside", "Permission denied|Read-only file system"),
    "connect": ("bash -c ': < /dev/tcp/127.0.0.1/{port}'", "Connection refused"),
    # By the shell: make would start a program of that name, which a bare system has not.
    "kill": ("sh -c 'kill -9 {pid}'", "No such process"),
}


@pytest.fixture
def home(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = toy.root / "home"
    home.mkdir()
    (home / "secret").write_text("secret words\n")
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def doing(*lines: str) -> Step:
    """A patch whose Makefile does so before it links vmlinux."""
    recipe = "".join(f"\t@{line}\n" for line in lines)
    return "harm", {"Makefile": lambda text: text.replace(LINKED, recipe + LINKED)}


def tried(toy: Toy, home: Path, server: socket.socket, what: str, pid: int = 0) -> str:
    port = server.getsockname()[1]
    return ATTEMPTS[what][0].format(home=home, root=toy.root, port=port, pid=pid)


def is_unharmed(toy: Toy, server: socket.socket) -> bool:
    with pytest.raises(BlockingIOError):
        server.accept()
    return not list(toy.root.rglob("beside"))


@pytest.mark.parametrize("what", ATTEMPTS)
def test_what_it_tries_fails_and_the_verdict_says_it(
    toy: Toy, home: Path, server: socket.socket, victim: subprocess.Popen[bytes], what: str
) -> None:
    with pytest.raises(SeriesError) as caught:
        toy.build(toy.series(doing(tried(toy, home, server, what, victim.pid))))
    refusals = [line for line in caught.value.what.splitlines() if "refused: " in line]
    assert re.search(ATTEMPTS[what][1], refusals[0])
    assert "secret words" not in toy.log.read_text()
    assert is_unharmed(toy, server) and victim.poll() is None


def test_a_build_that_goes_on_all_the_same_is_told(
    toy: Toy, home: Path, server: socket.socket, recorder: Recorder
) -> None:
    lines = [f"{tried(toy, home, server, what)} || true" for what in ("read", "beside")]
    toy.build(toy.series(doing(*lines)))
    told = [note.text for note in recorder.of(Note)]
    assert len(told) == 2
    assert all("tried in the sandbox, and refused" in line for line in told)
    assert is_unharmed(toy, server)


def test_a_daemon_is_gone_when_the_build_is(toy: Toy) -> None:
    mark = f"left-by-{toy.root.name}"
    loop = f"while :; do echo x >> $(CURDIR)/alive; sleep 0.1; done' {mark}"
    toy.build(toy.series(doing(f"setsid sh -c '{loop} & while ! test -e alive; do :; done")))
    assert list(toy.store.root.glob("work/build/*/alive"))
    assert not left(mark)


def test_links_that_it_leaves_lead_nobody_to_the_home_folder(toy: Toy, home: Path) -> None:
    secret = home / "secret"
    linked = doing(f"ln -sf {secret} .config", f"ln -sf {secret} .harness-objects.json")
    with pytest.raises(SeriesError, match=r"leaves \.config as a link"):
        toy.build(toy.series(linked))
    ends = f"{MAPPED}; ln -sf {secret} $@"
    with pytest.raises(SeriesError, match="leaves vmlinux as a link"):
        edits = {"Makefile": lambda text: text.replace(MAPPED, ends), "mm/swap.c": grow}
        toy.build(toy.series(("links", edits)))
    toy.build()
    assert secret.read_text() == "secret words\n"


def test_folders_deeper_than_anybody_goes_are_gone_with_the_cache(toy: Toy) -> None:
    more = "i=0; while [ $$i -lt 1500 ]; do mkdir d && cd -P d; i=$$((i + 1)); done"
    toy.build(toy.series(doing(more)))
    toy.build(toy.series(("grow", {"mm/swap.c": grow}), name="next"))
    toy.store.evict()
    (out,) = toy.store.root.glob("work/build/*")
    folder.adopt(out, "another worktree")
    assert not list(out.glob("d"))
