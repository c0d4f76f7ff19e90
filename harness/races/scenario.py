# SPDX-License-Identifier: GPL-2.0-only
"""A race as it is written down: the comment at the head of ``guest-tests/races/NAME.c``.

The format is described in docs/races.md. What depends on the kernel line is settled
when a scenario is read, so that no one behind this module has to know that it may.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from harness.core.errors import InvocationError
from harness.core.events import CaseId
from harness.core.jsondata import NO_YAML
from harness.core.settings import PROJECT

RACES = PROJECT / "guest-tests" / "races"
MIN_CPUS, MAX_CPUS = 2, 4
MAX_ARGUMENTS = 6  # that are in registers
MAX_NTH = 1_000_000

Kind = Literal["entry", "line", "return", "program", "end"]
_FUNCTION = r"(?P<function>\w+)"
_PLACES: dict[Kind, str] = {
    "end": "ends",
    "program": rf"program {_FUNCTION}\(\)",
    "entry": rf"{_FUNCTION}\(\)",
    "return": rf"{_FUNCTION}\(\) returns",
    "line": rf"{_FUNCTION}: (?P<text>.+)",
}


@dataclass(frozen=True)
class Place:
    """Where a thread is held; ``text``: of a source line, for kind 'line' alone."""

    kind: Kind
    function: str = ""
    text: str = ""
    written: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.written


@dataclass(frozen=True)
class Argument:
    """Argument ``number``, from 1, equals the program's ``variable``, or has a bit of ``mask``."""

    number: int
    variable: str | None = None
    mask: int = 0


@dataclass(frozen=True)
class Point:
    """``thread`` is held at ``place`` the ``nth`` time that all conditions are met."""

    thread: str
    place: Place
    says: str | None = None
    within: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.thread}: {self.place}"


@dataclass(frozen=True)
class Thread:
    """``cpu`` it is pinned to, and what it ``does``, in words."""

    name: str
    cpu: int
    does: str


@dataclass(frozen=True)
class Exclusion:
    """Expected: ``thread`` waits in ``function`` for ``lock``, ``holder``'s; None: anybody's."""

    thread: str
    function: str
    lock: str
    holder: str | None = None
    holder_function: str | None = None


@dataclass(frozen=True)
class Scenario:
    """One race on one kernel line; ``project``: its series, None: it goes with any.

    ``splat``: a regular expression for titles of the kernel's reports that make a run a hit.
    ``any_lock``: a wait for a lock while another thread is held excludes, whichever lock it is.
    """

    name: str
    source: Path
    about: str
    project: str | None
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
    splat: str | None = None
    any_lock: bool = False

    @property
    def id(self) -> CaseId:
        """What its record is called."""
        return CaseId("races", None, self.name)

    @property
    def looked_for(self) -> set[str]:
        """The functions that its driver looks for on stacks."""
        names = {name for point in self.points for name in point.within}
        if self.exclusion is not None:
            names |= {self.exclusion.function, self.exclusion.holder_function or ""}
        return names - {""}

    def flavour(self, asked: str) -> str:
        """What it runs on with CONFIG=``asked``: another than the default goes before its own."""
        return self.config if asked == "default" else asked

    def thread(self, name: str) -> Thread:
        """The thread of that name."""
        return next(thread for thread in self.threads if thread.name == name)


def header(text: str) -> str:
    """The YAML in the first block comment of a C file; an InvocationError without one."""
    match = re.search(r"^/\*\n(?P<body>(?: \*(?: .*)?\n)+) \*/$", text, re.MULTILINE)
    if match is None:
        raise InvocationError("the file does not begin with a comment that describes the race")
    return "".join(f"{line[3:]}\n" for line in match["body"].splitlines())


def parse_place(text: str) -> Place:
    """A place as it is written in a point; an InvocationError where it is none."""
    text = " ".join(text.split())
    for kind, pattern in _PLACES.items():
        if match := re.fullmatch(pattern, text):
            return Place(kind, **match.groupdict(), written=text)
    raise InvocationError(
        f"{text!r} is no place: 'func()', 'func: text of a line', 'func() returns',"
        " 'program func()' or 'ends'"
    )


def parse(text: str, source: Path, line: str) -> Scenario | None:
    """The scenario in a file's text for a kernel line such as '6.1'; None: not for that line.

    An InvocationError: it is malformed; the message says where.
    """
    try:
        return _scenario(yaml.safe_load(header(text)), source, line)
    except NO_YAML as error:
        why = f"the comment is not YAML: {' '.join(str(error).split())}"
    except InvocationError as error:
        why = error.what
    raise InvocationError(f"{source.name}: {why}", evidence=source, next_step="see docs/races.md")


def _require(fact: object, otherwise: str) -> None:
    if not fact:
        raise InvocationError(otherwise)


_REQUIRED = ("about", "name", "outcome", "threads", "variant")
_KEYS = {*_REQUIRED, "project", "clauses", "kernels", "config", "cpus", "controlled", "points"}
_POINT_KEYS = {"says", "within", "args", "nth", "only"}


def _scenario(given: Any, source: Path, line: str) -> Scenario | None:
    _require(isinstance(given, dict), "the comment is no YAML mapping")
    for key in given:
        _require(key in _KEYS, f"there is no key {key!r}")
    for key in _REQUIRED:
        _require(given.get(key), f"{key!r} is missing")
    name, outcome = str(given["name"]), given["outcome"]
    controlled = given.get("controlled", True)
    _require(name == source.stem, f"it is named {name}, and its file {source.name}")
    _require(isinstance(outcome, dict), "'outcome' is a mapping")
    for ending in ("hit", "miss"):
        _require(isinstance(outcome.get(ending), str), f"'outcome' does not say what a {ending} is")
    _require(isinstance(controlled, bool), "'controlled' is true or false")
    cpus = _number(given.get("cpus", 3), "cpus", MIN_CPUS, MAX_CPUS)
    threads = _threads(given["threads"], cpus)
    kernels, clauses = _words(given.get("kernels", ())), _words(given.get("clauses", ()))
    if kernels and line not in kernels:
        return None
    names = {thread.name for thread in threads}
    points = _points(given.get("points") or (), line, names)
    splat, project = outcome.get("splat"), given.get("project")
    _require(points or not controlled, "a controlled scenario has points")
    _require(controlled or not points, "without control there are no points to be held at")
    _require(not (splat and controlled), "a splat as outcome is for a scenario without control")
    _require(project or not clauses, "it names clauses, and no project whose contract has them")
    return Scenario(
        name=name,
        source=source,
        about=" ".join(str(given["about"]).split()),
        project=str(project) if project else None,
        clauses=clauses,
        config=str(given.get("config", "default")),
        cpus=cpus,
        variant=str(given["variant"]),
        controlled=controlled,
        threads=threads,
        points=points,
        hit=outcome["hit"],
        miss=outcome["miss"],
        exclusion=_exclusion(_by_line(outcome.get("excluded"), line), names),
        splat=str(splat) if splat else None,
    )


def _words(value: Any) -> tuple[str, ...]:
    """One word or a list of them."""
    return (value,) if isinstance(value, str) else tuple(str(word) for word in value)


def _number(value: Any, what: str, least: int, most: int) -> int:
    fits = type(value) is int and least <= value <= most
    _require(fits, f"{what}: {value!r} is no number from {least} to {most}")
    return int(value)


def _by_line(value: Any, line: str) -> Any:
    """A value, or where it is a mapping of kernel lines the one for ``line``."""
    by_line = {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
    if not by_line or not all(re.fullmatch(r"\d+\.\d+", key) for key in by_line):
        return value
    _require(line in by_line, f"nothing is said for Linux {line} in {value!r}")
    return by_line[line]


def _threads(given: Any, cpus: int) -> tuple[Thread, ...]:
    _require(isinstance(given, dict), "'threads' is a mapping of names")
    threads = []
    for name, row in given.items():
        fits = isinstance(row, dict) and re.fullmatch(r"[A-Z]\w*", str(name))
        _require(fits, f"thread {name!r}: a name in capitals, with 'cpu' and 'does'")
        # CPU 0 keeps the time and talks to us: what is held there takes the guest along.
        cpu = _number(row.get("cpu"), f"the cpu of thread {name}", 1, cpus - 1)
        threads.append(Thread(str(name), cpu, str(row.get("does", ""))))
    apart = len({thread.cpu for thread in threads}) == len(threads)
    _require(apart, "two threads share a CPU, and one would be held with the other")
    return tuple(threads)


def _points(given: Sequence[Any], line: str, threads: Collection[str]) -> tuple[Point, ...]:
    points: list[Point] = []
    for row in given:
        _require(isinstance(row, dict), f"point {row!r}: 'THREAD: place'")
        thread, *more = row.keys() - _POINT_KEYS or {None}
        alone = thread in threads and not more
        _require(alone, f"point {row!r} names no thread, or more than one")
        if line not in _words(row.get("only", line)):
            continue
        ended = any(p.thread == thread and p.place.kind == "end" for p in points)
        _require(not ended, f"thread {thread} has a point after its end")
        where = _by_line(row[thread], line)
        what = f"thread {thread}: {where!r} is no place; quote it if it has a colon"
        _require(isinstance(where, str), what)
        place, arguments = parse_place(where), _arguments(_by_line(row.get("args"), line) or {})
        known = place.kind == "entry" or not arguments
        _require(known, f"{place}: arguments are known on entry to a function only")
        says = str(row["says"]) if "says" in row else None
        within = _words(_by_line(row.get("within", ()), line))
        nth = _number(row.get("nth", 1), "nth", 1, MAX_NTH)
        points.append(Point(thread, place, says, within, arguments, nth))
    return tuple(points)


def _arguments(given: Any) -> tuple[Argument, ...]:
    _require(isinstance(given, dict), "'args' is a mapping of numbers")
    arguments = []
    for number, value in given.items():
        which = _number(number, "the number of an argument", 1, MAX_ARGUMENTS)
        match = re.fullmatch(r"& (0x[0-9a-fA-F]+|\d+)|([A-Za-z_]\w*)", str(value).strip())
        if match is None:
            raise InvocationError(f"argument {which}: {value!r} is no variable and no '& mask'")
        arguments.append(Argument(which, match[2], int(match[1] or "0", 0)))
    return tuple(arguments)


def _exclusion(given: Any, threads: Collection[str]) -> Exclusion | None:
    if given is None:
        return None
    what = "'excluded' is a mapping: {B: function, lock: words, from A: function}"
    _require(isinstance(given, dict), what)
    functions = {str(key): str(value).removesuffix("()") for key, value in given.items()}
    lock = functions.pop("lock", "")
    waiting = [pair for pair in functions.items() if pair[0] in threads]
    holding = [(k.removeprefix("from "), f) for k, f in functions.items() if k not in threads]
    known = dict(holding).keys() <= set(threads)
    _require(lock and known and len(waiting) == 1 and len(holding) <= 1, what)
    _require(waiting[0][0] not in dict(holding), "'excluded': a thread does not wait for itself")
    return Exclusion(*waiting[0], lock, *(holding[0] if holding else ()))


def choose(asked: str, line: str, project: str, folder: Path = RACES) -> tuple[Scenario, ...]:
    """What RACE= asks for: one by name or as a file, several with commas, or all of a series.

    An InvocationError: one is malformed, or not there, or not for this kernel line.
    """
    if asked == "all":
        every = [parse(p.read_text("utf-8"), p, line) for p in sorted(folder.glob("*.c"))]
        return tuple(s for s in every if s is not None and s.project in (None, project))
    have = ", ".join(sorted(path.stem for path in folder.glob("*.c")))
    chosen = []
    for name in filter(None, (word.strip() for word in asked.split(","))):
        path = Path(name).expanduser() if name.endswith(".c") else folder / f"{name}.c"
        if not path.is_file():
            raise InvocationError(f"RACE={name}: no such scenario", next_step=f"there is: {have}")
        scenario = parse(path.read_text("utf-8"), path.absolute(), line)
        if scenario is None:
            raise InvocationError(f"RACE={name}: it says that it is not for Linux {line}")
        chosen.append(scenario)
    if not chosen:
        raise InvocationError("RACE= names no scenario", next_step=f"RACE=all, or one of: {have}")
    return tuple(chosen)
