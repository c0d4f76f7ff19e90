# SPDX-License-Identifier: GPL-2.0-only
"""The words between the harness and what runs in a guest are the same on both sides."""

from __future__ import annotations

import re
from pathlib import Path

from harness.core.command_table import PROJECT
from harness.vm import protocol

AGENT = PROJECT / "harness" / "agent"
OF_GUEST_TESTS = {protocol.SWAP_DISK_VARIABLE, protocol.SEED_VARIABLE, protocol.PACE_VARIABLE}
# Variables that a guest test reads for itself, such as VTEST_SEED.
_VARIABLE = re.compile(r"""(?:getenv\(|env_number\(|environ\.get\(|environ\[)["']([A-Z_]+)""")


def header() -> dict[str, str]:
    text = (AGENT / "protocol.h").read_text()
    return dict(re.findall(r'^#define WORD_(\w+) "([^"]*)"$', text, re.M))


def test_the_header_and_the_module_have_the_same_words() -> None:
    words = header()
    assert len(words) == 12
    assert words == {name: getattr(protocol, name) for name in words}


def test_nobody_else_spells_a_word() -> None:
    words = [*header().values(), *OF_GUEST_TESTS, protocol.REPLY.decode()]
    # A word alone, or one that a marker begins with: "end" is in other texts as well.
    long = [re.escape(word) for word in words if not word.isalpha()]
    spelt = re.compile(rf'"[^"\n]*(?:{"|".join(long)})')
    of_agent = re.compile(rf'\bsay\("(?:{"|".join(w for w in words if w.isalpha())})\b')
    sources = [p for p in (PROJECT / "harness").rglob("*") if p.suffix in (".py", ".c", ".h")]
    found = [
        f"{path.relative_to(PROJECT)}: {line.strip()}"
        for path in sources
        if path.name not in ("protocol.h", "protocol.py") and "_project" not in path.parts
        for line in path.read_text().splitlines()
        if (spelt.search(line) or of_agent.search(line)) and '"""' not in line
    ]
    # What the agent prints for a person on standard error is no word of the protocol.
    assert [line for line in found if "fprintf(stderr" not in line] == []


def variables(path: Path) -> set[str]:
    names = set(_VARIABLE.findall(path.read_text()))
    return {name for name in names if name.startswith(("VTEST_", "HARNESS_"))}


def test_guest_tests_read_the_variables_that_the_harness_sets() -> None:
    sources = [p for p in (PROJECT / "guest-tests").rglob("*") if p.suffix in (".c", ".h", ".py")]
    assert set[str]().union(*map(variables, sources)) == OF_GUEST_TESTS


def test_a_guest_test_answers_with_the_word_that_is_waited_for() -> None:
    spelt = f'"{protocol.REPLY.decode().rstrip()}'
    sources = [p for p in (PROJECT / "guest-tests").rglob("*") if p.suffix in (".c", ".h", ".py")]
    assert any(spelt in path.read_text() for path in sources)
