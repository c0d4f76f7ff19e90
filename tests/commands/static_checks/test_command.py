# SPDX-License-Identifier: GPL-2.0-only
"""checkpatch, sparse and kernel-doc on a toy series: each patch answers for its own remarks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.build.flavours import FOLDER, Flavour
from harness.commands.static_checks import PatchRemarks, records, static_remarks, table
from harness.series.patches import load_series
from tests.support.toy import WISH, Toy, grow

SPARSE = """\
#!/bin/sh
# Minds every line with "unlock".
test "$1" != --version || exec echo 0.6.4
grep -n unlock "$1" | sed "s|^\\([0-9]*\\):.*|$1:\\1:1: warning: context imbalance|"
"""


@pytest.fixture
def sparse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse on the PATH, whether this machine has one or not."""
    program = tmp_path / "bin" / "sparse"
    program.parent.mkdir()
    program.write_text(SPARSE)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(autouse=True)
def _toy_flavour(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    flavour = toy.flavour(WISH)

    def load(name: str, folder: Path = FOLDER) -> Flavour:
        return flavour

    monkeypatch.setattr("harness.commands.static_checks.load_flavour", load)


def remarks(toy: Toy, series: Path) -> list[PatchRemarks]:
    base = toy.base()
    read = load_series(toy.settings(series=str(series)), base)
    return static_remarks(toy.under_test(*toy.apply(None)), read, toy.root / "data")


def told(patch: PatchRemarks) -> dict[str, list[str]]:
    return {tool: [str(r) for r in said] for tool, said in patch.tools.items()}


@pytest.mark.usefixtures("sparse")
def test_each_patch_answers_for_what_it_brings(toy: Toy) -> None:
    found = remarks(
        toy,
        toy.series(
            ("one", {"mm/swap.c": lambda t: grow(t) + "/* unlock */\n"}),
            ("two", {"mm/madvise.c": lambda t: "/* XXX */\n" + t,
                     "mm/swap.c": lambda t: "/* a line above */\n" + t}),
            ("three", {"include/linux/mm.h": lambda t: t + "/* @nobody: */\n"}),
        ),
    )  # fmt: skip
    one, two, three = found
    assert [p.number for p in found] == [1, 2, 3]
    assert told(one)["sparse"][0].startswith("mm/swap.c:")
    assert one.open("sparse")
    assert told(two) == {
        "checkpatch": ["mm/madvise.c:1: CHECK:XXX: Prefer not to"],
        "kernel-doc": [],
        "sparse": [],  # it moved what the first one brought
    }
    assert told(three)["kernel-doc"][0].startswith("include/linux/mm.h:")
    assert [p.unchecked for p in found] == [(), (), ()]


@pytest.mark.usefixtures("sparse")
def test_a_file_that_sparse_was_not_given_is_named(toy: Toy) -> None:
    series = toy.series(("one", {"drivers/driver.c": grow, "mm/swap.c": grow}))
    assert remarks(toy, series)[0].unchecked == ("drivers/driver.c",)


@pytest.mark.usefixtures("sparse")
def test_it_ends_before_a_patch_that_does_not_apply(toy: Toy) -> None:
    series = toy.series(
        ("one", {"mm/madvise.c": grow}),
        ("gap", {"mm/swap.c": grow}),
        ("two", {"mm/swap.c": lambda t: t.replace("return 7", "return 8")}),
    )
    sorted(series.glob("*.patch"))[1].unlink()
    found = remarks(toy, series)
    read = load_series(toy.settings(series=str(series)), toy.base())
    assert [p.number for p in found] == [1]
    assert {r.status for r in records(found, read, own=False)} == {"fail"}


@pytest.mark.usefixtures("sparse")
def test_a_reason_keeps_the_record_green_and_a_stale_one_does_not(toy: Toy) -> None:
    series = toy.series(("one", {"mm/swap.c": lambda t: t + "/* XXX */\n"}))
    read = load_series(toy.settings(series=str(series)), toy.base())
    data = toy.root / "data"
    data.mkdir()
    row = "- {tool: checkpatch, patch: 1, pattern: '%s', why: a good reason}\n"
    (data / "justified.yaml").write_text(row % "CHECK:XXX")
    found = remarks(toy, series)
    record = records(found, read, own=True)[0]
    assert table(found).row_count == 1
    assert (record.status, record.clauses) == ("pass", ())
    assert any("kept: a good reason" in line for line in record.diagnostics)
    (data / "justified.yaml").write_text(row % "CHECK:XXX" + row % "CHECK:YYY")
    assert records(remarks(toy, series), read, own=True)[0].status == "fail"
    assert records(remarks(toy, series), read, own=False)[0].status == "pass"
