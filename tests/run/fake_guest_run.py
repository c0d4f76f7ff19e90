# SPDX-License-Identifier: GPL-2.0-only
"""The whole of ``make test-kernel`` on the toy kernel, with fake guests.

In place of QEMU stands :class:`tests.vm.fake_guest.FakeQemu`. The root file system, which
comes from the network, is an empty file. All else is real: the toy is patched, configured
and built, its guest programs are listed and packed, each case runs over SSH on
127.0.0.1, and what the guest says comes over its console.
"""

from __future__ import annotations

import json
import os
import threading
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.core.command_table import VARIABLES
from harness.core.events import Events
from harness.core.store import Store
from harness.image.rootfs import Rootfs, new_host_key
from harness.run import assemble_guest, change, pipeline
from harness.vm.machine import GuestSpec
from harness.vm.qemu import Qemu
from tests.support.toy import WISH, Toy, commit, grow, repository
from tests.vm.fake_guest import WARNING, FakeQemu

CONTRACT = """\
## One

| clause | promise |
| --- | --- |
| T-ONE-1 | it works |
| T-ONE-2 | it works with the patch that is still to come |
"""
SERIES = """\
name: toy
title: Toy
contract: contract.md
guest_tests: {guest_tests}
patches: [one]
holds_from: {{T-ONE-1: 1, T-ONE-2: 2}}
"""
PROGRAM = """\
from vtest import case, main

{cases}
main()
"""
# Long enough never to be over; a case that hangs is ended by the fake guest itself.
CASE = """\
@case("T-ONE-{clause}", timeout=600)
def {name}():
    "What {name} shows."

"""
MICROVM = ("PVH", "VIRTIO_MMIO", "VIRTIO_MMIO_CMDLINE_DEVICES", "X86_MPPARSE")

# A case: its name and the guest it is in -> what it prints and how it ends (case.c).
Behaviour = Callable[[str, FakeQemu], tuple[str, str]]


def passes(name: str, _: FakeQemu) -> tuple[str, str]:
    return f"KTAP version 1\n1..1\nok 1 {name}\n", "exit=0"


def fails(name: str, _: FakeQemu) -> tuple[str, str]:
    return f"KTAP version 1\n1..1\n# wanted 1, got 2\nnot ok 1 {name}\n", "exit=1"


def hangs(name: str, _: FakeQemu) -> tuple[str, str]:
    return "KTAP version 1\n1..1\n", "timeout=137"


def warns(name: str, guest: FakeQemu) -> tuple[str, str]:
    guest.print(WARNING)
    return passes(name, guest)


def dies(name: str, guest: FakeQemu) -> tuple[str, str]:
    guest.die()
    raise EOFError


def comes_up(guest: FakeQemu) -> None:
    guest.print("Linux version 6.1.7\nharness: mounted\nharness: ready\n")


@dataclass
class Job:
    """One way to run ``make test-kernel``: ``behaviours`` names the cases that do not just pass."""

    toy: Toy
    project: Path
    out: Path
    monkeypatch: pytest.MonkeyPatch
    behaviours: Mapping[str, Behaviour] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)  # of each case
    code: int = 0  # of the last run that a test began
    booted: int = 0
    restored: int = 0
    # Whether a guest's kernel runs an address in a case ('': at boot), where it is watched.
    executes: Callable[[int, str], bool] = lambda address, case: False
    boots: Callable[[GuestSpec, FakeQemu], None] = lambda spec, guest: comes_up(guest)
    under: list[str] = field(default_factory=list)  # the accelerator of each guest
    _guests: list[FakeQemu] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._key = new_host_key()
        image = self.toy.root / "rootfs.img"
        image.touch()
        rootfs = Rootfs(image, self._key.public, True)
        flavour = self.toy.flavour(WISH + "".join(f"CONFIG_{name}=y\n" for name in MICROVM))
        self.monkeypatch.setattr(Qemu, "start", self._start)
        self.monkeypatch.setattr(assemble_guest, "build_rootfs", lambda *_: rootfs)
        self.monkeypatch.setattr(change, "build_plugin", lambda _: self.out / "marks.so")
        for module in (assemble_guest, pipeline):
            self.monkeypatch.setattr(module, "load_flavour", lambda _: flavour)
        # Whether guests crowd this machine, and are told to run in turn, is said on the screen.
        self.monkeypatch.setattr(os, "cpu_count", lambda: 2)
        for name in VARIABLES:
            self.monkeypatch.delenv(name, raising=False)

    def test_kernel(self, *given: str) -> int:
        """Its exit status; ``given``: more variables, as they are typed."""
        return self.run("test-kernel", *given)

    def run(self, command: str, *given: str) -> int:
        """The exit status of any command."""
        return cli.main(
            [
                command,
                f"PROJECT={self.project}",
                f"KERNEL={self.toy.tree}",
                f"SERIES={self.toy.root / 'series'}",
                f"OUT={self.out}",
                f"HARNESS_CACHE={self.toy.store.root}",
                "ACCEL=tcg",
                "DECODE=0",
                "COVERAGE=0",
                *given,
            ]
        )

    @property
    def document(self) -> dict[str, Any]:
        """``results.json`` of the last run."""
        found: dict[str, Any] = json.loads((self.out / "latest" / "results.json").read_text())
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        """The event log of the last run."""
        lines = (self.out / "latest" / "events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """No guest is left."""
        assert not any(guest.alive for guest in self._guests)
        for guest in self._guests:
            guest.sshd.close()

    def _start(
        self,
        spec: GuestSpec,
        log: Path,
        ssh_key: str,
        *,
        swap: Path | None = None,
        restore: Path | None = None,
        marks: Path | None = None,
    ) -> FakeQemu:
        guest = FakeQemu(log, ssh_key, self._key)
        if marks is not None:
            self._mark(spec, marks, "")
        guest.behave = lambda argv: self._run_case(argv[-1], guest, spec, marks)
        guest.spec = spec
        if restore is None:
            self.boots(spec, guest)
        with self._lock:
            self._guests.append(guest)
            self.under.append(spec.accel)
            self.booted += restore is None
            self.restored += restore is not None
        return guest

    def _mark(self, spec: GuestSpec, marks: Path, case: str) -> None:
        """As the plugin marks what runs."""
        assert spec.watch is not None
        addresses = array("Q", spec.watch.addresses.read_bytes())
        marked = bytearray(marks.read_bytes())
        for number, address in enumerate(addresses):
            marked[number] |= self.executes(address, case)
        marks.write_bytes(marked)

    def _run_case(
        self, name: str, guest: FakeQemu, spec: GuestSpec, marks: Path | None
    ) -> tuple[str, str]:
        with self._lock:
            self.runs[name] += 1
        if marks is not None:
            self._mark(spec, marks, name)
        return self.behaviours.get(name, passes)(name, guest)


def toy_project(toy: Toy, programs: Mapping[str, Mapping[str, int]]) -> Path:
    """A series of one patch on ``toy``; ``programs``: name -> cases -> number of their clause."""

    symbols = "".join(f'\nconfig {name}\n\tbool "{name}"\n' for name in MICROVM)
    commit(toy.tree, {"Kconfig": lambda text: text + symbols}, "what a microvm needs")
    toy.series(("one", {"mm/swap.c": grow}))
    folder = toy.root / "project"
    suite = folder / "guest-tests" / "toy"
    suite.mkdir(parents=True)
    (folder / "contract.md").write_text(CONTRACT)
    (folder / "series.yaml").write_text(SERIES.format(guest_tests=suite))
    for program, cases in programs.items():
        text = "".join(CASE.format(name=name, clause=clause) for name, clause in cases.items())
        (suite / f"{program}.py").write_text(PROGRAM.format(cases=text))
    return folder


def built_toy(
    factory: pytest.TempPathFactory, cases: Mapping[str, Mapping[str, int]]
) -> tuple[Toy, Path]:
    """The toy and a project with a series of one patch; the first run builds it for all."""
    root = factory.mktemp("job")
    toy = Toy(root, repository(root / "linux"), Store(root / "store", 1 << 30), Events())
    return toy, toy_project(toy, cases)
