# SPDX-License-Identifier: GPL-2.0-only
"""The foreign series of docs/workloads.md: each is read, and what would run it is chosen.

They were written for these tests, against Linux 6.1; 6.12/ and 7.3/ have those that do not apply
to that line as they are. What came of them on a real kernel stands in the tables of that page.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.change.touched import Touched, kind_of
from harness.change.whose_series import is_foreign, take
from harness.core.settings import PROJECT, from_environment
from harness.series.choose_mails import choose
from harness.series.mailbox import mails_of
from harness.series.patches import Series, parse_patch
from harness.workloads.choose import by_pattern, load_workloads, selftest_folders

DATA = Path(__file__).with_name("data")
TWO = ("mincore-warns", "uptime-digits", "cmdline-range-wrong")  # patches
FILES = sorted(DATA.rglob("*.mbox"))
# The name of each: the folders of selftests, and the stressors.
CHOSEN: dict[str, tuple[set[str], set[str]]] = {
    "mincore-empty-range": ({"mincore"}, {"mincore"}),
    "mincore-warns": ({"mincore"}, {"mincore"}),
    "mincore-no-memory": ({"mincore"}, {"mincore"}),
    "mincore-no-reset": ({"mincore"}, {"mincore"}),
    "mincore-comment": (set(), set()),
    "uptime-split": ({"proc"}, {"procfs"}),
    "uptime-digits": ({"proc"}, {"procfs"}),
    "msg-limits": ({"ipc"}, {"msg"}),
    "msg-limits-wrong": ({"ipc"}, {"msg"}),
    "mqueue-open": ({"mqueue"}, {"mq"}),
    "unix-join": ({"net/af_unix"}, {"sockpair"}),
    "unix-join-no-hold": ({"net/af_unix"}, {"sockpair"}),
    "cmdline-range": (set(), set()),
    "cmdline-range-wrong": (set(), set()),
    "ioprio-levels": (set(), {"ioprio"}),
    "ioprio-levels-wrong": (set(), {"ioprio"}),
    "dummy-irq-rate": (set(), set()),
    "acpi-ac-gone": (set(), set()),
    "reboot-magic": (set(), set()),
    "arm64-prot": (set(), set()),
    "docs-only": (set(), set()),
    "log-buf-larger": (set(), set()),
    "proc-version-test": ({"proc"}, set()),
}


def read(path: Path) -> Series:
    mails = choose(mails_of(path), path.name).patches
    return Series(path.name, tuple(parse_patch(mail.text, path.name) for mail in mails))


def test_each_sample_has_its_row_here_and_in_the_page() -> None:
    names = {path.stem for path in DATA.glob("*.mbox")}
    assert names == {path.stem for path in FILES}
    assert names == CHOSEN.keys()
    page = (PROJECT / "docs" / "workloads.md").read_text("utf-8")
    assert not [name for name in names if f"`{name}`" not in page]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DATA)))
def test_it_is_foreign_and_its_workloads_are_chosen(path: Path) -> None:
    series, name = read(path), path.stem
    assert len(series.patches) == (2 if name in TWO else 1)
    settings = from_environment({"SERIES": str(path)})
    assert is_foreign(take(settings, series).data)
    touched = sorted({file for patch in series.patches for file in patch.files})
    files = [
        Touched(file, "comments" if name.endswith("-comment") else kind_of(file))
        for file in touched
    ]
    table = load_workloads()
    chosen = set(selftest_folders(files, table)), set(by_pattern(files, table.stressors))
    assert chosen == CHOSEN[name]
