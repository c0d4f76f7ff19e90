# SPDX-License-Identifier: GPL-2.0-only
"""Guest programs are compiled, listed and packed; nonsense in a listing is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.core.errors import InvocationError
from harness.core.store import Store
from harness.image import programs
from harness.image.programs import Program, build_suite, parse_listing, sources

PROGRAM = Program(Path("/x/volatile/p.c"), "volatile/p.c", ("/tests/volatile/p",))
KNOWN = frozenset({"V-IF-1", "V-IF-2"})


def line(**changes: object) -> str:
    record = {"name": "one", "clauses": ["V-IF-1"], "timeout": 5, "about": "it works"}
    return json.dumps({**record, **changes})


def test_a_listing_becomes_cases() -> None:
    text = line() + "\n" + line(name="two", needs=["oom"], host_checks=["swapimage"]) + "\n"
    one, two = parse_listing(PROGRAM, text, KNOWN)
    assert (str(one.id), one.timeout, one.about) == ("volatile/p.c::one", 5.0, "it works")
    assert (two.needs, two.host_checks) == (("oom",), ("swapimage",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "printed no case"),
        ("hello\n", "a line that is no case"),
        (line(clauses=[]), "names no clause"),
        (line(clauses=["V-IF-99"]), "which the contract does not have"),
        (line(name="A b"), "malformed or stands twice"),
        (line() + "\n" + line(), "malformed or stands twice"),
        (line(needs=["oom", "swapdisk"]), "'swapdisk', which nobody knows"),
        ('{"name": "x"}', "a line that is no case"),
        ("3", "a line that is no case"),
    ],
)
def test_a_malformed_listing_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvocationError, match=message):
        parse_listing(PROGRAM, text, KNOWN)


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A guest-tests folder with one C and one Python program, and headers for them."""
    root = tmp_path / "guest-tests"
    for folder in ("lib", "mine/lib"):
        (root / folder).mkdir(parents=True)
    (root / "lib" / "common.py").write_text("LIMIT = 3\n")
    (root / "mine" / "a.c").write_text(
        "#include <stdio.h>\n#include <linux/answer.h>\n"
        'int main(void) { printf("{\\"name\\": \\"one\\", \\"clauses\\": [\\"V-IF-1\\"], '
        '\\"timeout\\": %d}\\n", ANSWER); return 0; }\n'
    )
    (root / "mine" / "b.py").write_text(
        "import json, common\n"
        'print(json.dumps({"name": "two", "clauses": ["V-IF-2"], "timeout": common.LIMIT}))\n'
    )
    headers = tmp_path / "include" / "linux"
    headers.mkdir(parents=True)
    (headers / "answer.h").write_text("#define ANSWER 42\n")
    monkeypatch.setattr(programs, "GUEST_TESTS", root)
    return root / "mine"


def test_programs_are_compiled_against_the_given_headers(suite: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", 1 << 30)
    built = build_suite(store, [suite], tmp_path / "include", KNOWN)
    assert {str(c.id): c.timeout for c in built.cases} == {
        "mine/a.c::one": 42.0,
        "mine/b.py::two": 3.0,
    }
    assert [c.program.argv for c in built.cases] == [
        ("/tests/mine/a",),
        ("python3", "/tests/mine/b.py"),
    ]
    listed = subprocess.run(
        ["/usr/sbin/debugfs", "-R", "ls -p /mine", str(built.image)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "/a/" in listed and "/b.py/" in listed


def test_nothing_changed_means_nothing_is_compiled(suite: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", 1 << 30)
    headers = tmp_path / "include"
    first = build_suite(store, [suite], headers, KNOWN)
    assert not first.cached
    assert build_suite(store, [suite], headers, KNOWN).cached
    (headers / "linux" / "answer.h").write_text("#define ANSWER 43\n")
    assert not build_suite(store, [suite], headers, KNOWN).cached


def test_a_program_may_use_the_helpers_of_its_folder_and_of_those_below(
    suite: Path, tmp_path: Path
) -> None:
    """Not of those above; a folder without helpers is as good as one with."""
    store, headers = Store(tmp_path / "store", 1 << 30), tmp_path / "include"
    (suite / "lib" / "below.h").write_text("#include <linux/answer.h>\n#define BELOW ANSWER\n")
    upper = suite.with_name("upper")
    upper.mkdir()
    text = (suite / "a.c").read_text()
    (upper / "c.c").write_text('#include "below.h"\n' + text.replace("ANSWER)", "BELOW + 1)"))
    built = build_suite(store, [upper, suite], headers, KNOWN)
    assert [(str(case.id), case.timeout) for case in built.cases] == [
        ("upper/c.c::one", 43.0),
        ("mine/a.c::one", 42.0),
        ("mine/b.py::two", 3.0),
    ]
    (upper / "lib").mkdir()
    (upper / "lib" / "above.h").touch()
    (suite / "a.c").write_text('#include "above.h"\n' + text)
    with pytest.raises(InvocationError, match=r"above\.h: No such file"):
        build_suite(store, [upper, suite], headers, KNOWN)


def test_a_compiler_error_names_the_file(suite: Path, tmp_path: Path) -> None:
    (suite / "a.c").write_text("int main(void) { return nothing; }\n")
    with pytest.raises(InvocationError, match=r"a\.c does not compile") as caught:
        build_suite(Store(tmp_path / "store", 1 << 30), [suite], tmp_path / "include", KNOWN)
    assert "nothing" in caught.value.what and str(caught.value.next_step).startswith("gcc ")


def test_a_warning_is_an_error(suite: Path, tmp_path: Path) -> None:
    (suite / "a.c").write_text("int main(void) { int unused; return 0; }\n")
    with pytest.raises(InvocationError, match="unused"):
        build_suite(Store(tmp_path / "store", 1 << 30), [suite], tmp_path / "include", KNOWN)


def test_a_program_that_fails_to_list_is_named(suite: Path, tmp_path: Path) -> None:
    (suite / "b.py").write_text("raise SystemExit('broken')\n")
    with pytest.raises(InvocationError, match=r"b\.py --list failed:\nbroken"):
        build_suite(Store(tmp_path / "store", 1 << 30), [suite], tmp_path / "include", KNOWN)


def test_helpers_are_no_programs(suite: Path) -> None:
    (suite / "lib" / "helper.py").write_text("")
    (suite / "README.md").write_text("")
    assert [p.name for p in sources(suite)] == ["a.c", "b.py"]
