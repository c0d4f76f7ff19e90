# SPDX-License-Identifier: GPL-2.0-only
"""Claims as people and kernels write them: who does what in which order; what makes no claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.races.claims import Claim, Row, parse_claim, read_claim

CLAIMS = Path(__file__).with_name("data") / "claims"


def told(name: str) -> Claim:
    return read_claim(CLAIMS / f"{name}.txt")


def steps(claim: Claim) -> list[tuple[str, str | None]]:
    """Thread and function of each row that names a place."""
    return [(row.thread, row.function) for row in claim.rows if row.named]


A, B = "thread A", "thread B"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "fault-and-dontneed",
            [("CPU0", "handle_mm_fault"), ("CPU0", "do_swap_page"), ("CPU0", "handle_purged_entry"),
             ("CPU1", "madvise"), ("CPU1", "zap_page_range_single"), ("CPU1", "do_anonymous_page")],
        ),
        (
            "intact-then-purged",
            [(A, "folio_purge"), (A, "try_to_unmap_one"), (B, "madvise"),
             (B, "volatile_set_vm_flags")],
        ),
        (
            "mlock-and-reclaim",
            [("CPU 0", "folio_purge"), ("CPU 0", "try_to_unmap_one"), ("CPU 1", "mlock"),
             ("CPU 1", "do_mlock"), ("CPU 1", "apply_vma_lock_flags")],
        ),
        (
            "pipe-and-reclaim",
            [("Task 1", "folio_purge"), ("Task 1", "try_to_unmap_one"), ("Task 2", "vmsplice"),
             ("Task 2", "iter_to_pipe"), ("Task 2", "get_user_pages_fast")],
        ),
        (
            "nobody-gets-there",
            [("CPU0", "handle_mm_fault"), ("CPU0", "handle_purged_entry"),
             ("CPU1", "ksm_do_scan"), ("CPU1", "break_ksm")],
        ),
    ],
)  # fmt: skip
def test_two_columns_however_they_are_drawn(name: str, expected: list[tuple[str, str]]) -> None:
    assert steps(told(name)) == expected


def test_the_text_around_the_table_is_no_row() -> None:
    claim = told("fault-and-dontneed")
    assert claim.title == "mm: a fault can signal although the page is back"
    assert [row.text for row in claim.rows if not row.named] == [
        "writes to the page", "return VM_FAULT_SIGBUS", "SIGBUS for a page that is good",
    ]  # fmt: skip
    asked = "Is it possible that reclaim takes the page after NONVOLATILE said 0?"
    assert told("intact-then-purged").title == asked


@pytest.mark.parametrize("quote", ["> ", "> > ", ">> ", " * ", "\t"])
def test_a_quotation_says_the_same(quote: str) -> None:
    for path in sorted(CLAIMS.glob("*-and-*.txt")):
        plain = path.read_text()
        if path.stem in ("mlock-and-reclaim",):  # it is a comment already
            continue
        quoted = "".join(f"{quote}{line}\n" for line in plain.splitlines())
        assert steps(parse_claim(quoted)) == steps(parse_claim(plain)), path.stem


def test_the_order_goes_from_line_to_line() -> None:
    claim = parse_claim(
        "CPU0          CPU1          CPU2\n"
        "f()\n"
        "              g()           h()\n"
        "k()           mm/toy.c:12\n"
    )
    assert claim.threads == ("CPU0", "CPU1", "CPU2")
    assert [str(row) for row in claim.rows] == [
        "CPU0: f()", "CPU1: g()", "CPU2: h()", "CPU0: k()", "CPU1: mm/toy.c:12",
    ]  # fmt: skip


def test_what_a_row_may_be() -> None:
    claim = parse_claim(
        "CPU0                          CPU1\n"
        "alloc_it+0x1c/0x90            mm/toy.c:14\n"
        "if (busy(p))                  x = 1;   /* calls nobody() */\n"
        "a_name                        a word or two\n"
        "returns                       deref(p->q)\n"
    )
    first, line, busy, statement, name, words, end, deref = claim.rows
    assert (first.function, first.offset, first.size) == ("alloc_it", 0x1C, 0x90)
    assert (line.file, line.line, line.function) == ("mm/toy.c", 14, None)
    assert (busy.function, name.function, deref.function) == ("busy", "a_name", "deref")
    assert (statement.text, statement.named, words.named) == ("x = 1", False, False)
    assert end.ends and not end.named


def test_a_comment_may_go_on_in_the_next_line() -> None:
    claim = parse_claim(
        "CPU0            CPU1\nf() /* as long as\n   g() does it */\n                h()\n"
    )
    assert steps(claim) == [("CPU0", "f"), ("CPU1", "h")]


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("", "no line is a heading"),
        ("The lock is not taken in foo().\n", "no line is a heading"),
        ("CPU0 and CPU1 race with each other in foo().\n", "no line is a heading"),
        ("CPU0    CPU1\n", "no row below CPU0 names a function"),
        ("thread A / thread B\nf()\ng()\n", "do not stand in 2 columns"),
        ("CPU0    CPU1\n\nf()\ng()\n", "no row below CPU1 names a function"),
        ("CPU0       CPU1\nf()\n           sleeps\n", "no row below CPU1 names a function"),
        ("CPU0   CPU1   CPU2   CPU3\nf()\n", "4 columns"),
        ("WARNING: possible circular locking dependency detected\n", "it names locks"),
        ("BUG: KCSAN: data-race in f\n\nread to 0x1 of 4 bytes by task 1 on cpu 0:\n f+0x1/0x9\n"
         "\nvalue changed\n", "not the stacks of both accesses"),
        ("BUG: KASAN: slab-use-after-free in f+0x1/0x2\nCall Trace:\n f+0x1/0x2\n",
         "no stack that freed it"),
    ],
)  # fmt: skip
def test_an_unreadable_claim_says_what_it_lacks(text: str, lacks: str) -> None:
    with pytest.raises(InvocationError) as caught:
        parse_claim(text)
    assert lacks in caught.value.what and caught.value.exit_code == 2


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match="there is no such file"):
        read_claim(tmp_path / "report.txt")


def test_kcsan_has_two_accesses() -> None:
    claim = told("kcsan")
    assert claim.title == "BUG: KCSAN: data-race in outer / sink"
    write, read = claim.rows
    assert write == Row("T1", write.text, "sink", "mm/toy.c", 32, 0x12, 0x9999)
    assert (read.thread, read.function, read.file, read.line) == ("T2", "inner", "mm/toy.c", 7)


def test_kasan_has_the_use_and_the_free_and_not_the_allocation() -> None:
    claim = told("kasan")
    assert [(r.thread, r.function, r.offset, r.size) for r in claim.rows] == [
        ("user", "outer", 0x31, 0x80), ("freeing", "sink", 0x9, 0x10),
    ]  # fmt: skip
