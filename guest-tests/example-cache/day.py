# SPDX-License-Identifier: GPL-2.0-only
"""A user's day with the image cache of examples/cache, once for each program, way and swap.

The cache and a load share a control group with a limit. This program is the user: it has the
cache show, hide and peek at images, and the load grow and shrink, in turn and always in the same
order. So what is counted depends on no machine's speed. Each case prints what it counted as
one line, ``@row`` and JSON, which ``make example`` makes a table of.

The load stands for the program in the foreground, and is not killed; the cache is, when its
group is out of memory, and starts anew, empty.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time

from vtest import case, diag, expect_eq, main, require
from vtsys import PAGE, Cgroup, child, read, swap_on_zram, wait, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES = 48
IMAGE_PAGES = 64
ON_SCREEN = 4  # images at a time
LIMIT_PAGES = 4096  # beside what both programs have when they have just started
LOAD_PAGES = (256, 2048, 512, 3072, 1024, 3328, 256, 2560)  # of each part of the day
SHOWS = 40  # of each part
LOAD_STEP_PAGES = 256  # most that the load grows by between two shows
RECENT = 12  # images; three of four shows are of these
PEEK_EVERY = 4  # shows
ZRAM_MIB = 64

PROGRAMS = {
    "c": ("/tests/cache/cache",),
    "python": (sys.executable, "/tests/cache/cache.py"),
}
WAYS = ("volatile", "madv-free", "droppable", "unmap", "keep")


class Chance:
    """The same numbers in each version of Python."""

    def __init__(self) -> None:
        self.state = 1

    def below(self, end: int) -> int:
        """A number from 0 to ``end`` - 1."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self.state >> 33) % end


def day() -> Iterator[tuple[int, int, int | None]]:
    """Step by step: the load's pages, the image to be shown, and one to peek at."""
    chance, load = Chance(), 0
    recent: list[int] = []
    for target in LOAD_PAGES:
        for step in range(SHOWS):
            load += max(-LOAD_STEP_PAGES, min(LOAD_STEP_PAGES, target - load))
            again = len(recent) == RECENT and chance.below(4)
            image = recent[chance.below(RECENT)] if again else chance.below(IMAGES)
            while image in recent[-ON_SCREEN:]:
                image = chance.below(IMAGES)
            peek = chance.below(IMAGES) if step % PEEK_EVERY == 0 else None
            yield load, image, peek
            recent = [*(other for other in recent if other != image), image][-RECENT:]


class Partner:
    """A process in the group that is asked for something, a line at a time, and answers."""

    def __init__(self, group: Cgroup, argv: tuple[str, ...], score: int) -> None:
        self.group, self.argv, self.score = group, argv, score
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Starts it; it has begun to work when this returns."""
        reading, asking = os.pipe()
        answering, writing = os.pipe()

        def run() -> None:
            self.group.enter()
            write("/proc/self/oom_score_adj", self.score)
            os.dup2(reading, 0)
            os.dup2(writing, 1)
            if self.argv:
                os.execv(self.argv[0], self.argv)
            load()

        self.pid = child(run)
        os.close(reading)
        os.close(writing)
        self.asking, self.answers = asking, os.fdopen(answering)
        self.starts += 1

    def ask(self, request: str) -> list[str]:
        """The words of its answer; none if it has been killed, and was started again."""
        try:
            os.write(self.asking, f"{request}\n".encode())
            answer = self.answers.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return answer.split()
        os.close(self.asking)
        self.answers.close()
        status = wait(self.pid)
        require(os.WIFSIGNALED(status) and os.WTERMSIG(status) == 9, f"it ended with {status:#x}")
        self.start()
        return []


def load() -> None:
    """Holds as many pages as standard input says, writes to each, and says how long that took."""
    most = max(LOAD_PAGES)
    memory = mmap.mmap(-1, most * PAGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for line in sys.stdin:
        pages = int(line)
        start = time.monotonic_ns()
        if pages < most:
            memory.madvise(mmap.MADV_DONTNEED, pages * PAGE, (most - pages) * PAGE)
        memory[: pages * PAGE : PAGE] = b"x" * pages
        os.write(1, f"{time.monotonic_ns() - start}\n".encode())


def median(values: list[int]) -> int:
    """The one in the middle; 0 where there is none."""
    return sorted(values)[len(values) // 2] if values else 0


def optional(path: str, field: int = 0) -> int | None:
    """A number of a file that not every kernel has."""
    try:
        return int(read(path).split()[field])
    except OSError:
        return None


def spend(program: str, way: str, swap: bool) -> None:
    """The day; prints its row."""
    if swap:
        swap_on_zram(ZRAM_MIB)
    group = Cgroup("day")
    if not swap:
        group.write("memory.swap.max", 0)
    foreground = Partner(group, (), -500)
    cache = Partner(group, (*PROGRAMS[program], way), 1000)
    foreground.ask("0")
    cache.ask("peek 0")
    base = group.number("memory.current")
    group.write("memory.max", base + LIMIT_PAGES * PAGE)
    first: dict[str, list[int]] = {"hit": [], "miss": []}
    whole: list[int] = []
    hidden: list[int] = []
    waited, peeks, peeked, again = 0, 0, 0, 0
    seen: set[int] = set()
    on_screen: list[int] = []
    for pages, image, peek in day():
        answer = foreground.ask(str(pages))
        require(bool(answer), "the load was not killed")
        waited += int(answer[0])
        again += image in seen
        seen.add(image)
        if peek is not None:
            peeks += 1
            if not (said := cache.ask(f"peek {peek}")):
                on_screen.clear()
            peeked += said == ["there"]
        while not (said := cache.ask(f"show {image}")):
            on_screen.clear()
        first[said[0]].append(int(said[1]))
        whole.append(int(said[2]))
        on_screen.append(image)
        if len(on_screen) > ON_SCREEN:
            if said := cache.ask(f"hide {on_screen.pop(0)}"):
                hidden.append(int(said[1]))
            else:
                on_screen.clear()
    kills = group.key("memory.events", "oom_kill")
    expect_eq(cache.starts - 1, kills, "starts of the cache beside the first, and kills")
    shows = [*first["hit"], *first["miss"]]
    path = group.path
    row = {
        "program": program,
        "way": way,
        "swap": swap,
        "shows": len(shows),
        "again": again,
        "hits": len(first["hit"]),
        "peeks": peeks,
        "peeked": peeked,
        "first_byte_hit_ns": median(first["hit"]),
        "first_byte_miss_ns": median(first["miss"]),
        "first_byte_mean_ns": sum(shows) // len(shows),
        "whole_mean_ns": sum(whole) // len(whole),
        "hide_mean_ns": sum(hidden) // len(hidden),
        "load_ns": waited,
        "kills": kills,
        "peak_pages": (group.number("memory.peak") - base) // PAGE,
        "swapped_peak_bytes": optional(f"{path}/memory.swap.peak"),
        "zram_peak_bytes": optional("/sys/block/zram0/mm_stat", 4) if swap else 0,
        "faults": group.key("memory.stat", "pgfault"),
        "major_faults": group.key("memory.stat", "pgmajfault"),
        "purged_pages": group.key("memory.stat", "pgvolpurged"),
    }
    diag(f"@row {json.dumps(row)}")


def register(program: str, way: str, swap: bool) -> None:
    """Makes a case of it. That no wrong pixel is shown is what it checks; the program looks."""

    def run() -> None:
        spend(program, way, swap)

    run.__name__ = f"{program}_{way.replace('-', '_')}_{'with' if swap else 'without'}_swap"
    run.__doc__ = f"A day with the cache in {program}, {way}: no wrong pixel is shown."
    droppable = ("linux-6.11",) if way == "droppable" else ()
    case("V-SB-5", needs=("oom", *droppable), timeout=60)(run)


for _swap in (False, True):
    for _program in PROGRAMS:
        for _way in WAYS:
            register(_program, _way, _swap)

main()
