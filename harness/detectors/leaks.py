# SPDX-License-Identifier: GPL-2.0-only
"""Memory that the kernel has lost: kmemleak's findings, by the two-scan rule.

kmemleak guesses: a pointer that only a register holds while it looks is missed. So an
object counts as leaked only where two scans, one after the other, both list it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from harness.core import events as ev
from harness.core.errors import SeriesError
from harness.core.words import counted
from harness.vm.channel import SshError
from harness.vm.guest import Guest
from harness.vm.splats import Splat, find_splats

FILE = "/sys/kernel/debug/kmemleak"
# kmemleak overlooks what is younger than 5 s, and what the last case leaked is that young.
SCRIPT = f"sleep 5.5; echo scan > {FILE} && cat {FILE}"
SCAN_TIMEOUT_S = 120.0  # for a guest of the reference's pace

_OBJECT = re.compile(r"^(?=unreferenced object 0x)", re.MULTILINE)


def objects(text: str) -> dict[str, str]:
    """The entries of kmemleak's file by their address."""
    return {entry.split()[2]: entry for entry in _OBJECT.split(text)[1:]}


def in_both(first: str, second: str) -> str:
    """The entries that two scans agree on, as the second one tells them."""
    before = objects(first)
    return "".join(text for at, text in objects(second).items() if at in before)


def leaks_of(guest: Guest) -> tuple[Splat, ...]:
    """What this guest's kernel has leaked, one splat a title.

    Raises:
        SshError, TimeoutError: the guest does not answer, or has no kmemleak.
    """
    said = []
    for _ in range(2):
        done = guest.exec(SCRIPT, SCAN_TIMEOUT_S * guest.pace)
        if done.exit_code != 0:
            raise SshError(f"kmemleak cannot be asked: {done.stderr.strip()}")
        said.append(done.stdout)
    by_title: dict[str, Splat] = {}
    for splat in find_splats(in_both(*said)):
        by_title.setdefault(splat.title, splat)
    return tuple(by_title.values())


def scan(
    guests: Sequence[Guest], events: ev.Events, sort_out: Callable[[Splat], Splat]
) -> tuple[int, str]:
    """Looks for leaks in the guests that still run; emits them. In how many, and that in words.

    A guest that was lost, or whose kernel had gone wrong before, is past being asked.

    Raises:
        SeriesError: a guest that ran its cases well does not live through the scans.
    """
    asked = [guest for guest in guests if guest.trustworthy]
    leaked = 0
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        for guest, future in [(guest, pool.submit(leaks_of, guest)) for guest in asked]:
            try:
                found = future.result()
            except (SshError, TimeoutError) as error:
                raise SeriesError(
                    f"{guest.name} does not answer while kmemleak looks for leaks: {error}",
                    evidence=guest.dump_state(),
                ) from error
            leaked += len(found)
            for splat in map(sort_out, found):
                events.emit(splat.seen())
    said = f"{counted(leaked, 'leak')} in {len(asked)} of {counted(len(guests), 'guest')}"
    return len(asked), said
