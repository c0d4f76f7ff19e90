# SPDX-License-Identifier: GPL-2.0-only
"""What kind each file of a series is, and what has become of it in a kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.change.objects import dependents
from harness.change.touched import Touched, fates, kind_of, touched_files, without_object
from harness.core import git
from harness.core.events import FileKind
from harness.series.apply import PatchedTree, unpatched
from tests.support.toy import Toy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("mm/mincore.c", "code"),
        ("arch/x86/entry/entry_64.S", "code"),
        ("include/linux/mm.h", "header"),
        ("Documentation/mm/x.rst", "documentation"),
        ("Documentation/conf.py", "documentation"),
        ("MAINTAINERS", "documentation"),
        (".mailmap", "documentation"),
        ("fs/ext4/README", "code"),
        ("mm/Kconfig", "configuration"),
        ("mm/Kconfig.debug", "configuration"),
        ("drivers/net/Makefile", "configuration"),
        ("arch/x86/configs/x86_64_defconfig", "configuration"),
        ("tools/testing/selftests/mm/x.c", "selftest"),
        ("tools/perf/builtin-stat.c", "tool"),
        ("scripts/checkpatch.pl", "tool"),
    ],
)
def test_kinds(path: str, kind: FileKind) -> None:
    assert kind_of(path) == kind


def test_comments_are_no_code(toy: Toy) -> None:
    edits = {
        "mm/swap.c": lambda text: "// new words\n" + text.replace("{\n", "{ /* a\n */\n"),
        "drivers/driver.c": lambda text: text + '\nchar *no_comment = "/* a */";\n',
    }
    base, applied = toy.apply(toy.series(("one", edits)))
    found = {file.path: file.kind for file in touched_files(applied)}
    assert found == {"mm/swap.c": "comments", "drivers/driver.c": "code"}
    assert touched_files(unpatched(base)) == []


def test_a_commit_of_another_repository_has_no_text(tmp_path: Path) -> None:
    git.init(tmp_path)
    commits = []
    for digit in "12":
        entry = f"160000 commit {digit * 40}\tlib.c\n".encode()
        tree = git.text(tmp_path, "mktree", "--missing", stdin=entry)
        commits.append(git.text(tmp_path, "commit-tree", tree, stdin=b""))
    found = touched_files(PatchedTree(tmp_path, commits[1], commits[0]))
    assert found == [Touched("lib.c", "code")]


def test_fates() -> None:
    files = [
        Touched("mm/mincore.c", "code"),
        Touched("include/linux/mm.h", "header"),
        Touched("include/linux/unused.h", "header"),
        Touched("drivers/foo.c", "code"),
        Touched("arch/arm64/mm/fault.c", "code"),
        Touched("mm/old.c", "code", gone=True),
        Touched("Documentation/a.rst", "documentation"),
        Touched("kernel/part.c", "code"),
    ]
    compiled = ["mm/mincore.o", "mm/a.o", "mm/b.o", "kernel/whole.o"]
    used = {"include/linux/mm.h": ["mm/a.o", "mm/b.o"], "kernel/part.c": ["kernel/whole.o"]}
    missing = {"drivers/foo.c": "needs CONFIG_FOO"}
    found = {f.path: (f.compiled, f.said) for f in fates(files, compiled, used, missing, "x86")}
    assert found == {
        "mm/mincore.c": (True, "mm/mincore.o"),
        "include/linux/mm.h": (True, "in 2 objects, such as mm/a.o"),
        "include/linux/unused.h": (False, "no object of this kernel is made from it"),
        "drivers/foo.c": (False, "needs CONFIG_FOO"),
        "arch/arm64/mm/fault.c": (False, "for another architecture: this kernel is for x86"),
        "mm/old.c": (None, "removed"),
        "Documentation/a.rst": (None, "documentation"),
        "kernel/part.c": (True, "kernel/whole.o"),
    }
    # The header mm.h has no object of its own, whatever else is called mm.o.
    assert "mm/mincore.c" not in without_object(files, compiled)
    assert "include/linux/mm.h" in without_object(files, compiled)


def test_objects_by_what_the_compiler_noted(tmp_path: Path) -> None:
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm" / ".a.o.cmd").write_text(
        "cmd_mm/a.o := gcc /src/mm/internal.h\n\nsource_mm/a.o := /src/mm/a.c\n\n"
        "deps_mm/a.o := \\\n    $(wildcard include/config/X) \\\n  /src/include/linux/mm.h \\\n"
        "  /src/mm/more_internal.h\n\nmm/a.o: $(deps_mm/a.o)\n"
    )
    paths = frozenset({"include/linux/mm.h", "mm/internal.h", "mm/more_internal.h"})
    found = dependents(tmp_path, Path("/src"), ["mm/a.o", "mm/gone.o"], paths)
    assert found == {"include/linux/mm.h": ["mm/a.o"], "mm/more_internal.h": ["mm/a.o"]}
