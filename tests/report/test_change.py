# SPDX-License-Identifier: GPL-2.0-only
"""The diffs with what ran of them: kept, and on the page."""

from __future__ import annotations

from harness.core import events as ev
from harness.report.change import PatchDiff
from harness.report.files import html
from harness.report.results import Results, document

PATCHES: list[PatchDiff] = [
    {
        "subject": "mm: <one>",
        "lines_run": 1,
        "lines": 2,
        "rows": [
            {"text": "@@ -1 +1,2 @@", "state": "", "case": ""},
            {"text": "+\ta < b;", "state": "run", "case": "a.c::one"},
            {"text": "+\tc;", "state": "not_run", "case": ""},
            {"text": "+\td;", "state": "run", "case": ""},
        ],
    }
]


def test_the_page_shows_each_line_and_the_case_that_ran_it() -> None:
    results = Results()
    results(ev.ChangeCoverage(1, 1, 1, 2, (), ("m.c:2: c;",)))
    page = html(document(results, None), None, PATCHES)
    assert '<span class="run" title="a.c::one">+\ta &lt; b;</span>' in page
    assert '<span class="not_run">+\tc;</span>' in page
    assert '<span class="run" title="outside of cases, as at boot">+\td;</span>' in page
    assert "mm: &lt;one&gt;" in page and "m.c:2: c;" in page
    assert "what ran of it" not in html(document(Results(), None), None)
