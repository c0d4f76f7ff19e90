# SPDX-License-Identifier: GPL-2.0-only
"""Host checks read the patched tree and write the same records as guest cases."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.cases.host_checks import check, load_checks, run_check
from harness.core.errors import InternalError
from harness.core.settings import PROJECT
from harness.series.apply import PatchedTree

OURS = PROJECT / "patches" / "volatile"
HEADERS = (
    "include/uapi/asm-generic/mman-common.h",
    "arch/alpha/include/uapi/asm/mman.h",
    "arch/mips/include/uapi/asm/mman.h",
    "arch/parisc/include/uapi/asm/mman.h",
    "arch/xtensa/include/uapi/asm/mman.h",
    "tools/include/uapi/asm-generic/mman-common.h",
)
NAMES = "include/trace/events/mmflags.h"
DOCUMENT = "Documentation/admin-guide/mm/volatile_ranges.rst"
SWAP = "include/linux/swap.h"
END = "\n/*\n * Magic header for a swap area.\n */\n"
SWAP_OLD = f"""\
#define MAX_SWAPFILES_SHIFT\t5
#ifdef CONFIG_MEMORY_FAILURE
#define SWP_HWPOISON_NUM 1
#define SWP_HWPOISON\t\tMAX_SWAPFILES
#else
#define SWP_HWPOISON_NUM 0
#endif
#define SWP_SWAPIN_ERROR\t(MAX_SWAPFILES + SWP_HWPOISON_NUM)
#define MAX_SWAPFILES\t((1 << MAX_SWAPFILES_SHIFT) - SWP_HWPOISON_NUM - 1)
{END}"""
SWAP_NEW = f"""\
#define MAX_SWAPFILES_SHIFT\t5
#define SWP_SWAPIN_ERROR\t((1 << MAX_SWAPFILES_SHIFT) - 1)
#ifdef CONFIG_MEMORY_FAILURE
#define SWP_HWPOISON_NUM 1
#define SWP_HWPOISON\t\t(SWP_SWAPIN_ERROR - 1)
#else
#define SWP_HWPOISON_NUM 0
#endif
#ifdef CONFIG_VOLATILE_RANGES
#define SWP_PURGED_NUM 1
#define SWP_PURGED\t\tMAX_SWAPFILES
#else
#define SWP_PURGED_NUM 0
#endif
#define MAX_SWAPFILES\t(SWP_SWAPIN_ERROR - SWP_HWPOISON_NUM - SWP_PURGED_NUM)
static_assert(SWP_SWAPIN_ERROR == 31);
{END}"""
TEXTS = {
    SWAP: SWAP_NEW,
    NAMES: 'IF_HAVE_VM_VOLATILE(VM_VOLATILE,\t"volatile"\t)\n',
    DOCUMENT: "Tools for checkpoint and restore see neither the\nmark nor the purged pages.\n",
}
OLD = "#define MADV_FREE\t8\n#define MADV_COLLAPSE\t25\n"
NEW = OLD + "#define MADV_VOLATILE\t26\n#define MADV_NONVOLATILE\t27\n"


def git(repo: Path, *words: str) -> str:
    command = ["git", "-C", str(repo), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        [*command, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(repo: Path, texts: dict[str, str]) -> str:
    for name, text in texts.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "--allow-empty", "-m", "x")
    return git(repo, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> PatchedTree:
    git(tmp_path, "init", "-q")
    base = commit(tmp_path, dict.fromkeys(HEADERS, OLD) | {SWAP: SWAP_OLD})
    return PatchedTree(tmp_path, commit(tmp_path, dict.fromkeys(HEADERS, NEW) | TEXTS), base)


def outcomes(tree: PatchedTree) -> dict[str, tuple[str, str]]:
    records = [run_check(item, tree) for item in load_checks(OURS)]
    return {str(r.id): (r.status, r.reason) for r in records}


def test_our_checks_pass_on_a_tree_that_keeps_the_promise(tree: PatchedTree) -> None:
    found = outcomes(tree)
    assert found and {status for status, _ in found.values()} == {"pass"}


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_that_misses_a_number_is_found(tree: PatchedTree, header: str) -> None:
    broken = commit(tree.repo, {header: NEW.replace("VOLATILE\t26", "VOLATILE\t18")})
    status, reason = outcomes(PatchedTree(tree.repo, broken, tree.base))["host::advice_numbers"]
    assert status == "fail"
    assert reason == f"{header}: MADV_VOLATILE is 18, must be 26"


def test_a_changed_old_advice_is_found(tree: PatchedTree) -> None:
    broken = commit(tree.repo, {HEADERS[1]: NEW.replace("FREE\t8", "FREE\t9")})
    found = outcomes(PatchedTree(tree.repo, broken, tree.base))
    status, reason = found["host::other_advices_keep_their_numbers"]
    assert (status, reason) == ("fail", f"{HEADERS[1]}: MADV_FREE was 8, is 9")


@pytest.mark.parametrize(
    ("path", "name"),
    [(NAMES, "trace_events_name_the_flag"), (DOCUMENT, "checkpointing_is_documented")],
)
def test_a_missing_name_or_sentence_is_found(tree: PatchedTree, path: str, name: str) -> None:
    broken = commit(tree.repo, {path: "nothing of it\n"})
    status, reason = outcomes(PatchedTree(tree.repo, broken, tree.base))[f"host::{name}"]
    assert status == "fail"
    assert reason.startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "(SWP_SWAPIN_ERROR - 1)",
            "(SWP_SWAPIN_ERROR - 1 - SWP_PURGED_NUM)",
            f"{SWAP}: with MEMORY_FAILURE, VOLATILE_RANGES: SWP_HWPOISON was 30, is 29",
        ),
        (
            "MAX_SWAPFILES\t(SWP_SWAPIN_ERROR",
            "MAX_SWAPFILES\t(SWP_SWAPIN_ERROR - 1",
            f"{SWAP}: with none of the options: MAX_SWAPFILES was 31, is 30",
        ),
        ("== 31", "== 30", f'{SWAP}: static assertion failed: "SWP_SWAPIN_ERROR == 30"'),
        ("Magic header", "Magic", f"{SWAP}: no block of special types"),
    ],
)
def test_a_swap_type_that_moves_is_found(tree: PatchedTree, old: str, new: str, said: str) -> None:
    assert old in SWAP_NEW
    broken = commit(tree.repo, {SWAP: SWAP_NEW.replace(old, new)})
    found = outcomes(PatchedTree(tree.repo, broken, tree.base))
    assert found["host::special_swap_types_keep_their_numbers"] == ("fail", said)


def test_a_missing_file_is_a_finding_and_not_a_crash(tree: PatchedTree) -> None:
    (tree.repo / HEADERS[0]).unlink()
    broken = commit(tree.repo, {})
    found = outcomes(PatchedTree(tree.repo, broken, tree.base))
    assert found["host::advice_numbers"][0] == "fail"


def test_a_check_must_say_what_it_shows() -> None:
    with pytest.raises(InternalError, match="docstring"):

        @check("A-1")
        def silent(tree: PatchedTree) -> list[str]:
            return []


def test_a_series_without_checks_has_none(tmp_path: Path) -> None:
    assert load_checks(tmp_path) == ()
