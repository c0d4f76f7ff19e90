# SPDX-License-Identifier: GPL-2.0-only
"""Guest programs: found, compiled against the patched uapi headers, asked for their cases."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.core import proc
from harness.core.errors import InvocationError
from harness.core.events import CaseId
from harness.core.sandbox import Inside
from harness.core.settings import PROJECT
from harness.core.store import Store, file_digest
from harness.image.ext2 import make_image

GUEST_TESTS = PROJECT / "guest-tests"
IN_GUEST = Path("/tests")

# Static: the guest's libc may be older than the host's. -Werror: a test that
# compiles with a warning tests something else than it says. -Og: half the time of -O1 to
# compile; the few loops over every word of memory ask for more where they stand.
CFLAGS = ("-Og", "-Wall", "-Wextra", "-Werror", "-std=gnu11", "-static", "-pthread")


@dataclass(frozen=True)
class Program:
    """One C or Python program; ``source`` on the host, ``argv`` in the guest."""

    source: Path
    name: str  # of the source file below guest-tests, e.g. volatile/sigbus.c
    argv: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One case of a program. ``timeout``: seconds on a guest of reference speed."""

    id: CaseId
    program: Program
    clauses: tuple[str, ...]
    timeout: float
    about: str
    needs: tuple[str, ...] = ()
    host_checks: tuple[str, ...] = ()
    driver: str = ""  # who on the host talks to it, see cases/plugins.py

    @property
    def name(self) -> str:
        """What the program calls it."""
        return self.id.name


@dataclass(frozen=True)
class Suite:
    """All cases, and the read-only image that carries their programs into the guest."""

    cases: tuple[Case, ...]
    image: Path
    cached: bool


def sources(suite_folder: Path) -> list[Path]:
    """The programs of one series: every .c and .py file of its folder, helpers in lib/ excepted."""
    return sorted(p for p in suite_folder.iterdir() if p.suffix in (".c", ".py") and p.is_file())


def _program(source: Path) -> Program:
    guest = IN_GUEST / source.parent.name / source.name
    argv = ("python3", str(guest)) if source.suffix == ".py" else (str(guest.with_suffix("")),)
    return Program(source, f"{source.parent.name}/{source.name}", argv)


def compile_program(source: Path, target: Path, headers: Path, libraries: Sequence[Path]) -> None:
    """Compiles one C program, statically, against the patched tree's uapi headers.

    Raises:
        InvocationError: what the compiler said.
    """
    include = [f"-I{folder}" for folder in libraries]
    # __FILE__ in a failed check names the file as a reader of the project does.
    paths = [f"-fmacro-prefix-map={GUEST_TESTS}/=", "-isystem", str(headers)]
    command = ["gcc", *CFLAGS, *include, *paths, str(source), "-o", str(target)]

    def problem(said: str) -> InvocationError:
        what = f"the guest test {source.name} does not compile:\n{said[:3000]}"
        return InvocationError(what, evidence=source, next_step=" ".join(command))

    # A header of the tree could have any file of this machine read.
    reads = (GUEST_TESTS, source.parent, headers, *libraries)
    proc.capture(command, problem=problem, inside=Inside(reads, writes=(target.parent,)))


_NAME = re.compile(r"^[a-z0-9_]+$")
# An out-of-memory kill is expected; since which kernel (cases/runner.py).
_NEED = re.compile(r"^(oom|linux-\d+\.\d+)$")


def parse_listing(program: Program, text: str, known_clauses: frozenset[str]) -> list[Case]:
    """The cases in one program's ``--list`` output, one JSON object a line.

    Raises:
        InvocationError: a line that is not a case, a clause the contract does
            not have, a case that names none, a need that is not known.
    """
    cases: list[Case] = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
            case = Case(
                CaseId("guest", program.name, record["name"]),
                program,
                tuple(record["clauses"]),
                float(record["timeout"]),
                record.get("about", ""),
                tuple(record.get("needs", ())),
                tuple(record.get("host_checks", ())),
                record.get("driver", ""),
            )
        except (ValueError, KeyError, TypeError) as error:
            what = f"{program.name} --list printed a line that is no case: {line!r} ({error})"
            raise InvocationError(what) from error
        if unknown := [c for c in case.clauses if c not in known_clauses]:
            raise InvocationError(f"{case.id} names {unknown[0]}, which the contract does not have")
        if not case.clauses:
            raise InvocationError(f"{case.id} names no clause")
        if strange := [need for need in case.needs if not _NEED.match(need)]:
            step = "docs/guest-tests.md lists what a case may need"
            what = f"{case.id} needs {strange[0]!r}, which nobody knows"
            raise InvocationError(what, next_step=step)
        if not _NAME.match(case.name) or case.name in {c.name for c in cases}:
            raise InvocationError(f"{case.id}: the name is malformed or stands twice")
        cases.append(case)
    if not cases:
        raise InvocationError(f"{program.name} --list printed no case")
    return cases


def python_path(suites: Sequence[str]) -> tuple[str, str]:
    """The variable by which programs of ``guest-tests/<suite>`` find their modules in a guest.

    Args:
        suites: the folder of the series, and those of the series that it stands on.
    """
    return "PYTHONPATH", ":".join(str(IN_GUEST / suite / "lib") for suite in ("", *suites))


def _listing(program: Program, built: Path, libraries: Sequence[Path]) -> str:
    env = {"PYTHONPATH": ":".join(map(str, libraries)), "PYTHONDONTWRITEBYTECODE": "1"}
    env["PATH"] = "/usr/bin:/bin"
    interpreted = program.source.suffix == ".py"
    argv = [sys.executable, str(program.source)] if interpreted else [str(built)]
    command = [*argv, "--list"]

    def problem(said: str) -> InvocationError:
        what = f"{program.name} --list failed:\n{said[:2000]}"
        return InvocationError(what, next_step=" ".join(command))

    # What is compiled has code of the tree's headers in it.
    box = None if interpreted else Inside(reads=(built.parent,))
    return proc.capture(command, env=env, timeout_s=60, problem=problem, inside=box).decode()


def copy_python(folder: Path, target: Path) -> None:
    """Copies the modules of one folder into another, which is made."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.py")):
        (target / path.name).write_bytes(path.read_bytes())


def _fill(draft: Path, folders: Sequence[Path], programs: Sequence[Program], headers: Path) -> None:
    tree = draft / "tree"
    copy_python(GUEST_TESTS / "lib", tree / "lib")
    for folder in folders:
        copy_python(folder / "lib", tree / folder.name / "lib")
        copy_python(folder, tree / folder.name)

    def make(program: Program) -> str:
        built = tree / Path(program.name).with_suffix("")
        own = folders.index(program.source.parent)  # those below know nothing of those above
        every = (GUEST_TESTS / "lib", *(folder / "lib" for folder in folders[own:]))
        libraries = [path for path in every if path.is_dir()]
        if program.source.suffix == ".c":
            compile_program(program.source, built, headers, libraries)
        return _listing(program, built, libraries)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        listings = dict(zip([p.name for p in programs], pool.map(make, programs), strict=True))
    # Bytecode made here, checked never: compiling at import costs 0.3 s a case under TCG.
    unchecked = ("--invalidation-mode", "unchecked-hash")
    proc.capture((sys.executable, "-m", "compileall", "-q", *unchecked, "."), cwd=tree)
    (draft / "listings.json").write_text(json.dumps(listings, indent=1))
    make_image(tree, draft / "tests.img")


def build_suite(
    store: Store, folders: Sequence[Path], headers: Path, known_clauses: frozenset[str]
) -> Suite:
    """Compiles the programs of a series into an image and lists their cases.

    ``folders``: its own, and those of the series that it stands on, from the top: a program may
    use the ``lib/`` of each folder from its own on. ``headers``: the include folder of the
    patched tree's installed uapi headers.

    Raises:
        InvocationError: a program does not compile, or lists nonsense.
    """
    read = [file_digest(folder) for folder in (GUEST_TESTS / "lib", *folders, headers)]
    # The guest runs bytecode of the interpreter that compiled it.
    inputs = [*read, proc.version("gcc"), CFLAGS, sys.version_info[:2]]
    programs = [_program(source) for folder in folders for source in sources(folder)]
    entry = store.entry("programs", inputs, lambda draft: _fill(draft, folders, programs, headers))
    listings = json.loads((entry.path / "listings.json").read_text())
    cases = [c for p in programs for c in parse_listing(p, listings[p.name], known_clauses)]
    return Suite(tuple(cases), entry.path / "tests.img", entry.cached)
