# SPDX-License-Identifier: GPL-2.0-only
"""Where threads may be held: of code that was compiled, and of a patch of ours."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from unidiff.patch import PatchSet

from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.debugger.code import Unit
from harness.debugger.dwarf import DebugInfo
from harness.debugger.symbols import KernelSource, Symbols
from harness.detectors.changed_functions import functions
from harness.mutants.syntax import read_bodies
from harness.races.breakpoints import find_breakpoint
from harness.search.points import SearchedCode, operations
from harness.series.apply import PatchedTree
from tests.races.conftest import run

BASE = """\
#define noinline __attribute__((noinline))
int lock;
struct vma { unsigned long vm_flags; };
void spin_lock(volatile int *l) { *l = 1; }
void spin_unlock(volatile int *l) { *l = 0; }
void set_pte(volatile int *pte, int to) { *pte = to; }
void flush_tlb_page(volatile int *pte) { *pte = 4; }
noinline void below(volatile int *pte)
{
	set_pte(pte, 1);
}
noinline void elsewhere(volatile int *pte)
{
	set_pte(pte, 2);
}
"""
ADDED = """\
static int not_compiled(volatile int *pte)
{
	return *pte;
}
noinline int added(volatile struct vma *vma, volatile int *pte)
{
	int ret = 0;

	spin_lock(&lock);
	if (*pte == 3)
		ret = 1;
	spin_unlock(&lock);
	below(pte);
	if (vma->vm_flags & 1)
		ret++;
	flush_tlb_page(pte);
	flush_tlb_page(pte);
	spin_lock(&lock);
	return ret;
}
"""
MAIN = """\
int main(int argc, char **argv)
{
	struct vma vma = { argc };

	(void)argv;
	elsewhere(&lock);
	return added(&vma, &argc);
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PatchedTree, Symbols]]:
    """A 'kernel' of one file, to which a series has added a function."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "mm").mkdir()
    run("git", "init", "-q", folder=folder)
    commits = []
    for text in (BASE + MAIN.replace("added(&vma, &argc)", "0"), BASE + ADDED + MAIN):
        (folder / "mm" / "toy.c").write_text(text)
        run("git", "add", "mm/toy.c", folder=folder)
        author = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        run("git", *author, "commit", "-qm", "toy", folder=folder)
        commits.append(run("git", "rev-parse", "HEAD", folder=folder))
    flags = ("-O1", "-g", "-fno-omit-frame-pointer", "-fno-inline", "-no-pie", "-fno-pie")
    run("gcc", *flags, "-o", "toy", "mm/toy.c", folder=folder)
    rows = run("nm", "toy", folder=folder).splitlines()
    system_map = "\n".join(row for row in rows if len(row.split()) == 3)
    debug = DebugInfo(folder / "toy", folder, folder / "cache")
    symbols = Symbols(system_map, debug, KernelSource(folder, commits[1]))
    yield PatchedTree(folder, commits[1], commits[0]), symbols
    debug.close()
    shutil.rmtree(folder)


def searched(built: tuple[PatchedTree, Symbols], function: str | None = None) -> SearchedCode:
    tree, symbols = built
    return SearchedCode(tree, ["mm/toy.o"], symbols, function)


def test_what_the_series_changes_and_what_that_calls(built: tuple[PatchedTree, Symbols]) -> None:
    code = searched(built)
    # What is an operation itself, as spin_lock(), is not looked into.
    assert {f.name: f.origin for f in code.functions.values()} == {
        "not_compiled": "asked", "added": "asked", "main": "asked",
        "below": "called", "elsewhere": "called",
    }  # fmt: skip


def test_the_points_are_before_each_operation_that_can_be_named(
    built: tuple[PatchedTree, Symbols],
) -> None:
    found = searched(built).points(["added", "below"])
    assert [(str(p.place), p.kind, p.origin) for p in found] == [
        ("below: set_pte(pte, 1);", "page table", "called"),
        ("added()", "call", "asked"),
        # The second lock of the function has the text of the first one.
        ("added: spin_lock(&lock);", "lock", "asked"),
        ("added: if (*pte == 3)", "page table", "asked"),
        ("added: spin_unlock(&lock);", "lock", "asked"),
        ("added: if (vma->vm_flags & 1)", "flag", "asked"),
        ("added: flush_tlb_page(pte);", "flush", "asked"),
        # So has the second flush, for which a thread would wait: that has a function.
        ("flush_tlb_page()", "flush", "asked"),
    ]
    assert found[-1].point("A").within == ("added",)


def test_what_has_no_code_in_its_own_file_is_looked_for_in_no_other(
    built: tuple[PatchedTree, Symbols], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read the units of all files that mention a name took minutes on a kernel."""
    asked: list[str] = []
    units_with = built[1].units_with

    def spy(function: str) -> tuple[Unit, ...]:
        asked.append(function)
        return units_with(function)

    monkeypatch.setattr(built[1], "units_with", spy)
    code = searched(built)
    assert "not_compiled" in code.functions and "not_compiled" not in code.entries
    assert code.points(["added", "below"]) and asked == []


def test_a_point_is_where_a_scenario_with_it_will_be(built: tuple[PatchedTree, Symbols]) -> None:
    for point in searched(built).points(["added", "below"]):
        assert find_breakpoint(point.point("A"), built[1], {}).addresses == point.at.addresses


def test_a_function_that_was_asked_for_comes_first_wherever_it_is(
    built: tuple[PatchedTree, Symbols],
) -> None:
    origins = {f.name: f.origin for f in searched(built, "elsewhere").functions.values()}
    assert origins == {
        "not_compiled": "changed", "added": "changed", "main": "changed",
        "elsewhere": "asked", "below": "called",
    }  # fmt: skip
    with pytest.raises(InvocationError, match="FUNCTION=nowhere: this kernel has no code of"):
        searched(built, "nowhere")


def test_the_operations_of_a_patch_of_ours() -> None:
    patch = next((PROJECT / "patches" / "volatile" / "6.1").glob("0002-*.patch"))
    file = next(f for f in PatchSet(patch.read_text("utf-8")) if f.path == "mm/volatile.c")
    text = "".join(line.value for hunk in file for line in hunk if line.is_added)
    wanted = [f for f in functions(text) if f.names[0] == "volatile_set_vm_flags"]
    (body,) = read_bodies(text.encode(), wanted, [])
    lines = text.splitlines()
    assert {lines[n - 1].strip(): kind for n, kind in operations(body).items()} == {
        "if (vma->vm_flags == vm_flags)": "flag",
        "anon_vma_lock_write(anon_vma);": "lock",
        "WRITE_ONCE(vma->vm_flags, vm_flags);": "access",
        "anon_vma_unlock_write(anon_vma);": "lock",
    }


def test_a_call_by_pointer_is_a_place_to_be_held_before() -> None:
    """What it does is in another file: a window that begins before it and ends behind it."""
    text = "int f(struct file *file)\n{\n\treturn file->f_op->read(file);\n}\n"
    (body,) = read_bodies(text.encode(), functions(text), [])
    assert operations(body) == {3: "call by pointer"}
