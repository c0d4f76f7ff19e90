# SPDX-License-Identifier: GPL-2.0-only
"""The benchmark's one-line change is one statement more, in a patch that still applies."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import InternalError
from harness.oneline import change_one_line, change_series
from harness.settings import PROJECT

PATCH = """Subject: x

---
diff --git a/doc b/doc
--- a/doc
+++ b/doc
@@ -1 +1,3 @@
 hello
+\ta = 1;
+\tb = 2;
diff --git a/f.c b/f.c
--- a/f.c
+++ b/f.c
@@ -1,3 +1,6 @@ int f(void)
 int f(void) {
+\tint a = 0;
+\ta++;
+\ta++;
 \treturn 0;
 }
"""


def test_the_statement_goes_between_statements_of_a_c_file() -> None:
    changed = change_one_line(PATCH, "mark 1")
    assert changed is not None
    added = [x for x in changed.split("\n") if x not in PATCH.split("\n")]
    assert added == ["@@ -1,3 +1,7 @@ int f(void)", "+\tbarrier(); /* mark 1 */"]
    lines = changed.split("\n")
    at = lines.index("+\tbarrier(); /* mark 1 */")
    assert lines[at - 1] == "+\tint a = 0;" and lines[at + 1] == "+\ta++;"


def test_git_applies_the_changed_patch(tmp_path: Path) -> None:
    (tmp_path / "doc").write_text("hello\n")
    (tmp_path / "f.c").write_text("int f(void) {\n\treturn 0;\n}\n")
    changed = change_one_line(PATCH, "m")
    assert changed is not None
    subprocess.run(["git", "apply", "-"], input=changed, text=True, cwd=tmp_path, check=True)
    assert "barrier(); /* m */" in (tmp_path / "f.c").read_text()


def test_a_declaration_gets_no_statement_before_it() -> None:
    patch = PATCH.replace("+\ta++;\n+\ta++;\n", "+\tstruct x *y = z;\n")
    assert change_one_line(patch.replace("+1,6", "+1,5"), "m") is None


def test_a_series_without_c_code_is_said_to_have_none() -> None:
    with pytest.raises(InternalError, match="two statements"):
        change_series(["Subject: x\n"], "m")


@pytest.mark.parametrize("line", sorted(p.name for p in (PROJECT / "patches/volatile").glob("6.*")))
def test_every_series_of_ours_has_a_place(line: str) -> None:
    folder = PROJECT / "patches" / "volatile" / line
    texts = [p.read_text() for p in sorted(folder.glob("*.patch"))]
    changed = change_series(texts, "m")
    differing = [i for i, (a, b) in enumerate(zip(texts, changed, strict=True)) if a != b]
    assert len(differing) == 1
