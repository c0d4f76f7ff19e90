# SPDX-License-Identifier: GPL-2.0-only
"""FIX=: a patch that came as an answer, whatever form the mail has, on top of the series."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.core.settings import from_environment
from harness.run.answer import with_answer
from harness.series.base import Base
from harness.series.patches import Series

HEAD = (
    "From: A Reader <reader@example.org>\nDate: Mon, 1 Jan 2024 10:00:00 +0000\n"
    "Message-ID: <answer@example.org>\nSubject: {}\n\n"
)
DIFF = "diff --git a/mm/a.c b/mm/a.c\n--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1 +1 @@\n-a\n+b\n"
PATCH = f"{HEAD.format('[PATCH] mm: mend it')}It was wrong.\n---\n{DIFF}"
REPLY = f"{HEAD.format('Re: [PATCH v2 4/4] mm: purge')}B wrote:\n> wrong\n\nThis works:\n\n{DIFF}"
TALK = f"{HEAD.format('Re: [PATCH v2 4/4] mm: purge')}Looks good to me.\n"


def answered(mail: str, folder: Path) -> Series:
    path = folder / "answer.eml"
    path.write_text(mail)
    base = Base("6.1", "6.1.192", folder, "c0ffee", "7ree", "key", "here")
    return with_answer(Series("series", ()), from_environment({"FIX": str(path)}), base)


@pytest.mark.parametrize(("mail", "subject"), [(PATCH, "mm: mend it"), (REPLY, "mm: purge")])
def test_a_patch_and_a_reply_with_a_diff_are_taken(mail: str, subject: str, tmp_path: Path) -> None:
    series = answered(mail, tmp_path)
    assert [(p.subject, p.files) for p in series.patches] == [(subject, ("mm/a.c",))]
    assert series.source == f"series and {tmp_path / 'answer.eml'}"


def test_an_answer_without_a_patch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match="holds no diff that is a patch"):
        answered(TALK, tmp_path)


def test_no_such_mail_is_said_with_the_variable(tmp_path: Path) -> None:
    base = Base("6.1", "6.1.192", tmp_path, "c0ffee", "7ree", "key", "here")
    with pytest.raises(InvocationError, match=r"FIX=.*no such file"):
        with_answer(Series("s", ()), from_environment({"FIX": "nowhere.eml"}), base)
