# SPDX-License-Identifier: GPL-2.0-only
"""What a finding's file carries of the harness runs with Python's own library alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import InternalError
from harness.findings import python_modules

USES = """
import sys
sys.path.insert(0, {lib!r})
import harness.findings.replay
from harness.vm.splats import find_splats
from harness.debugger.blocked_on import blocked_on
print(find_splats("[    1.0] BUG: sleeping function called from invalid context at mm/x.c:1\\n"
                  "[    1.0] Call Trace:\\n[    1.0]  do_thing+0x1/0x2\\n")[0].title)
print(blocked_on(["rwsem_down_write_slowpath"]).kind)
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
print([file for file in files if "site-packages" in file])
"""


def test_it_runs_without_any_package(tmp_path: Path) -> None:
    python_modules.write_modules(tmp_path)
    script = USES.format(lib=str(tmp_path))
    argv = [sys.executable, "-I", "-S", "-c", script]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    title, kind, foreign = said.splitlines()
    assert title == "BUG: sleeping function called from invalid context in do_thing"
    assert kind == "lock"
    assert foreign == "[]"


def test_nothing_that_starts_kernels_or_talks_ssh_goes_along() -> None:
    names = python_modules.modules()
    assert {"harness.races.driver", "harness.vm.splats", "harness.cases.ktap"} <= set(names)
    assert not [name for name in names if name.startswith(("harness.run", "harness.build"))]
    assert "harness.vm.ssh" not in names


def test_a_module_that_needs_a_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "findings").mkdir()
    (tmp_path / "findings" / "replay.py").write_text("import json\nimport paramiko\n")
    monkeypatch.setattr(python_modules, "PACKAGE", tmp_path)
    with pytest.raises(InternalError, match=r"harness\.findings\.replay: it imports paramiko"):
        python_modules.modules()
