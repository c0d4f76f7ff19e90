# SPDX-License-Identifier: GPL-2.0-only
"""Records the console logs below tests/vm/data/console from real guests.

Not a test: run it by hand with a kernel that has CONFIG_LKDTM. Without names all that the tests
have are recorded again; lkdtm_NAME is any other crash that LKDTM can provoke.

    .venv/bin/python -m tools.record_console VMLINUX TESTS_DATA_FOLDER [PREFIX [NAME...]]
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from harness.core import events, settings, store
from harness.core.errors import HarnessError
from harness.image.rootfs import build_rootfs
from harness.vm.boot import boot, save
from harness.vm.channel import SshError
from harness.vm.guest import Guest
from harness.vm.machine import GuestSpec
from harness.vm.ssh import KeyPair

RECORDED = settings.PROJECT / "tests" / "vm" / "data" / "console"
CRASH = "echo {} > /sys/kernel/debug/provoke-crash/DIRECT"
QUICK_SOFT = "echo 1 > /proc/sys/kernel/watchdog_thresh; "
QUICK_RCU = "echo 3 > /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout; "
ON_CPU1 = "taskset -p 2 $$ > /dev/null; "
QUICK_HUNG = (
    "echo 1 > /proc/sys/kernel/hung_task_timeout_secs; "
    "echo 1 > /proc/sys/kernel/hung_task_check_interval_secs; "
)
# Somebody waits for a grace period; else there is nothing to stall.
GRACE_PERIODS = (
    "taskset 1 python3 -c 'import ctypes\nwhile 1: ctypes.CDLL(None).syscall(324, 1, 0, 0)' & "
)
NO_SOFT = "echo 0 > /proc/sys/kernel/soft_watchdog; "
EAT = "python3 -c 'x=[bytearray(1<<20) for _ in range(2000)]'"
MEMCG = (
    "mkdir /sys/fs/cgroup/m; echo 20M > /sys/fs/cgroup/m/memory.max; "
    "echo 0 > /sys/fs/cgroup/m/memory.swap.max; echo $$ > /sys/fs/cgroup/m/cgroup.procs; "
)
# name: (shell line, seconds to watch the console)
SCENES: dict[str, tuple[str, float]] = {
    "clean": ("echo hello; python3 -c 'print(1)'", 1),
    "oom_memcg": (MEMCG + EAT, 8),
    "oom_global": (EAT, 20),
    "soft_lockup": (QUICK_SOFT + CRASH.format("SOFTLOCKUP"), 8),
    "rcu_stall": (NO_SOFT + QUICK_RCU + GRACE_PERIODS + ON_CPU1 + CRASH.format("SOFTLOCKUP"), 8),
    "rcu_stall_and_soft_lockup": (
        QUICK_SOFT + QUICK_RCU + GRACE_PERIODS + ON_CPU1 + CRASH.format("SOFTLOCKUP"),
        8,
    ),
    "rcu_stall_irqs_off": (
        NO_SOFT + QUICK_RCU + GRACE_PERIODS + ON_CPU1 + CRASH.format("HARDLOCKUP"),
        12,
    ),
    "hung_task": (QUICK_HUNG + CRASH.format("HUNG_TASK"), 6),
    "two_warnings_two_cpus": (
        "for i in 1 2 3; do taskset 1 sh -c '" + CRASH.format("WARNING_MESSAGE") + "' & "
        "taskset 2 sh -c '" + CRASH.format("WARNING_MESSAGE") + "' & wait; "
        "echo 1 > /sys/kernel/debug/clear_warn_once; done",
        3,
    ),
    "sysrq_crash": ("echo c > /proc/sysrq-trigger", 3),
    "sysrq_traces": ("for k in w l t m; do echo $k > /proc/sysrq-trigger; done", 3),
    "lkdtm_loop": (QUICK_SOFT + CRASH.format("LOOP"), 8),
    "lkdtm_spinlockup": (
        QUICK_SOFT + CRASH.format("SPINLOCKUP") + "; " + CRASH.format("SPINLOCKUP"),
        8,
    ),
}
LKDTM = "lkdtm_"  # what a scene's name begins with that is one crash of LKDTM's and no more


def scene_of(name: str) -> tuple[str, float]:
    """The shell line of a scene, and how many seconds the console is watched."""
    if name.startswith(LKDTM) and name not in SCENES:
        return CRASH.format(name.removeprefix(LKDTM).upper()), 3
    return SCENES[name]


def play(guest: Guest, name: str, line: str, seconds: float) -> None:
    start = time.monotonic()
    with contextlib.suppress(SshError, TimeoutError):
        guest.exec(
            ["/harness/init", "case", "1", f"scene::{name}", f"{seconds:g}", "sh", "-c", line],
            seconds,
        )
    while time.monotonic() - start < seconds and guest.alive:
        silent = time.time() - guest.console.log.stat().st_mtime
        if min(silent, time.monotonic() - start) > 1.5 and seconds < 4:
            break
        time.sleep(0.1)


def main() -> None:
    vmlinux, data = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    prefix = sys.argv[3] if len(sys.argv) > 3 else ""
    crashes = sorted(log.stem for log in RECORDED.glob(f"{LKDTM}*.log"))
    wanted = sys.argv[4:] or list(dict.fromkeys((*SCENES, *crashes)))
    chosen = settings.from_environment()
    rootfs = build_rootfs(chosen, store.Store(chosen.cache, chosen.cache_limit), events.Events())
    # Another machine: MACHINE=q35, with a bzImage in place of the ELF image.
    machine, memory = os.environ.get("MACHINE", "microvm"), int(os.environ.get("MEMORY", "512"))
    spec = GuestSpec(vmlinux, machine, "tcg", rootfs.image, rootfs.host_key, memory_mb=memory)
    keys = KeyPair.generate()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if not sys.argv[4:]:
            for scene, append in (
                ("boot_clean", ""),
                ("boot_no_init", "init=/nothing"),
                ("boot_init_dies", "init=/bin/false"),
                ("boot_no_root", "root=/dev/vdz"),
            ):
                log = data / f"{prefix}{scene}.log"
                log.unlink(missing_ok=True)
                try:
                    boot(
                        replace(spec, extra_append=append), folder, scene, keys, console_log=log
                    ).close()
                except HarnessError as error:
                    sys.stdout.write(f"{scene}: {error}\n")
        first = boot(spec, folder, "first", keys)
        save(first, folder / "state")
        first.close()
        for scene in wanted:
            log = data / f"{prefix}{scene}.log"
            log.unlink(missing_ok=True)
            guest = boot(spec, folder, scene, keys, state=folder / "state", console_log=log)
            with contextlib.closing(guest):
                play(guest, scene, *scene_of(scene))
                guest.settle()
            found = [(splat.category, splat.title) for splat in guest.splats()]
            sys.stdout.write(f"{scene:40} {found}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
