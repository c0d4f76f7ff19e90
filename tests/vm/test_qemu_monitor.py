# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's monitor: commands, refusals, events, and QEMUs that end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from harness.core.errors import InternalError
from harness.vm.qemu import Monitor, MonitorClosedError
from tests.support.limits import NEVER_S, SOON_S
from tests.vm.fake_monitor import FakeMonitor, RefusedError

REFUSED = "no such device"


class Pair:
    """A greeted monitor and its QEMU, which does what ``on`` says for a command."""

    def __init__(self) -> None:
        self.silent = False
        self.qemu = FakeMonitor(self._answer, (8, 2))
        self.monitor = Monitor(self.qemu.connection)
        self.monitor.greet(NEVER_S)

    def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        match name:
            case "eject":
                raise RefusedError(REFUSED)
            case "cont":
                self.qemu.say({"event": "STOP"})
                self.qemu.say({"event": "RESUME"})
            case "quit":
                self.qemu.close()
        return arguments


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.monitor.close()
    made.qemu.close()


def test_greeting_leaves_negotiation_and_tells_the_version(pair: Pair) -> None:
    assert pair.monitor.version == (8, 2)
    assert [asked["execute"] for asked in pair.qemu.seen] == ["qmp_capabilities"]


def test_a_qemu_that_ends_instead_of_a_greeting() -> None:
    qemu = FakeMonitor()
    monitor = Monitor(qemu.connection)
    qemu.close()
    with pytest.raises(MonitorClosedError):
        monitor.greet(NEVER_S)
    monitor.close()


def test_a_qemu_that_does_not_greet_is_a_timeout() -> None:
    qemu = FakeMonitor()
    monitor = Monitor(qemu.connection)
    with pytest.raises(TimeoutError, match="does not answer"):
        monitor.greet(SOON_S)
    monitor.close()
    qemu.close()


def test_arguments_get_dashes(pair: Pair) -> None:
    assert pair.monitor.command("set", max_bandwidth=5) == {"max-bandwidth": 5}
    assert pair.monitor.command("human", command_line="info") == {"command-line": "info"}


def test_refusal_is_quoted(pair: Pair) -> None:
    with pytest.raises(InternalError, match=f"QEMU refused eject: {REFUSED}"):
        pair.monitor.command("eject")
    assert pair.monitor.command("query") == {}


def test_an_event_that_came_before_counts_once(pair: Pair) -> None:
    pair.monitor.command("cont")
    pair.monitor.wait_event("RESUME", NEVER_S)
    with pytest.raises(TimeoutError):
        pair.monitor.wait_event("RESUME", SOON_S)


def test_an_event_can_be_waited_for(pair: Pair) -> None:
    waiting = threading.Thread(target=pair.monitor.wait_event, args=("RESUME", NEVER_S))
    waiting.start()
    pair.qemu.say({"event": "STOP"})
    pair.qemu.say({"event": "RESUME"})
    waiting.join()


def test_silence_is_a_timeout_and_a_late_answer_does_no_harm(pair: Pair) -> None:
    late = threading.Event()

    def answer(name: str, arguments: dict[str, Any]) -> Any:
        if name == "slow":
            assert late.wait(NEVER_S)
        return name

    pair.qemu._answer = answer
    with pytest.raises(TimeoutError):
        pair.monitor.command("slow", timeout=SOON_S)
    late.set()
    assert pair.monitor.command("next") == "next"


@pytest.mark.parametrize("waits_for", ["an answer", "an event"])
def test_a_qemu_that_ends_is_told_apart(pair: Pair, waits_for: str) -> None:
    with pytest.raises(MonitorClosedError):
        pair.monitor.command("quit")
    with pytest.raises(MonitorClosedError):
        if waits_for == "an event":
            pair.monitor.wait_event("RESUME", NEVER_S)
        else:
            pair.monitor.command("query")


def test_a_qemu_that_ends_while_an_event_is_waited_for(pair: Pair) -> None:
    raised: list[type[BaseException]] = []

    def wait() -> None:
        try:
            pair.monitor.wait_event("RESUME", NEVER_S)
        except MonitorClosedError as error:
            raised.append(type(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    pair.qemu.close()
    waiting.join()
    assert raised == [MonitorClosedError]


def test_closing_twice_and_early_is_safe() -> None:
    qemu = FakeMonitor()
    monitor = Monitor(qemu.connection)
    monitor.close()
    monitor.close()
    qemu.close()


def test_monitors_are_asked_from_several_threads_at_once() -> None:
    pairs = [Pair() for _ in range(4)]
    answers: list[Any] = []

    def ask(pair: Pair) -> None:
        answers.extend(pair.monitor.command("query", number=i) for i in range(50))

    threads = [threading.Thread(target=ask, args=(pair,)) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 200
    assert [t.name for t in threading.enumerate()].count("monitors") == 1
    for pair in pairs:
        pair.monitor.close()
        pair.qemu.close()
