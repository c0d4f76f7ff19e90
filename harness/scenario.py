# SPDX-License-Identifier: GPL-2.0-only
"""A race as it is written down: the comment at the head of ``guest-tests/races/NAME.c``.

The format is described in docs/races.md. What depends on the kernel line is settled
when a scenario is read, so that no one behind this module has to know that it may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import yaml

from harness.errors import InvocationError
from harness.settings import PROJECT

RACES = PROJECT / "guest-tests" / "races"
FEWEST_CPUS, MOST_CPUS = 2, 4

Kind = Literal["entry", "line", "return", "program", "end"]


@dataclass(frozen=True)
class Place:
    """Where a thread is held; ``text``: of a source line, for kind 'line'."""

    kind: Kind
    function: str = ""
    text: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "entry":
                return f"{self.function}()"
            case "line":
                return f"{self.function}: {self.text}"
            case "return":
                return f"{self.function}() returns"
            case "program":
                return f"program {self.function}()"
        return "ends"


@dataclass(frozen=True)
class Argument:
    """Argument ``number`` must equal the program's ``variable``, or have a bit of ``mask``."""

    number: int
    variable: str = ""
    mask: int = 0


@dataclass(frozen=True)
class Point:
    """``thread`` is held at ``place`` the ``nth`` time that all conditions are met."""

    thread: str
    place: Place
    says: str = ""
    within: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    nth: int = 1


@dataclass(frozen=True)
class Thread:
    """``cpu`` it is pinned to, and what it ``does``, in words."""

    name: str
    cpu: int
    does: str


@dataclass(frozen=True)
class Exclusion:
    """Expected: ``thread`` waits in ``function`` for ``lock``, which ``holder`` holds.

    ``holder_function`` is among the holder's callers then; '' where any will do.
    """

    thread: str
    function: str
    lock: str
    holder: str = ""
    holder_function: str = ""


@dataclass(frozen=True)
class Scenario:
    """One race on one kernel line. ``splat``: a regular expression that makes a run a hit."""

    name: str
    source: Path
    about: str
    project: str
    clauses: tuple[str, ...]
    config: str
    cpus: int
    variant: str
    controlled: bool
    threads: tuple[Thread, ...]
    points: tuple[Point, ...]
    hit: str
    miss: str
    exclusion: Exclusion | None = None
    splat: str = ""

    def thread(self, name: str) -> Thread:
        """The thread of that name."""
        return next(thread for thread in self.threads if thread.name == name)


class _MalformedError(Exception):
    """What is wrong with a file; the caller knows which."""


def header(text: str) -> str:
    """The YAML in the first block comment of a C file.

    Raises:
        InvocationError: there is none.
    """
    match = re.search(r"^/\*\n(?P<body>(?: \*(?: .*)?\n)+) \*/$", text, re.MULTILINE)
    if match is None:
        raise InvocationError("the file does not begin with a comment that describes the race")
    return "".join(f"{line[3:]}\n" for line in match["body"].splitlines())


def parse_place(text: str) -> Place:
    """A place as it is written in a point.

    Raises:
        _MalformedError: nobody can tell what is meant.
    """
    text = text.strip()
    if text == "ends":
        return Place("end")
    if match := re.fullmatch(r"program (\w+)\(\)", text):
        return Place("program", match[1])
    if match := re.fullmatch(r"(\w+)\(\)", text):
        return Place("entry", match[1])
    if match := re.fullmatch(r"(\w+)\(\) returns", text):
        return Place("return", match[1])
    if match := re.fullmatch(r"(\w+): (.+)", text):
        return Place("line", match[1], " ".join(match[2].split()))
    raise _MalformedError(
        f"{text!r} is no place: 'func()', 'func: text of a line', 'func() returns',"
        " 'program func()' or 'ends'"
    )


def parse(text: str, source: Path, line: str) -> Scenario | None:
    """The scenario in a file's text for a kernel line such as '6.1'; None: not for that line.

    Raises:
        InvocationError: it is malformed; the message says where.
    """
    try:
        given = yaml.safe_load(header(text))
        if not isinstance(given, dict):
            raise _MalformedError("the comment is no YAML mapping")
        return _scenario(given, source, line)
    except yaml.YAMLError as error:
        _refuse(source, f"the comment is not YAML: {' '.join(str(error).split())}")
    except _MalformedError as error:
        _refuse(source, str(error))
    except InvocationError as error:
        _refuse(source, error.what)


def _refuse(source: Path, why: str) -> NoReturn:
    raise InvocationError(f"{source.name}: {why}", evidence=source, next_step="see docs/races.md")


_REQUIRED = frozenset({"name", "about", "variant", "threads", "outcome"})
_KEYS = _REQUIRED | {"project", "clauses", "kernels", "config", "cpus", "controlled", "points"}
_POINT_KEYS = frozenset({"says", "within", "args", "nth", "only"})
_LINE = re.compile(r"^\d+\.\d+$")


def _scenario(given: Mapping[str, Any], source: Path, line: str) -> Scenario | None:
    if unknown := sorted(set(given) - _KEYS):
        raise _MalformedError(f"there is no key {unknown[0]!r}")
    if missing := sorted(key for key in _REQUIRED if not given.get(key)):
        raise _MalformedError(f"{missing[0]!r} is missing")
    name = str(given["name"])
    if name != source.stem:
        raise _MalformedError(f"it is named {name}, and its file {source.name}")
    controlled = given.get("controlled", True)
    if not isinstance(controlled, bool):
        raise _MalformedError("'controlled' is true or false")
    kernels = _words(given.get("kernels", ()))
    cpus = _number(given.get("cpus", 3), "cpus", FEWEST_CPUS, MOST_CPUS)
    threads = _threads(given["threads"], cpus)
    if kernels and line not in kernels:
        return None
    points = _points(given.get("points") or (), line, {t.name for t in threads})
    if controlled and not points:
        raise _MalformedError("a controlled scenario has points")
    if points and not controlled:
        raise _MalformedError("without control there are no points to be held at")
    outcome: Mapping[str, Any] = given["outcome"]
    for key in ("hit", "miss"):
        if not isinstance(outcome.get(key), str):
            raise _MalformedError(f"'outcome' does not say what a {key} is")
    splat = str(outcome.get("splat", ""))
    if splat and controlled:
        raise _MalformedError("an outcome that is a splat is for a scenario without control")
    project, clauses = str(given.get("project") or ""), _words(given.get("clauses", ()))
    if clauses and not project:
        raise _MalformedError("it names clauses, and no project whose contract has them")
    return Scenario(
        name=name,
        source=source,
        about=" ".join(str(given["about"]).split()),
        project=project,
        clauses=clauses,
        config=str(given.get("config", "default")),
        cpus=cpus,
        variant=str(given["variant"]),
        controlled=controlled,
        threads=threads,
        points=points,
        hit=str(outcome["hit"]),
        miss=str(outcome["miss"]),
        exclusion=_exclusion(_by_line(outcome.get("excluded"), line), threads),
        splat=splat,
    )


def _words(value: Any) -> tuple[str, ...]:
    """One word or a list of them."""
    return (value,) if isinstance(value, str) else tuple(str(word) for word in value)


def _number(value: Any, what: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _MalformedError(f"{what}: {value!r} is no number from {least} to {most}")
    return value


def _by_line(value: Any, line: str) -> Any:
    """A value, or where it is a mapping of kernel lines the one for ``line``."""
    if isinstance(value, dict) and value and all(_LINE.match(str(key)) for key in value):
        if line not in {str(key) for key in value}:
            raise _MalformedError(f"nothing is said for Linux {line} in {value!r}")
        return {str(key): item for key, item in value.items()}[line]
    return value


def _threads(given: Any, cpus: int) -> tuple[Thread, ...]:
    if not isinstance(given, dict):
        raise _MalformedError("'threads' is a mapping of names")
    threads = []
    for name, row in given.items():
        if not isinstance(row, dict) or not re.fullmatch(r"[A-Z]\w*", str(name)):
            raise _MalformedError(f"thread {name!r}: a name in capitals, with 'cpu' and 'does'")
        # CPU 0 keeps the time and talks to us: what is held there takes the guest along.
        cpu = _number(row.get("cpu"), f"the cpu of thread {name}", 1, cpus - 1)
        threads.append(Thread(str(name), cpu, str(row.get("does", ""))))
    if len({thread.cpu for thread in threads}) != len(threads):
        raise _MalformedError("two threads share a CPU, and one would be held with the other")
    return tuple(threads)


def _points(given: Sequence[Any], line: str, threads: set[str]) -> tuple[Point, ...]:
    points = []
    for row in given:
        if not isinstance(row, dict):
            raise _MalformedError(f"point {row!r}: 'THREAD: place'")
        named = sorted(set(row) - _POINT_KEYS)
        if len(named) != 1 or named[0] not in threads:
            raise _MalformedError(f"point {row!r} names no thread, or more than one")
        if "only" in row and line not in _words(row["only"]):
            continue
        points.append(_point(row, named[0], line))
    ended: set[str] = set()
    for point in points:
        if point.thread in ended:
            raise _MalformedError(f"thread {point.thread} has a point after its end")
        if point.place.kind == "end":
            ended.add(point.thread)
    return tuple(points)


def _point(row: Mapping[str, Any], thread: str, line: str) -> Point:
    where = _by_line(row[thread], line)
    if not isinstance(where, str):
        raise _MalformedError(f"thread {thread}: {where!r} is no place; quote it if it has a colon")
    place = parse_place(where)
    arguments = _arguments(_by_line(row.get("args"), line) or {})
    if arguments and place.kind != "entry":
        raise _MalformedError(f"{place}: arguments are known on entry to a function only")
    return Point(
        thread,
        place,
        str(row.get("says", "")),
        _words(_by_line(row.get("within", ()), line)),
        arguments,
        _number(row.get("nth", 1), "nth", 1, 1_000_000),
    )


def _arguments(given: Any) -> tuple[Argument, ...]:
    if not isinstance(given, dict):
        raise _MalformedError("'args' is a mapping of numbers")
    found = []
    for number, value in given.items():
        which = _number(number, "the number of an argument", 1, 6)
        text = str(value).strip()
        if match := re.fullmatch(r"& (0x[0-9a-fA-F]+|\d+)", text):
            found.append(Argument(which, mask=int(match[1], 0)))
        elif re.fullmatch(r"[A-Za-z_]\w*", text):
            found.append(Argument(which, variable=text))
        else:
            raise _MalformedError(f"argument {which}: {value!r} is no variable and no '& mask'")
    return tuple(found)


def _exclusion(given: Any, threads: Sequence[Thread]) -> Exclusion | None:
    if given is None:
        return None
    names = {thread.name for thread in threads}
    if not isinstance(given, dict):
        raise _MalformedError(
            "'excluded' is a mapping: {B: function, lock: words, from A: function}"
        )
    waits = [key for key in given if key in names]
    holders = [key for key in given if str(key).removeprefix("from ") in names - {key}]
    rest = set(given) - set(waits) - set(holders) - {"lock"}
    if len(waits) != 1 or len(holders) > 1 or rest or not given.get("lock"):
        raise _MalformedError(
            "'excluded' is a mapping: {B: function, lock: words, from A: function}"
        )
    holder = holders[0].removeprefix("from ") if holders else ""
    if holder == waits[0]:
        raise _MalformedError("'excluded': a thread does not wait for itself")
    return Exclusion(
        waits[0],
        str(given[waits[0]]).removesuffix("()"),
        str(given["lock"]),
        holder,
        str(given[holders[0]]).removesuffix("()") if holders else "",
    )


def load(source: Path, line: str) -> Scenario | None:
    """Reads one file; see :func:`parse`."""
    return parse(source.read_text("utf-8"), source, line)


def load_all(line: str, project: str, folder: Path = RACES) -> tuple[Scenario, ...]:
    """The scenarios of a kernel line that go with a series, by name."""
    found = [load(path, line) for path in sorted(folder.glob("*.c"))]
    return tuple(s for s in found if s is not None and s.project in ("", project))


def choose(asked: str, line: str, project: str, folder: Path = RACES) -> tuple[Scenario, ...]:
    """What RACE= asks for: one by name or as a file, several with commas, or all.

    Raises:
        InvocationError: there is no such scenario, or it is not for this kernel line.
    """
    if asked == "all":
        return load_all(line, project, folder)
    chosen = []
    for name in filter(None, (word.strip() for word in asked.split(","))):
        path = Path(name).expanduser() if name.endswith(".c") else folder / f"{name}.c"
        if not path.is_file():
            have = ", ".join(sorted(p.stem for p in folder.glob("*.c")))
            raise InvocationError(f"RACE={name}: no such scenario", next_step=f"there is: {have}")
        scenario = load(path.absolute(), line)
        if scenario is None:
            raise InvocationError(f"RACE={name}: it says that it is not for Linux {line}")
        chosen.append(scenario)
    if not chosen:
        have = ", ".join(sorted(p.stem for p in folder.glob("*.c")))
        raise InvocationError("RACE= names no scenario", next_step=f"RACE=all, or one of: {have}")
    return tuple(chosen)
