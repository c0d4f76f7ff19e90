# SPDX-License-Identifier: GPL-2.0-only
"""A program as C: one file that needs nothing of this project."""

from __future__ import annotations

import json
from pathlib import Path

from .looks import Kind
from .search import Divergence
from .steps import KEEP, Length, Op, Program, Rights, Step, tag

PREAMBLE = Path(__file__).with_name("preamble.c")
_ADVICE = {
    Op.MARK: "VOLATILE",
    Op.UNMARK: "NONVOLATILE",
    Op.PAGEOUT: "MADV_PAGEOUT",
    Op.DONTNEED: "MADV_DONTNEED",
}
_ADVISE = {
    Length.EXACT: "advise",
    Length.ODD: "advise_odd",
    Length.UNALIGNED: "advise_unaligned",
}
_RIGHTS = {Rights.NONE: "NONE", Rights.READ: "R", Rights.WRITE: "RW"}


def call(step: Step) -> str:
    """The C expression of a step that is a call, such as ``advise(2, 3, VOLATILE)``."""
    page, count = step.page, step.count
    match step.op:
        case Op.MARK | Op.UNMARK:
            return f"{_ADVISE[Length(step.more)]}({page}, {count}, {_ADVICE[step.op]})"
        case Op.PAGEOUT | Op.DONTNEED:
            return f"advise({page}, {count}, {_ADVICE[step.op]})"
        case Op.RECLAIM:
            return f"reclaim({count})"
        case Op.MPROTECT:
            return f"protect({page}, {count}, {_RIGHTS[Rights(step.more)]})"
        case Op.MMAP:
            return f"map({page}, {count}, {_RIGHTS[Rights(step.more)]})"
        case Op.MUNMAP:
            return f"unmap({page}, {count})"
        case Op.MOVE:
            flags = "MREMAP_DONTUNMAP" if step.more & KEEP else "0"
            return f"move({page}, {count}, {step.to}, {step.more & ~KEEP}, {flags})"
        case Op.RESIZE:
            return f"resize({page}, {count}, {step.more})"
        case Op.FORK:
            return f"fork_off({step.to})"
        case Op.EXIT:
            return f"end({step.to})"
    raise ValueError(f"{step.op.name} is no call")


def _checks(found: Divergence, index: int, step: Step) -> list[str]:
    """The last step, and what it should have come to."""
    how = found.how
    plain = _plain(index, step)
    if how is None:
        return plain
    want = json.dumps(str(how.wanted))
    page = how.page
    match how.kind:
        case Kind.RESULT:
            return [f'wanted("{call(step)}", {call(step)}, {how.wanted});']
        case Kind.READ:
            return [
                "int number = 0;",
                f'wanted_text("reading", {page}, reading({page}, &number), {want});',
            ]
        case Kind.CONTENTS:
            return [
                "int number = 0;",
                f'wanted_text("reading", {page}, reading({page}, &number), "TAG");',
                f'wanted("the number in page {page}", number, {how.wanted});',
            ]
        case Kind.WRITE:
            number = tag(index, page - step.page)
            before = range(step.page, page)
            first = [f"writing({at}, {tag(index, at - step.page)});" for at in before]
            return [*first, f'wanted_text("writing", {page}, writing({page}, {number}), {want});']
        case Kind.FLAGS:
            return [
                *plain,
                "int begins;",
                f'wanted_text("smaps", {page}, vma({page}, &begins), {want});',
            ]
        case Kind.BORDER:
            return [
                *plain,
                "int begins;",
                f"vma({page}, &begins);",
                f'wanted("a border below page {page}", begins, 0);',
            ]
        case Kind.PAGEMAP:
            return [*plain, f'wanted_text("pagemap", {page}, pagemap({page}), {want});']
        case Kind.MINCORE:
            return [*plain, f'wanted_text("mincore", {page}, in_core({page}), {want});']


def _plain(index: int, step: Step) -> list[str]:
    match step.op:
        case Op.LOOK:
            return []
        case Op.READ:
            return [f"read_pages({index}, {step.page}, {step.count});"]
        case Op.WRITE:
            return [f"write_pages({index}, {step.page}, {step.count}, {tag(index, 0)});"]
        case _:
            return [f'say({index}, "{call(step)}", {call(step)});']


def _lines(found: Divergence) -> list[str]:
    program: Program = found.program
    alone = all(step.who == 0 and step.op is not Op.FORK for step in program)
    lines = []
    for index, step in enumerate(program):
        last = index == len(program) - 1
        statements = _checks(found, index, step) if last else _plain(index, step)
        if alone:
            lines += statements
        elif step.op is Op.RECLAIM or statements:
            lines.append(f"STEP({index}, {step.who}, {' '.join(statements)[:-1]});")
        else:
            lines.append(f"STEP({index}, {step.who}, (void)0);")
    steps = 0 if alone else len(program)
    return [*lines, f"return finish(argc, argv, {steps});"]


def c_program(found: Divergence, again: str, mglru: bool) -> str:
    """The whole file: what diverged, how to build and run it, and the program."""
    body = "\n".join(f"\t{line}" for line in _lines(found))
    lru = "y" if mglru else "n"
    return f"""// SPDX-License-Identifier: GPL-2.0-only
/*
 * A kernel with volatile ranges that does not do what their contract says: in the last
 * step, {found.error}.
 *
 * As root, with a swap disk where there is one (mkswap /dev/vdc):
 *
 *	gcc -static -o divergence divergence.c && ./divergence /dev/vdc
 *
 * It ends with 1 if the kernel does it again. Reclaim is chance: try some times. Found by
 *
 *	{again}
 */
{PREAMBLE.read_text()}
int main(int argc, char **argv)
{{
	begin(argc, argv, "{lru}");
{body}
}}
"""
