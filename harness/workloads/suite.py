# SPDX-License-Identifier: GPL-2.0-only
"""The image that carries workloads into a guest, beside the series' own cases where it has some."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from harness.core import proc
from harness.core.errors import InvocationError
from harness.core.sandbox import Inside, taken
from harness.core.store import Store, file_digest
from harness.image.ext2 import make_image
from harness.image.programs import GUEST_TESTS, IN_GUEST, Suite, copy_python
from harness.workloads.selftests import RUNNER, Selftest, case_of

FILES = "files"  # the folder of GUEST_FILES= in the image


def own_script(command: str) -> str:
    """The shell script that runs the user's own program in a folder with the files it needs.

    It may write there: the folder is in the guest's memory.
    """
    copy = f"cp -a {IN_GUEST / FILES}/. . || exit 126"
    return f"#!/bin/sh\n{copy}\nexec /bin/sh -c {shlex.quote(command)}\n"


def check_files(folder: Path) -> None:
    """Raises InvocationError where GUEST_FILES= names no folder."""
    if not folder.is_dir():
        step = "GUEST_FILES= takes a folder, whose files are where RUN='s program runs"
        raise InvocationError(f"GUEST_FILES={folder}: there is no such folder", next_step=step)


def image_of(
    store: Store,
    tests: Sequence[Selftest],
    programs: Mapping[str, Path],
    own: Suite | None,
    command: str | None,
    files: Path | None,
) -> Suite:
    """The suite of workloads, and of the cases of ``own``, in one image.

    Args:
        programs: folder of built programs, by the folder's name in the image.
        command: RUN=, with ``files`` beside it.

    Raises:
        InvocationError: ``files`` is no folder.
        MachineError: a program of this machine is missing.
    """
    if files is not None:
        check_files(files)
    plan = {test.name: asdict(test) for test in tests}
    read = [file_digest(path) for path in (*programs.values(), *filter(None, (files,)))]
    before = own.image.parent if own else None
    lib = GUEST_TESTS / "lib"
    inputs = plan, read, command, before and before.name, file_digest(lib, RUNNER)

    def make(draft: Path) -> None:
        tree = draft / "tree"
        if before is not None:
            shutil.copytree(before / "tree", tree)
        (tree / "bin").mkdir(parents=True)
        for folder, built in programs.items():
            out = tree / "bin" / folder
            out.mkdir(parents=True)
            for test in tests:
                place, _, name = test.argv[0].rpartition("/")
                if place == folder and not (out / name).exists():
                    argv = ("strip", "-o", str(out / name), str(taken(built, name)))
                    proc.capture(argv, inside=Inside(reads=(built,), writes=(out,)))
        copy_python(lib, tree / "lib")
        (tree / RUNNER.name).write_bytes(RUNNER.read_bytes())
        (tree / "plan.json").write_text(json.dumps(plan, indent=1))
        if files is None:
            (tree / FILES).mkdir()
        else:
            shutil.copytree(files, tree / FILES, symlinks=True)
        if command is not None:
            script = tree / "bin" / "run"
            script.write_text(own_script(command), "utf-8")
            script.chmod(0o755)
        make_image(tree, draft / "tests.img")

    entry = store.entry("workloads", inputs, make, also=("image",))
    cases = tuple(case_of(test, RUNNER) for test in tests)
    own_cases, cached = (own.cases, own.cached) if own else ((), True)
    return Suite((*own_cases, *cases), entry.path / "tests.img", cached and entry.cached)
