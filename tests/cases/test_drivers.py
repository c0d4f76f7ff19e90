# SPDX-License-Identifier: GPL-2.0-only
"""Cases that the host talks to: over SSH, and what the runner makes of a driver's verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import paramiko
import pytest

from harness.cases.plugins import Dialogue, Judgement, load_driver
from harness.cases.runner import CaseRunner
from harness.core.errors import InternalError
from harness.core.settings import PROJECT
from harness.series.contract import SeriesData, load
from harness.vm.channel import CommandTimeoutError
from harness.vm.guest import CaseRun, Guest
from harness.vm.protocol import Ask
from harness.vm.ssh import Connection, KeyPair
from tests.cases.test_runner import case
from tests.vm.fake_sshd import FakeSshd

KEYS = KeyPair.generate()


def program(command: str, channel: paramiko.Channel) -> int:
    """'echo': answers each line, and in between says something else; 'once': one only."""
    source = channel.makefile("r")
    for line in source:
        if command == "silent":
            continue
        channel.sendall(b"# thinking\n@reply ")
        channel.sendall(f"{line.strip()}!\n# so there\n".encode())
        if command == "once":
            return 3
    channel.sendall(b"ok 1\n")
    return 0


@pytest.fixture
def connection() -> Iterator[Connection]:
    server = FakeSshd(KEYS.public, program)
    opened = Connection.open(server.port, KEYS, server.host_key, 20.0)
    yield opened
    opened.close()
    server.close()


def test_each_question_gets_its_answer_and_the_rest_is_output(connection: Connection) -> None:
    answers: list[str] = []

    def talk(ask: Ask) -> None:
        answers.extend(ask(word) for word in ("a", "b", "x" * 100_000))

    done = connection.execute("echo", 20.0, talk=talk)
    assert answers == ["a!", "b!", "x" * 100_000 + "!"]
    assert done.exit_code == 0
    assert "reply" not in done.stdout
    assert done.stdout.count("# thinking\n") == 3
    assert done.stdout.endswith("# so there\nok 1\n")


def test_a_program_that_ends_early_ends_the_talk_and_no_more(connection: Connection) -> None:
    answers: list[str] = []

    def talk(ask: Ask) -> None:
        answers.append(ask("a"))
        answers.append(ask("b"))

    assert connection.execute("once", 20.0, talk=talk).exit_code == 3
    assert answers == ["a!"]


def test_a_program_that_does_not_answer_is_out_of_time(connection: Connection) -> None:
    with pytest.raises(CommandTimeoutError):
        connection.execute("silent", 0.5, talk=lambda ask: cast(None, ask("a")))


class TalkingGuest:
    """A guest whose program answers what it is asked with the question."""

    trustworthy = True
    swap_image = Path("/none")
    pace = 2.0
    spec = SimpleNamespace(env=(("VTEST_SEED", "9"),))

    def __init__(self, folder: Path, status: int = 0) -> None:
        self.folder, self.status = folder, status

    def run_case(
        self,
        case_id: str,
        argv: tuple[str, ...],
        timeout: float,
        *,
        talk: Callable[[Ask], None] | None,
        **_: object,
    ) -> CaseRun:
        if talk is not None:
            talk(lambda line: line)
        word = "not ok" if self.status else "ok"
        said = f"KTAP version 1\n1..1\n# @count guest 1\n{word} 1 one\n"
        return CaseRun(self.status, said, "", 0.1, False, "", None, ())

    def close(self) -> None:
        pass


DRIVER = """
from harness.cases.plugins import Judgement

def drive(dialogue):
    seed = dialogue.env["VTEST_SEED"]
    assert dialogue.ask("question") == "question"
    note = f"{seed} {dialogue.pace} {dialogue.again} {dialogue.folder.name}"
    return Judgement(dialogue.env.get("VERDICT", "pass"), "as asked", (note,))
"""


@pytest.fixture
def data(tmp_path: Path) -> SeriesData:
    (tmp_path / "talker.py").write_text(DRIVER)
    return replace(load(PROJECT / "patches" / "volatile"), folder=tmp_path)


def runner_with(data: SeriesData, guest: TalkingGuest) -> CaseRunner:
    made = cast(Guest, guest)
    return CaseRunner(data, 4, "6.1.192", lambda: made, made, again="make it")


@pytest.mark.parametrize(
    ("status", "verdict", "wanted"),
    [(0, "pass", "pass"), (0, "fail", "fail"), (1, "pass", "fail"), (1, "fail", "fail")],
)
def test_both_the_program_and_the_driver_have_to_agree(
    data: SeriesData, tmp_path: Path, status: int, verdict: str, wanted: str
) -> None:
    guest = TalkingGuest(tmp_path / "run", status)
    record = runner_with(data, guest).run(
        case(driver="talker"), lambda _: None, {"VERDICT": verdict}
    )
    assert record.status == wanted
    assert record.diagnostics == ("@count guest 1", "9 2.0 make it run")


def test_a_driver_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match="no driver nobody"):
        load_driver(tmp_path, "nobody")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(InternalError, match="no function drive"):
        load_driver(tmp_path, "empty")


def test_a_driver_may_be_a_package(tmp_path: Path) -> None:
    package = tmp_path / "parts"
    package.mkdir()
    (package / "__init__.py").write_text("from .other import drive\n")
    (package / "other.py").write_text(DRIVER)
    dialogue = Dialogue(lambda line: line, {"VTEST_SEED": "1"}, tmp_path, "make")
    assert load_driver(tmp_path, "parts")(dialogue) == Judgement(
        "pass", "as asked", (f"1 1.0 make {tmp_path.name}",)
    )
