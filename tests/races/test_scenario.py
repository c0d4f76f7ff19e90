# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios as they are written: read, settled for a kernel line, refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.core.errors import InvocationError
from harness.core.settings import PROJECT
from harness.races.scenario import (
    RACES,
    Argument,
    Exclusion,
    Place,
    Scenario,
    choose,
    header,
    parse,
    parse_place,
)
from harness.series.contract import find_patch
from harness.series.contract import load as load_contract

BODY = """\
name: toy
about: >-
  Two threads
  meet.
project: volatile
clauses: [V-SB-3]
kernels: ["6.1", "6.12"]
cpus: 4
variant: broken
threads:
  A: {cpu: 1, does: this}
  B: {cpu: 2, does: that}
points:
  - A: do_it()
    says: is there
    within: caller
    args: {3: page, 2: "& 0x10"}
    nth: 2
  - B: "do_it:   x =   1;"
  - A: {"6.1": "old()", "6.12": "fresh() returns"}
  - B: program mark()
    only: "6.12"
  - B: ends
outcome:
  hit: bad
  miss: good
  excluded: {B: take, lock: the lock, from A: hold}
"""


def written(body: str) -> str:
    """A file that begins with this comment."""
    lines = "".join(f" * {line}".rstrip() + "\n" for line in body.splitlines())
    return f"// SPDX-License-Identifier: GPL-2.0-only\n/*\n{lines} */\nint x;\n"


def read(body: str, line: str = "6.1") -> Scenario:
    found = parse(written(body), Path("toy.c"), line)
    assert found is not None
    return found


def test_all_that_may_be_said() -> None:
    toy = read(BODY)
    assert (toy.name, toy.about, toy.project) == ("toy", "Two threads meet.", "volatile")
    assert (toy.cpus, toy.variant, toy.config, toy.controlled) == (4, "broken", "default", True)
    assert [(t.name, t.cpu, t.does) for t in toy.threads] == [("A", 1, "this"), ("B", 2, "that")]
    first = toy.points[0]
    assert first.place == Place("entry", "do_it")
    assert (first.says, first.within, first.nth) == ("is there", ("caller",), 2)
    assert first.arguments == (Argument(3, "page"), Argument(2, mask=0x10))
    assert toy.points[1].place == Place("line", "do_it", "x = 1;")
    assert toy.exclusion == Exclusion("B", "take", "the lock", "A", "hold")


def test_each_kernel_line_has_its_own_places() -> None:
    old, new = read(BODY), read(BODY, "6.12")
    assert old.points[2].place == Place("entry", "old")
    assert new.points[2].place == Place("return", "fresh")
    assert [p.place.kind for p in old.points] == ["entry", "line", "entry", "end"]
    assert [p.place.kind for p in new.points] == ["entry", "line", "return", "program", "end"]


def test_a_scenario_for_other_kernels_is_none() -> None:
    assert parse(written(BODY), Path("toy.c"), "5.10") is None


def test_places_read_as_they_were_written() -> None:
    for text in ("f()", "f() returns", "f: x = 1;", "program f()", "ends"):
        assert str(parse_place(text)) == text


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("name: toy", "name: other", "it is named other, and its file toy.c"),
        ("about:", "abuot:", "there is no key 'abuot'"),
        ("variant: broken\n", "", "'variant' is missing"),
        ("cpus: 4", "cpus: 5", "cpus: 5 is no number from 2 to 4"),
        ("cpus: 4", "cpus: 2", "the cpu of thread B: 2 is no number from 1 to 1"),
        ("cpu: 1", "cpu: 0", "the cpu of thread A: 0 is no number"),
        ("cpu: 2", "cpu: 1", "two threads share a CPU"),
        ("do_it()", "do_it", "'do_it' is no place"),
        ("  - A: do_it()", "  - C: do_it()", "names no thread"),
        ("args: {3: page", "args: {7: page", "the number of an argument: 7"),
        ("args: {3: page", "args: {3: 'a+b'", "is no variable and no"),
        ('"6.12": "fresh() returns"}', '"5.10": "x()"}', None),
        ("  hit: bad\n", "", "does not say what a hit is"),
        ("from A: hold", "from C: hold", "'excluded' is a mapping"),
        ("from A: hold", "from B: hold", "a thread does not wait for itself"),
        ("lock: the lock, ", "", "'excluded' is a mapping"),
        ("cpus: 4", "cpus: 4\ncontrolled: false", "without control there are no points"),
        ("  hit: bad", "  hit: bad\n  splat: x", "for a scenario without control"),
        ("project: volatile\n", "", "names clauses, and no project"),
        ("- B: ends", "- B: ends\n  - B: do_it()", "has a point after its end"),
        ("about: >-", "about: [", "the comment is not YAML"),
        ("cpus: 4", "cpus: 2027-02-30", "the comment is not YAML"),
        ("threads:", "threads: 3\nx:", "there is no key 'x'"),
    ],
)
def test_what_makes_no_sense_is_refused(old: str, new: str, why: str | None) -> None:
    assert old in BODY
    text = written(BODY.replace(old, new, 1))
    if why is None:  # only the line that is asked for has to be there
        assert parse(text, Path("toy.c"), "6.1") is not None
        with pytest.raises(InvocationError, match=r"nothing is said for Linux 6\.12"):
            parse(text, Path("toy.c"), "6.12")
        return
    with pytest.raises(InvocationError) as caught:
        parse(text, Path("toy.c"), "6.1")
    assert why in caught.value.what and caught.value.what.startswith("toy.c: ")
    assert caught.value.exit_code == 2


def test_a_name_may_look_like_a_number() -> None:
    text = written(BODY.replace("name: toy", "name: 2024", 1))
    found = parse(text, Path("2024.c"), "6.1")
    assert found is not None and found.name == "2024"


def test_an_argument_belongs_to_an_entry() -> None:
    body = BODY.replace("  - A: do_it()", "  - A: do_it() returns")
    with pytest.raises(InvocationError, match="arguments are known on entry"):
        read(body)


def test_without_a_comment_there_is_no_scenario() -> None:
    with pytest.raises(InvocationError, match="does not begin with a comment"):
        header("int x;\n")


def test_a_control_that_is_missing_is_noticed() -> None:
    head = BODY[: BODY.index("points:")]
    with pytest.raises(InvocationError, match="a controlled scenario has points"):
        read(head + "outcome: {hit: a, miss: b}\n")
    assert not read(head + "controlled: false\noutcome: {hit: a, miss: b}\n").controlled


class TestChoice:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, project in (("one", "volatile"), ("two", "other"), ("three", "")):
            body = BODY.replace("name: toy", f"name: {name}")
            body = body.replace("project: volatile", f"project: {project}")
            if not project:
                body = body.replace("clauses: [V-SB-3]\n", "")
            (tmp_path / f"{name}.c").write_text(written(body))
        return tmp_path

    def test_all_are_those_of_the_series_and_of_none(self, folder: Path) -> None:
        assert [s.name for s in choose("all", "6.1", "volatile", folder)] == ["one", "three"]

    def test_by_name_and_by_file(self, folder: Path) -> None:
        assert [s.name for s in choose("two, one", "6.1", "volatile", folder)] == ["two", "one"]
        named = choose(str(folder / "three.c"), "6.1", "volatile", Path("/nowhere"))
        assert [s.name for s in named] == ["three"]

    def test_an_unknown_name_lists_what_there_is(self, folder: Path) -> None:
        with pytest.raises(InvocationError) as caught:
            choose("four", "6.1", "volatile", folder)
        assert caught.value.next_step == "there is: one, three, two"

    def test_one_that_is_not_for_this_kernel_is_no_empty_pass(self, folder: Path) -> None:
        with pytest.raises(InvocationError, match=r"not for Linux 5\.10"):
            choose("one", "5.10", "volatile", folder)

    def test_nothing_is_not_a_choice(self, folder: Path) -> None:
        with pytest.raises(InvocationError, match="names no scenario"):
            choose(" , ", "6.1", "volatile", folder)


@pytest.mark.parametrize("line", ["6.1", "6.12"])
class TestOurs:
    def test_every_file_can_be_read_and_names_clauses_of_the_contract(self, line: str) -> None:
        contract = load_contract(PROJECT / "patches" / "volatile").clauses
        found = choose("all", line, "volatile")
        assert {s.name for s in found} >= {"sigbus-fault", "purge-after-intact"}
        for scenario in found:
            assert set(scenario.clauses) <= set(contract), scenario.name

    def test_every_variant_has_its_patch(self, line: str) -> None:
        for scenario in choose("all", line, "volatile"):
            places = (PROJECT / "patches" / "volatile", PROJECT / "patches")
            assert any(find_patch(p, line, scenario.variant) for p in places), scenario.name


def test_every_file_is_for_some_kernel_that_we_have() -> None:
    lines = yaml.safe_load((PROJECT / "harness" / "series" / "kernels.yaml").read_text())
    scenarios = list(RACES.glob("*.c"))
    assert scenarios
    for path in scenarios:
        assert any(parse(path.read_text(), path, line) for line in lines), path.name
