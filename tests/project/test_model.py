# SPDX-License-Identifier: GPL-2.0-only
"""The model of volatile ranges: a right kernel passes, each mistake is found and shrunk."""

from __future__ import annotations

import errno
import subprocess
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cases.plugins import Dialogue
from harness.vm.protocol import EndedError
from patches.volatile.model import search
from patches.volatile.model.c_program import c_program
from patches.volatile.model.drive import FLOORS, below_floors, drive
from patches.volatile.model.generate import KINDS, build
from patches.volatile.model.looks import DivergedError, Kind
from patches.volatile.model.search import Divergence, draw, judge, valid
from patches.volatile.model.steps import (
    KEEP,
    LOOK_VMAS,
    PAGES,
    Access,
    End,
    Op,
    Outcome,
    Program,
    Record,
    ReplyError,
    Rights,
    Step,
    Where,
    decode,
    encode,
    tag,
)
from patches.volatile.model.world import Counts, World, check
from tests.project.toy_volatile import MISTAKES, ToyKernel, ask, from_wire, to_wire

OK = Record(0)


def mapped(*more: Step) -> Program:
    """Sixteen writable pages, the first four written; then ``more``."""
    return (
        Step(Op.MMAP, 0, 0, PAGES, more=Rights.WRITE),
        Step(Op.WRITE, 0, 0, 4),
        *more,
    )


def follow(program: Program, *records: Record) -> DivergedError | None:
    """How a program diverges whose first two steps, those of mapped(), went well."""
    written = Record(0, tuple((Access.TAG, tag(1, place)) for place in range(4)))
    return check(program, (OK, written, *records))[2]


def run_toy(mistake: str, programs: list[Program]) -> list[Outcome]:
    return [ToyKernel(mistake).run(program) for program in programs]


@cache
def drawn() -> list[Program]:
    return draw(11, 150)


class TestPrograms:
    def test_any_numbers_make_a_program_whose_processes_are_there(self) -> None:
        for program in drawn():
            assert valid(program)
            assert all(s.page + s.count <= PAGES for s in program if s.op is not Op.RECLAIM)

    def test_a_seed_draws_the_same_programs_again_and_another_draws_others(self) -> None:
        assert draw(7, 10) == draw(7, 10) != draw(8, 10)

    def test_number_zero_is_no_step(self) -> None:
        assert build(0, [(0, 0, 0, 0, 0, 0)] * 5) == build(0, [])
        assert KINDS[0] is None

    def test_steps_that_need_a_process_need_the_fork_before_it(self) -> None:
        fork, child = Step(Op.FORK, 0, to=1), Step(Op.LOOK, 1)
        assert valid((fork, child))
        assert not valid((child, fork))
        assert not valid((fork, Step(Op.EXIT, 0, to=1), child))


class TestWire:
    def test_the_guest_reads_the_programs_that_were_sent(self) -> None:
        programs = draw(3, 8)
        assert from_wire(encode(programs, mglru=True)) == programs
        assert encode(programs, mglru=True).startswith("go 1 ")

    def test_the_host_reads_what_was_answered(self) -> None:
        programs = draw(3, 8)
        outcomes = run_toy("", programs)
        wire = b"".join(to_wire(p, o) for p, o in zip(programs, outcomes, strict=True))
        assert decode(programs, wire.hex()) == outcomes

    def test_negative_results_are_kept(self) -> None:
        program = (Step(Op.MARK, 0, 0, 1),)
        wire = to_wire(program, Outcome(End.OK, (Record(-errno.ENOMEM),)))
        assert decode([program], wire.hex())[0].records[0].result == -errno.ENOMEM

    @pytest.mark.parametrize("reply", ["", "zz", "00", "000000", "00040000000000"])
    def test_what_is_no_answer_is_told(self, reply: str) -> None:
        with pytest.raises(ReplyError):
            decode([(Step(Op.MUNMAP, 0, 0, 1),)], reply)

    def test_a_program_that_died_has_the_records_until_then(self) -> None:
        program = (Step(Op.MUNMAP, 0, 0, 1), Step(Op.MUNMAP, 0, 1, 1))
        (outcome,) = decode([program], "0102000000")
        assert outcome == Outcome(End.CRASHED, (OK,))
        found = judge(program, outcome)[1]
        assert found is not None and found.how is None and len(found.program) == 2


class TestContract:
    def test_what_is_written_is_read(self) -> None:
        read = Step(Op.READ, 0, 2, 1)
        assert follow(mapped(read), Record(0, ((Access.TAG, tag(1, 2)),))) is None
        wrong = follow(mapped(read), Record(0, ((Access.TAG, tag(1, 3)),)))
        assert wrong is not None and wrong.kind is Kind.CONTENTS
        assert follow(mapped(read), Record(0, ((Access.ZERO, 0),))) is not None
        assert follow(mapped(read), Record(0, ((Access.BUS, 0),))) is not None

    def test_a_volatile_page_alone_is_purged_by_pageout(self) -> None:
        program = mapped(Step(Op.MARK, 0, 0, 2), Step(Op.PAGEOUT, 0, 0, 1), Step(Op.READ, 0, 0, 2))
        kept = (Access.TAG, tag(1, 1))
        assert follow(program, OK, OK, Record(0, ((Access.BUS, 0), kept))) is None
        assert follow(program, OK, OK, Record(0, ((Access.TAG, tag(1, 0)), kept))) is not None
        # What PAGEOUT was not called for stays.
        assert follow(program, OK, OK, Record(0, ((Access.BUS, 0), (Access.BUS, 0)))) is not None

    def test_reclaim_may_purge_and_what_was_seen_counts(self) -> None:
        steps = (Step(Op.MARK, 0, 0, 1), Step(Op.RECLAIM, 0, count=4), Step(Op.READ, 0, 0, 1))
        program = mapped(*steps, Step(Op.READ, 0, 0, 1))
        here, gone = Record(0, ((Access.TAG, tag(1, 0)),)), Record(0, ((Access.BUS, 0),))
        assert follow(program, OK, OK, here, here) is None
        assert follow(program, OK, OK, gone, gone) is None
        assert follow(program, OK, OK, here, gone) is not None
        assert follow(program, OK, OK, gone, here) is not None

    def test_nonvolatile_answers_for_what_pagemap_shows(self) -> None:
        unmark = Step(Op.UNMARK, 0, 0, 2, look=LOOK_VMAS)
        program = mapped(Step(Op.MARK, 0, 0, 2), Step(Op.RECLAIM, 0, count=4), unmark)
        toy = ToyKernel().run(mapped())
        assert toy.end is End.OK
        seen = ToyKernel().run(mapped(Step(Op.LOOK, 0, look=LOOK_VMAS))).records[2].seen

        def where(*pages: Where) -> tuple[Where, ...]:
            here = Where.PRESENT | Where.IN_CORE
            return (*pages, here, here, *[Where(0)] * (PAGES - 4))

        both = where(Where.PRESENT | Where.IN_CORE, Where.SWAP)
        one = where(Where.PRESENT | Where.IN_CORE, Where(0))
        assert follow(program, OK, OK, Record(0, (), seen, both)) is None
        assert follow(program, OK, OK, Record(1, (), seen, one)) is None
        assert follow(program, OK, OK, Record(1, (), seen, both)) is not None
        assert follow(program, OK, OK, Record(0, (), seen, one)) is not None

    def test_a_page_is_purged_for_all_who_share_it_or_for_none(self) -> None:
        program = mapped(
            Step(Op.MARK, 0, 0, 1),
            Step(Op.FORK, 0, to=1),
            Step(Op.RECLAIM, 0, count=4),
            Step(Op.READ, 0, 0, 1),
            Step(Op.READ, 1, 0, 1),
        )
        here, gone = Record(0, ((Access.TAG, tag(1, 0)),)), Record(0, ((Access.BUS, 0),))
        assert follow(program, OK, OK, OK, gone, gone) is None
        assert follow(program, OK, OK, OK, gone, here) is not None

    def test_one_who_unmarked_keeps_it_for_all(self) -> None:
        program = mapped(
            Step(Op.FORK, 0, to=1),
            Step(Op.MARK, 1, 0, 1),
            Step(Op.RECLAIM, 0, count=4),
            Step(Op.READ, 1, 0, 1),
        )
        assert follow(program, OK, OK, OK, Record(0, ((Access.BUS, 0),))) is not None

    def test_half_of_mprotect_is_done_before_a_hole(self) -> None:
        program = mapped(
            Step(Op.MUNMAP, 0, 1, 1),
            Step(Op.MPROTECT, 0, 0, 4, more=Rights.READ),
            Step(Op.WRITE, 0, 0, 3),
        )
        done = ((Access.FORBIDDEN, 0), (Access.UNMAPPED, 0), (Access.TAG, tag(4, 2)))
        assert follow(program, OK, Record(-errno.ENOMEM), Record(0, done)) is None
        assert follow(program, OK, OK, Record(0, done)) is not None

    def test_a_border_that_no_call_made_is_none(self) -> None:
        look = Step(Op.LOOK, 0, look=LOOK_VMAS)
        right = ToyKernel().run(mapped(look)).records[2]
        assert follow(mapped(look), right) is None
        broken = (*right.seen[:5], right.seen[5] | 16, *right.seen[6:])
        found = follow(mapped(look), Record(0, (), broken, right.where))
        assert found is not None and found.kind is Kind.BORDER and found.page == 5

    def test_merging_is_wanted_where_the_pieces_share_an_anon_vma_or_lack_one(self) -> None:
        steps = (
            Step(Op.MARK, 0, 4, 4, look=LOOK_VMAS),
            Step(Op.UNMARK, 0, 4, 4, look=LOOK_VMAS),
        )
        program = mapped(*steps)
        left = ToyKernel("never-merges").run(program)
        found = check(program, left.records)[2]
        assert found is not None and found.kind is Kind.BORDER
        # Not of a process that forked.
        program = (*mapped(Step(Op.FORK, 0, to=1)), *steps)
        assert check(program, ToyKernel("never-merges").run(program).records)[2] is None

    def test_no_merging_is_wanted_with_what_a_moved_piece_may_have_joined(self) -> None:
        """The moved page joined page 6, which had no anon_vma, and page 7 has another one.

        Unless it was never written: then no anon_vma stands in the way of 6 and 7.
        """

        def border_below_7(*written: Step) -> bool:
            program = (
                Step(Op.MMAP, 0, 6, 8, more=Rights.WRITE, look=LOOK_VMAS),
                Step(Op.MARK, 0, 6, 1, look=LOOK_VMAS),
                Step(Op.MOVE, 0, 12, 2, 4, 2, look=LOOK_VMAS),
                *written,
                Step(Op.MARK, 0, 5, 3, look=LOOK_VMAS),
            )
            found = check(program, ToyKernel("never-merges").run(program).records)[2]
            assert found is None or (found.kind is Kind.BORDER and found.page == 7)
            return found is not None

        page_7, page_4 = Step(Op.WRITE, 0, 7, 1), Step(Op.WRITE, 0, 4, 1)
        assert not border_below_7(page_7, page_4)
        assert border_below_7(page_7)

    def test_a_move_over_a_hole_fails_or_moves_what_is_there(self) -> None:
        """Up to 6.16, and since: the second page is not mapped, what is in its place stays."""
        program = mapped(
            Step(Op.MUNMAP, 0, 3, 2),
            Step(Op.MOVE, 0, 2, 2, 10, 2),
            Step(Op.READ, 0, 10, 2),
        )
        moved = (Access.TAG, tag(1, 2)), (Access.ZERO, 0)
        assert follow(program, OK, OK, Record(0, moved)) is None
        fault = (Access.UNMAPPED, 0)
        assert follow(program, OK, Record(-errno.EFAULT), Record(0, (fault, fault))) is None
        found = follow(program, OK, Record(-errno.EFAULT), Record(0, moved))
        assert found is not None
        found = follow(program, OK, OK, Record(0, (fault, fault)))
        assert found is not None

    def test_what_dontunmap_leaves_of_a_whole_vma_has_no_anon_vma(self) -> None:
        """Page 2 can join only one of two anon_vmas, and page 1 has one or has none."""

        def border_below_3(first: int) -> bool:
            program = (
                Step(Op.MMAP, 0, 0, 4, more=Rights.WRITE, look=LOOK_VMAS),
                Step(Op.MARK, 0, 2, 1, look=LOOK_VMAS),
                Step(Op.WRITE, 0, 0, 2, look=LOOK_VMAS),
                Step(Op.WRITE, 0, 3, 1, look=LOOK_VMAS),
                Step(Op.MOVE, 0, first, 2 - first, 8, 2 - first | KEEP),
                Step(Op.MUNMAP, 0, 0, 1, look=LOOK_VMAS),
                Step(Op.UNMARK, 0, 2, 1, look=LOOK_VMAS),
            )
            found = check(program, ToyKernel("never-merges").run(program).records)[2]
            assert found is None or (found.kind is Kind.BORDER and found.page == 3)
            return found is not None

        assert border_below_3(0)
        assert not border_below_3(1)


class TestMistakes:
    def test_a_right_kernel_passes(self) -> None:
        counts = Counts()
        for program in drawn():
            world, found = judge(program, ToyKernel().run(program))
            assert found is None, f"{found and found.error}\n{program}"
            counts.add(world.counts)
        assert below_floors(counts) == []

    @pytest.mark.parametrize("mistake", MISTAKES)
    def test_each_mistake_is_found(self, mistake: str) -> None:
        programs = drawn()
        found = [judge(p, o)[1] for p, o in zip(programs, run_toy(mistake, programs), strict=True)]
        assert any(found)

    def test_what_is_found_is_told_in_a_few_steps(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # It is made as small as can be, however long that takes.
        monkeypatch.setattr(search, "time", SimpleNamespace(monotonic=lambda: 0.0))
        answers = partial(ask, "purged-not-told")
        dialogue = Dialogue(answers, {"VTEST_SEED": "5"}, tmp_path, "make test-kernel", pace=5.0)
        judgement = drive(dialogue)
        assert judgement.status == "fail"
        assert judgement.notes[-1] == "make test-kernel TESTS=random_programs SEED=5"
        source = tmp_path / "divergence-5.c"
        steps = int(judgement.reason.split()[3])
        assert steps <= 6, source.read_text()[-1500:]
        _compile(source)

    def test_a_guest_that_dies_while_shrinking_ends_the_case(self) -> None:
        asked = 0

        def dying(request: str) -> str:
            nonlocal asked
            asked += 1
            if asked > 3:
                raise EndedError
            return ask("purged-not-told", request)

        with pytest.raises(EndedError):
            drive(Dialogue(dying, {"VTEST_SEED": "5"}, Path("/nowhere"), "make"))


class TestDrive:
    def test_a_pass_tells_its_seed_and_what_it_counted(self, tmp_path: Path) -> None:
        env = {"MODEL_BATCHES": "2", "VTEST_SEED": "1"}
        judgement = drive(Dialogue(partial(ask, ""), env, tmp_path, "make"))
        assert judgement.status == "pass"
        assert judgement.notes[0] == "seed 1"
        counts = dict(note.split()[1:] for note in judgement.notes if note.startswith("@count"))
        assert int(counts["programs"]) > 50
        assert set(FLOORS) < set(counts)

    def test_too_little_is_a_failure(self) -> None:
        counts = Counts(programs=100, steps=3000, purges=3)
        assert any(line.startswith("3 purges") for line in below_floors(counts))


EVERY_CALL = mapped(
    Step(Op.MARK, 0, 0, 2),
    Step(Op.MARK, 0, 2, 1, more=1),
    Step(Op.MARK, 0, 2, 1, more=2),
    Step(Op.FORK, 0, to=1),
    Step(Op.RECLAIM, 0, count=8),
    Step(Op.READ, 1, 0, 3),
    Step(Op.MPROTECT, 0, 0, 3, more=Rights.READ),
    Step(Op.MOVE, 0, 0, 2, 8, 2 | 0x80),
    Step(Op.RESIZE, 0, 8, 2, more=1),
    Step(Op.DONTNEED, 0, 0, 1),
    Step(Op.MUNMAP, 0, 0, 1),
    Step(Op.EXIT, 0, to=1),
    Step(Op.PAGEOUT, 0, 0, 2),
    Step(Op.LOOK, 0),
)


def _compile(source: Path) -> Path:
    target = source.with_suffix("")
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_of_divergence_is_a_c_program_that_compiles(kind: Kind, tmp_path: Path) -> None:
    last = {Kind.READ: Op.READ, Kind.CONTENTS: Op.READ, Kind.WRITE: Op.WRITE}.get(kind, Op.UNMARK)
    program = (*EVERY_CALL, Step(last, 0, 3, 1))
    wanted: object = {Kind.RESULT: 1, Kind.CONTENTS: 20}.get(kind, "TAG or BUS")
    page = -1 if kind is Kind.RESULT else 3
    how = DivergedError(kind, page, wanted, "nothing of the kind")
    source = tmp_path / "divergence.c"
    source.write_text(c_program(Divergence(program, str(how), how), "make again", True))
    _compile(source)


def test_the_c_program_tells_a_divergence_from_none(tmp_path: Path) -> None:
    """On this machine's kernel: a page that was written is read, and is not zero."""
    results = []
    for wanted in ("TAG", "ZERO"):
        how = DivergedError(Kind.READ, 0, wanted, "?")
        program = mapped(Step(Op.FORK, 0, to=1), Step(Op.READ, 1, 0, 1), Step(Op.READ, 0, 0, 1))
        source = tmp_path / "divergence.c"
        source.write_text(c_program(Divergence(program, str(how), how), "make again", False))
        done = subprocess.run([_compile(source)], capture_output=True, text=True, check=False)
        results.append(done.returncode)
        assert "process 1: reading page 0: TAG 17" in done.stdout
    assert results == [0, 1]


def test_counts_are_added() -> None:
    counts = Counts(programs=1, steps=2)
    counts.add(Counts(programs=3, sigbus=4))
    assert (counts.programs, counts.steps, counts.sigbus) == (4, 2, 4)
    assert World().counts.programs == 1
