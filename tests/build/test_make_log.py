# SPDX-License-Identifier: GPL-2.0-only
"""Make's output: objects, warnings, errors."""

from __future__ import annotations

import json

import pytest

from harness.build.make import BuildLog, Warned, from_json, new_warnings

LOG = """\
make[1]: Entering directory '/o'
  HOSTCC  scripts/basic/fixdep
  CC      /o/tools/objtool/arch/x86/decode.o
  CC      arch/x86/kernel/asm-offsets.s
  AS      arch/x86/entry/entry_64.o
  CC      mm/swap.o
/s/mm/swap.c: In function 'swap_out':
/s/mm/swap.c:5:6: warning: unused variable 'x' [-Wunused-variable]
    5 |  int x;
      |      ^
  CC [M]  drivers/toy.o
  AR      mm/built-in.a
  CC      mm/madvise.o
In file included from /s/mm/madvise.c:3:
/s/include/linux/mm.h:9:1: warning: 'f' defined but not used
  CC      mm/memory.o
  AS      .tmp_vmlinux.kallsyms1.o
mm/memory.o: warning: objtool: fault()+0x1c: unreachable instruction
"""


def read(text: str) -> BuildLog:
    log = BuildLog("/s", "/o")
    for line in text.splitlines():
        log.feed(line)
    return log


def test_objects_and_their_warnings() -> None:
    log = read(LOG)
    assert list(log.objects) == [
        "arch/x86/entry/entry_64.o",
        "mm/swap.o",
        "drivers/toy.o",
        "mm/madvise.o",
        "mm/memory.o",
    ]
    assert log.objects["mm/swap.o"] == [
        Warned("mm/swap.c", 5, "unused variable 'x' [-Wunused-variable]")
    ]
    assert log.objects["mm/madvise.o"][0].file == "include/linux/mm.h"
    assert log.objects["mm/memory.o"][0].line == 0
    assert log.objects["drivers/toy.o"] == []


def test_feed_names_the_object_that_begins() -> None:
    log = BuildLog("/s", "/o")
    assert log.feed("  CC      mm/swap.o") == "mm/swap.o"
    assert log.feed("  LD      vmlinux.o") is None


def test_records_survive_json() -> None:
    objects = read(LOG).objects
    assert from_json(json.loads(json.dumps(objects))) == objects


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "/s/mm/swap.c:7:2: error: 'nope' undeclared\nmake[2]: *** [x: mm/swap.o] Error 1\n",
            ["mm/swap.c:7: error: 'nope' undeclared"],
        ),
        (
            "/s/mm/swap.c:3:10: fatal error: linux/no.h: No such file or directory\n",
            ["mm/swap.c:3: error: linux/no.h: No such file or directory"],
        ),
        (
            "ld: mm/madvise.o: in function `f':\n"
            "madvise.c:(.text+0x1): undefined reference to `g'\n"
            "make: *** [vmlinux] Error 1\n",
            ["ld: mm/madvise.o: in function `f':",
             "madvise.c:(.text+0x1): undefined reference to `g'"],
        ),
        ("make: *** No rule to make target 'x.o'.  Stop.\n",
         ["make: *** No rule to make target 'x.o'.  Stop."]),
        ("/s/mm/Kconfig:3: syntax error\n", ["mm/Kconfig:3: syntax error"]),
        ("strange end\n", ["strange end"]),
    ],
)  # fmt: skip
def test_the_first_errors(text: str, expected: list[str]) -> None:
    assert read(text).first_errors() == expected


def test_a_warning_is_the_same_after_lines_moved() -> None:
    old = [Warned("mm/a.c", 5, "array of 16 at 0xffff"), Warned("mm/a.c", 9, "unused 'x'")]
    new = [Warned("mm/a.c", 50, "array of 17 at 0xeeee"), Warned("mm/a.c", 90, "unused 'y'")]
    assert new_warnings(new, old) == [new[1]]


def test_one_more_of_the_same_is_new() -> None:
    one = Warned("mm/a.c", 5, "unused")
    assert new_warnings([one, Warned("mm/a.c", 8, "unused")], [one]) == [
        Warned("mm/a.c", 8, "unused")
    ]
