# SPDX-License-Identifier: GPL-2.0-only
"""The image that carries workloads into a guest, beside the series' own cases where it has some."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from harness.core import proc
from harness.core.errors import InvocationError
from harness.core.sandbox import Inside, taken
from harness.core.store import Store, file_digest
from harness.image.ext2 import make_image
from harness.image.programs import GUEST_TESTS, IN_GUEST, Suite, copy_python
from harness.series.base import Base
from harness.workloads.regression_selftests import (
    RUNNER,
    Selftest,
    SelftestList,
    build_programs,
    case_of,
)

OWN_SCRIPT = "run"  # its script, below bin/
FILES = "files"  # the folder of GUEST_FILES= in the image


def own_script(command: str) -> str:
    """The shell script that runs the user's own program in a folder with the files it needs.

    It may write there: the folder is in the guest's memory.
    """
    here = IN_GUEST / FILES
    copy = f"if [ -d {here} ]; then cp -a {here}/. . || exit 126; fi"
    return f"#!/bin/sh\n{copy}\nexec /bin/sh -c {shlex.quote(command)}\n"


def checked_folder(folder: Path) -> Path:
    """The folder of GUEST_FILES=; InvocationError where it is none."""
    if not folder.is_dir():
        step = "GUEST_FILES= takes a folder, whose files are where RUN='s program runs"
        raise InvocationError(f"GUEST_FILES={folder}: there is no such folder", next_step=step)
    return folder


def image_of(
    store: Store,
    tests: Sequence[Selftest],
    own: Suite | None,
    programs: Mapping[str, Path],
    folders: Mapping[str, Path],
) -> Suite:
    """The suite of workloads, and of the cases of ``own``, in one image.

    Args:
        programs: folders of built programs, by the folders' names below bin/ in the image; '' is
            bin/ itself.
        folders: what else is copied, by names in the image.

    Raises:
        MachineError: a program of this machine is missing.
    """
    plan = {test.name: asdict(test) for test in tests}
    read = {name: file_digest(path) for name, path in {**programs, **folders}.items()}
    before = own.image.parent if own else None
    lib = GUEST_TESTS / "lib"
    inputs = plan, read, before and before.name, file_digest(lib, RUNNER)

    def make(draft: Path) -> None:
        tree = draft / "tree"
        if before is not None:
            shutil.copytree(before / "tree", tree)
        (tree / "bin").mkdir(parents=True)
        for folder, built in programs.items():
            out = tree / "bin" / folder
            out.mkdir(parents=True, exist_ok=True)
            for test in tests:
                place, _, name = test.argv[0].rpartition("/")
                if place == folder and not (out / name).exists():
                    argv = ("strip", "-o", str(out / name), str(taken(built, name)))
                    proc.capture(argv, inside=Inside(reads=(built,), writes=(out,)))
        copy_python(lib, tree / "lib")
        (tree / RUNNER.name).write_bytes(RUNNER.read_bytes())
        (tree / "plan.json").write_text(json.dumps(plan, indent=1))
        for test in tests:
            if test.script:
                script = tree / "bin" / test.argv[0]
                script.parent.mkdir(exist_ok=True)
                script.write_text(test.script, "utf-8")
                script.chmod(0o755)
        for name, folder_here in folders.items():
            shutil.copytree(folder_here, tree / name, symlinks=True)
        make_image(tree, draft / "tests.img")

    entry = store.entry("workloads", inputs, make, also=("image",))
    cases = tuple(case_of(test, RUNNER) for test in tests)
    own_cases, cached = (own.cases, own.cached) if own else ((), True)
    return Suite((*own_cases, *cases), entry.path / "tests.img", cached and entry.cached)


def selftest_suite(
    store: Store, listed: SelftestList, base: Base, headers: Path, jobs: int
) -> Suite:
    """The selftests of ``listed`` as a suite: an image of programs and a case a test.

    Args:
        headers: the installed uapi headers of the bare base.
    """
    programs, cached = build_programs(store, listed, base, headers, jobs)
    suite = image_of(store, listed.tests, None, {"": programs}, {})
    return replace(suite, cached=cached and suite.cached)
