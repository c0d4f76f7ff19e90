# SPDX-License-Identifier: GPL-2.0-only
"""What a guest is made of, and QEMU's command line for it. Pure: nothing is started here."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from harness.core.errors import MachineError
from harness.core.settings import Login
from harness.vm import protocol

QEMU = "qemu-system-x86_64"
# Of a guest that counts. At boot the local timer of the CPU is calibrated for 0.1 s, which is 100
# million instructions in a loop whose PAUSE has QEMU look for other CPUs each time: more than
# 20 s. The tick comes from the PIT instead. With addresses at random fork and exit have a page
# table more or less to see to, 0.8 % of them, by chance.
COUNTING_APPEND = "nolapic_timer norandmaps"


@dataclass(frozen=True)
class CodeWatch:
    """What of a guest's kernel TCG is to mark when it runs; see ``coverage/marks.c``.

    Args:
        plugin: QEMU's, a shared object.
        addresses: a file of 64-bit words in ascending order.
    """

    plugin: Path
    addresses: Path

    @property
    def count(self) -> int:
        """How many addresses there are: as many bytes has a file of marks."""
        return self.addresses.stat().st_size // 8

    def options(self, marks: Path) -> list[str]:
        """QEMU's options; ``marks``: the guest's own file of them."""
        named = f"addresses={_quoted(self.addresses)},marks={_quoted(marks)}"
        return ["-plugin", f"{_quoted(self.plugin)},{named}"]


@dataclass(frozen=True)
class Recording:
    """QEMU's log of all that reached a guest with one CPU, written or followed.

    What comes by a network is not in it, so the guest has none.
    """

    log: Path
    mode: Literal["record", "replay"]


@dataclass(frozen=True)
class GuestSpec:
    """One guest. Paths are absolute; ``memory_mb`` in MiB.

    Args:
        kernel: the image that this machine starts, see machines.yaml.
        machine: a name of machines.yaml.
        accel: 'kvm' or 'tcg'.
        rootfs: the guest's vda, read-only.
        host_key: 'ssh-ed25519 BASE64', what the guest's SSH server must show.
        tests: the guest's vdb, read-only, mounted at /tests; None: none.
        swap_mb: size of the fresh swap disk, the guest's vdc.
        extra_append: more words for the kernel command line.
        env: variables of every test command.
        gdb: a unix socket path for QEMU's gdbstub, '' for none.
        login: for an image that boots by its own init; None: ours is process 1.
        in_turn: under TCG its virtual CPUs run one at a time, in one thread.
        watch: under TCG, the addresses that are marked when they run; None: none.
        core: where memory and registers are kept of the first report of the kernel.
        counted: under TCG, with one CPU: its time stamp counter counts instructions.
        recording: under TCG, with one CPU; a replay waits for who connects to ``gdb``.
    """

    kernel: Path
    machine: str
    accel: str
    rootfs: Path
    host_key: str
    tests: Path | None = None
    cpus: int = 2
    memory_mb: int = 512
    swap_mb: int = 256
    extra_append: str = ""
    gdb: str = ""
    in_turn: bool = False
    watch: CodeWatch | None = None
    counted: bool = False
    recording: Recording | None = None
    core: Path | None = None
    login: Login | None = None
    env: tuple[tuple[str, str], ...] = ((protocol.SWAP_DISK_VARIABLE, "/dev/vdc"),)

    def counting(self) -> GuestSpec:
        """The same guest under TCG with one CPU: a nanosecond in it is one instruction."""
        return replace(
            self, accel="tcg", counted=True, extra_append=COUNTING_APPEND, in_turn=False, cpus=1
        )


@functools.cache
def machine_table() -> Mapping[str, Any]:
    """machines.yaml, read once."""
    table: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("machines.yaml").read_text())
    return table


def _quoted(path: Path) -> str:
    """A path inside a QEMU option: a comma is written twice."""
    return str(path).replace(",", ",,")


def _disk(
    name: str, path: Path | None, bus: str, mode: str = "readonly=on", *, recorded: bool = False
) -> list[str]:
    if path is None:  # holds the place, so that the disks after it keep their names
        what = f"driver=null-co,size=1M,read-zeroes=on,{mode}"
    else:
        what = f"format=raw,{mode},file={_quoted(path)}"
    device = ["-device", f"virtio-blk-{bus},drive={name}"]
    if not recorded:
        return ["-drive", f"if=none,id={name},{what}", *device]
    # When a request is done is what has to be repeated.
    logged = f"driver=blkreplay,if=none,id={name},image={name}-file,{mode.partition(',')[0]}"
    return ["-drive", f"if=none,id={name}-file,{what}", "-drive", logged, *device]


def kernel_command_line(spec: GuestSpec, ssh_key: str) -> str:
    """The words after the kernel's name."""
    table = machine_table()
    accel = table["accelerators"][spec.accel]["append"]
    init = "" if spec.login else "init=/harness/init"
    words = [table["append"], init, accel, f"{protocol.KEY_OPTION}{ssh_key}", spec.extra_append]
    return " ".join(word for word in words if word)


def qemu_argv(
    spec: GuestSpec,
    monitor: int | None,
    ssh_key: str,
    swap: Path | None = None,
    restored: bool = False,
    marks: Path | None = None,
) -> list[str]:
    """QEMU's whole command line.

    The guest's serial line is standard input and output. The SSH port is forwarded on
    127.0.0.1 only, and the host's kernel chooses it (port 0; the monitor tells which), so no
    two runs can want the same one. The guest reaches nothing else (restrict=on).

    Args:
        monitor: the number of an inherited, connected socket, so no path can be too long;
            None: QEMU has none.
        ssh_key: BASE64 of the public key that may log in.
        restored: QEMU waits to be told of a saved state (migrate-incoming).
        marks: where what ``spec.watch`` watches is marked.
    """
    table = machine_table()
    machine, accel = table["machines"][spec.machine], table["accelerators"][spec.accel]
    bus = machine["bus"]
    emulation = accel["counted" if spec.counted else "in_turn" if spec.in_turn else "args"]
    if (recording := spec.recording) is not None:
        named = {"mode": recording.mode, "log": _quoted(recording.log)}
        emulation = [word.format_map(named) for word in accel["recorded"]]
    argv = [QEMU, *table["common"], *machine["args"], *emulation, "-cpu", accel["cpu"]]
    # One socket for each CPU: SeaBIOS lists sockets, not cores, in the MP table,
    # which is all that a kernel without ACPI knows of q35's CPUs.
    argv += ["-smp", f"{spec.cpus},sockets={spec.cpus},cores=1,threads=1"]
    argv += ["-m", str(spec.memory_mb)]
    # Pipes, not a socket: QEMU writes byte by byte, and a socket's buffer counts
    # each as a packet of 768. It is full after 280 bytes; a reader that is not
    # scheduled for 10 ms then makes the guest's driver give up and lose bytes.
    argv += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    if monitor is not None:
        argv += ["-chardev", f"socket,id=monitor,fd={monitor}"]
        argv += ["-mon", "chardev=monitor,mode=control"]
    if recording is None:
        # An image's own SSH server has port 22, and other keys.
        port = 2222 if spec.login else 22
        forward = f"hostfwd=tcp:127.0.0.1:0-10.0.2.15:{port}"
        argv += ["-netdev", f"user,id=net0,ipv6=off,restrict=on,{forward}"]
        rom = ",romfile=" if bus == "pci" else ""
        argv += ["-device", f"virtio-net-{bus},netdev=net0{rom}"]
    # In this order they become vda, vdb and vdc.
    recorded = recording is not None
    argv += _disk("root", spec.rootfs, bus, recorded=recorded)
    argv += _disk("tests", spec.tests, bus, recorded=recorded)
    if swap is not None:  # cache=unsafe: the guest's flushes need not reach this machine's disk
        argv += _disk("swap", swap, bus, "cache=unsafe,discard=unmap", recorded=recorded)
    argv += ["-kernel", str(spec.kernel), "-append", kernel_command_line(spec, ssh_key)]
    if spec.gdb:
        argv += ["-gdb", f"unix:{_quoted(Path(spec.gdb))},server=on,wait=off"]
    if recording is not None and recording.mode == "replay":
        argv.append("-S")
    if spec.watch is not None and marks is not None:
        argv += spec.watch.options(marks)
    if restored:
        argv += ["-incoming", "defer"]
    return argv


def crowded(spec: GuestSpec, guests: int, cpus: int) -> bool:
    """Whether ``guests`` at once have more virtual CPUs than ``cpus``; TCG runs them in turn."""
    return guests * spec.cpus > cpus


def obstacles(machine: str, config: str) -> tuple[str, ...]:
    """Why the kernel with this .config text cannot boot on ``machine``; empty: it can."""
    entry = machine_table()["machines"][machine]
    enabled = set(re.findall(r"^CONFIG_(\w+)=y$", config, re.MULTILINE))
    missing = [f"needs CONFIG_{name}" for name in entry["needs"] if name not in enabled]
    in_the_way = [f"cannot boot with CONFIG_{n}" for n in entry["conflicts"] if n in enabled]
    return tuple(f"{machine} {why}" for why in missing + in_the_way)


def choose_machine(asked: str, config: str) -> tuple[str, str]:
    """The machine to use, of all ('auto') or as asked for, and, in one line, why.

    Args:
        config: text of the kernel's .config.

    Raises:
        MachineError: no machine suits the kernel, or not the one that was asked for.
    """
    names = machine_table()["preference"] if asked == "auto" else [asked]
    lacks: list[str] = []
    for name in names:
        if not (here := obstacles(name, config)):
            return name, f"{name}: {'; '.join(lacks)}" if lacks else name
        lacks += here
    raise MachineError(
        f"this kernel boots on no machine that may be used: {'; '.join(lacks)}",
        next_step="change the configuration, or MACHINE=auto",
    )
