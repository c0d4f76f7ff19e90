# SPDX-License-Identifier: GPL-2.0-only
"""``make shell`` on a terminal that goes away, as when its window is closed or ssh drops."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import sys
from pathlib import Path

import pytest

from harness.core.settings import PROJECT
from tests.run.fake_guest_run import built_toy
from tests.support.toy import Toy

# The command in a process of its own, with a played QEMU.
SHELL = """
import sys
from pathlib import Path
import pytest
from harness.core.events import Events
from harness.core.store import Store
from tests.run.fake_guest_run import Job
from tests.support.toy import Toy
root, project, *given = sys.argv[1:]
toy = Toy(Path(root), Path(root) / "linux", Store(Path(root) / "store", 1 << 30), Events())
job = Job(toy, Path(project), Path(root) / "out", pytest.MonkeyPatch())
sys.exit(job.run("shell", *given))
"""
INTERRUPTED = 130
needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, Path]:
    return built_toy(tmp_path_factory, {"first": {"a": 1}})


@pytest.mark.parametrize("hangup", [signal.SIG_DFL, signal.SIG_IGN])
@pytest.mark.parametrize(
    ("given", "begun"),
    [
        pytest.param((), b"# ", marks=needs_ssh),
        (("CONSOLE=1",), b"ends the guest"),
    ],
)
def test_the_run_ends_with_its_terminal(
    built: tuple[Toy, Path], given: tuple[str, ...], begun: bytes, hangup: signal.Handlers
) -> None:
    """Whether it is told of that by a signal or was started to ignore it, as by ``nohup``."""
    toy, project = built
    child, terminal = pty.fork()
    if child == 0:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, hangup)
        argv = [sys.executable, "-c", SHELL, str(toy.root), str(project), *given]
        os.execve(sys.executable, argv, {**os.environ, "PYTHONPATH": str(PROJECT)})
    said = b""
    while begun not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == INTERRUPTED
