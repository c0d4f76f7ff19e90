# SPDX-License-Identifier: GPL-2.0-only
"""From a guest's description to its first command, and what to say when it does not get there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pexpect.exceptions import EOF, TIMEOUT

from harness.core.errors import HarnessError, InvocationError, MachineError, SeriesError
from harness.image.rootfs import HOW_TO_MAKE_ONE
from harness.vm.guest import Guest
from harness.vm.machine import GuestSpec
from harness.vm.monitor import MonitorClosedError
from harness.vm.qemu import Qemu
from harness.vm.serial_dialogue import SerialDialogue
from harness.vm.serial_login import log_in
from harness.vm.splats import Splat
from harness.vm.ssh import KeyPair, SshError
from harness.vm.swap_disk import make_swap

READY = "harness: ready"
NEVER = "harness: error: sshd ended"


@dataclass(frozen=True)
class Patience:
    """Seconds. ``stall``: without a byte on the console; ``total``: from start to ready.

    A healthy boot under TCG takes 1.5 s here and says something every 0.2 s;
    the defaults leave a factor of 40 for a slow and busy machine.
    """

    stall: float = 40.0
    total: float = 240.0
    login: float = 60.0


PATIENCE = Patience()
# An init such as systemd waits in silence, up to 90 s for one unit.
OWN_INIT = Patience(stall=120.0, total=600.0)


def boot(
    spec: GuestSpec,
    folder: Path,
    name: str,
    keys: KeyPair,
    *,
    console_log: Path | None = None,
    patience: Patience | None = None,
    report: Callable[[Splat], None] = lambda splat: None,
) -> Guest:
    """Boots a guest to its first command; ``report`` hears what killed one that fails.

    Raises:
        SeriesError: the kernel did not come up; the message says how far it came.
        MachineError: QEMU is missing or would not run.
        InvocationError: nobody can log in on an image's serial console.
    """
    patience = patience or (OWN_INIT if spec.login else PATIENCE)
    folder.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    swap = folder / f"{name}.swap"
    make_swap(swap, spec.swap_mb)
    qemu = Qemu.start(spec, folder / f"{name}.qemu.log", keys.public, swap=swap)
    guest = Guest(spec, folder, name, qemu, keys, console_log=console_log)
    try:
        with contextlib.suppress(MonitorClosedError):  # a kernel that dies in its first moments
            qemu.find_port()
        with SerialDialogue(guest.console, since=0, stall=patience.stall) as line:
            log = guest.console.log
            here = spec.login is None or log_in(line, spec.login, patience.total, log)
            left = patience.total if here else 0.0
            ready = line.expect_exact([READY, NEVER, EOF, TIMEOUT], timeout=left) == 0
            if not ready:
                line.rest()  # the line of the marker, and what explains it
        if not ready:
            raise boot_failure(guest, patience, time.monotonic() - start)
        try:
            guest.connect(patience.login)
            guest.hello(patience.login)
        except (SshError, TimeoutError) as error:
            raise ssh_failure(guest, str(error)) from error
    except BaseException:
        guest.close()
        for splat in guest.splats():
            report(splat)
        raise
    guest.boot_seconds = time.monotonic() - start
    return guest


def _beginning(text: str, lines: int = 12) -> str:
    """The first lines of a report: enough to recognise it, the whole follows elsewhere."""
    return "\n".join(text.splitlines()[:lines])


# Seen with 30 processes waiting for two processors: check_timer() counts ticks in a
# loop of its own, in which a virtual CPU that the host does not run gets none.
_STARVED = "IO-APIC + timer doesn't work"


def _steps(lines: list[str]) -> str:
    """The last thing our init said."""
    said = [line.split("harness: ", 1)[1] for line in lines if "harness: " in line]
    return said[-1] if said else ""


def boot_failure(guest: Guest, patience: Patience, seconds: float) -> HarnessError:
    """Names the reason why the guest never became ready. Settles its console first."""
    lines = guest.console.lines
    if not guest.alive:
        guest.console.join()
    guest.settle()
    log = guest.console.log
    splats = [splat for splat in guest.splats() if splat.spoils] or list(guest.splats())
    if not any(line.strip() for line in lines):
        code = guest.qemu.process.poll()
        said = guest.qemu.complaints()
        if code not in (None, 0):
            return MachineError(
                f"QEMU ended with status {code} before the kernel said anything:\n{said}",
                evidence=guest.qemu.log,
            )
        how = "ended" if code == 0 else f"is silent after {seconds:.0f} s"
        return SeriesError(
            f"the kernel does not boot: no output at all, and the guest {how}",
            evidence=log,
            next_step=f"MACHINE=q35 boots the slow way; this was {guest.spec.machine}"
            f" under {guest.spec.accel}",
        )
    if splats and _STARVED in splats[0].title:
        return MachineError(
            f"the guest did not get its timer interrupts in time: {splats[0].title}",
            evidence=log,
            next_step="again once this machine has less to do; if it stays so, it is the series",
        )
    if splats:
        return SeriesError(
            f"the kernel does not boot: {splats[0].title}\n{_beginning(splats[0].text)}",
            evidence=log,
            next_step="PATCHES=0 shows whether the bare base boots",
        )
    step = _steps(lines)
    last = next((line for line in reversed(lines) if line.strip()), "")
    if step.startswith("error: sshd ended"):
        return SeriesError(
            "the guest came up and its SSH server ended:\n"
            + "\n".join(line for line in lines if "harness: sshd: " in line)[-2000:],
            evidence=log,
        )
    if guest.spec.login is not None and guest.alive and not step:
        return InvocationError(
            f"the image's own init asks for no login on the serial console; last line:\n{last}",
            evidence=log,
            next_step=HOW_TO_MAKE_ONE,
        )
    where = f"after our init's step '{step}'" if step else "before our init started"
    if not guest.alive:
        return SeriesError(
            f"the kernel does not boot: the guest ended {where}; last line:\n{last}", evidence=log
        )
    state = guest.dump_state()
    return SeriesError(
        f"the kernel does not boot: it hangs {where} ({seconds:.0f} s); last line:\n{last}",
        evidence=state,
        next_step=f"the whole console is in {log}",
    )


def ssh_failure(guest: Guest, error: str) -> HarnessError:
    """The SSH server said it was ready, and no command came through."""
    guest.settle()
    splats = guest.splats()
    if splats:
        return SeriesError(
            f"the kernel does not boot: {splats[0].title}\n{_beginning(splats[0].text)}",
            evidence=guest.console.log,
        )
    return SeriesError(
        f"the guest came up and its SSH server listens, but no command came through: {error}",
        evidence=guest.dump_state(),
        next_step=f"the whole console is in {guest.console.log}",
    )
