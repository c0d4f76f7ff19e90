# SPDX-License-Identifier: GPL-2.0-only
"""stress-ng in the guest: Debian's package with the libraries it is linked with, and its stressors.

Which stressors a file of the kernel has, ``workloads.yaml`` says. Each is bounded by a number of
operations and a time, seeded, and has stress-ng verify what it can.
Source of options and exit statuses: stress-ng(1).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core import proc
from harness.core.errors import MachineError
from harness.core.store import Store
from harness.image.programs import IN_GUEST
from harness.setup import apt
from harness.workloads.regression_selftests import Selftest

GROUP = "stress-ng"
FOLDER = "stress-ng.d"  # of the program and its libraries in the guest's image
SEED = 1  # where SEED= says none: the same operations each time
TIMEOUT_S = 10.0  # of a test: the stressor ends itself before, on any guest
# What it calls a failure; it says so and, of most stressors, exits with 0 all the same.
FAILURE = r"^stress-ng: (?P<outcome>fail): +\[\d+\] (?P<name>.+)"
RUNS_S = 5  # seconds that a stressor takes at most
PACKAGES = (
    "stress-ng", "libapparmor1", "libbsd0", "libmd0", "libcrypt1", "libegl1", "libglvnd0",
    "libgbm1", "libdrm2", "libwayland-server0", "libffi8", "libgles2", "libipsec-mb1",
    "libjpeg62-turbo", "libjudydebian1", "libkmod2", "libzstd1", "liblzma5", "libsctp1",
    "libxxhash0", "libexpat1", "zlib1g", "libssl3", "libacl1", "libattr1", "libatomic1",
)  # fmt: skip


def fetch(store: Store) -> Path:
    """The folder with stress-ng and its libraries; a MachineError without apt or a network."""
    if not apt.available():
        raise MachineError("stress-ng is taken from Debian's package, and here is no apt")
    with apt.machine_lists(store) as lists:
        return _fetched(store, lists)


def _fetched(store: Store, lists: Sequence[str]) -> Path:
    version = apt.candidate("stress-ng", lists)
    if version is None:
        raise MachineError("apt has no package stress-ng", next_step="apt-get update")

    def make(draft: Path) -> None:
        root, debs, out = draft / "root", draft / "debs", draft / "stress"
        root.mkdir()
        debs.mkdir()
        # Names of libraries change with the distribution: one that is needed is missed below.
        found = {package: apt.candidate(package, lists) for package in PACKAGES}
        apt.download({name: v for name, v in found.items() if v}, debs, lists)
        for deb in sorted(debs.iterdir()):
            proc.run_tool(["dpkg-deb", "-x", str(deb), str(root)], f"unpacking {deb.name}")
        shutil.rmtree(debs)
        out.mkdir()
        shutil.copyfile(root / "usr/bin/stress-ng", out / "stress-ng")
        (out / "stress-ng").chmod(0o755)
        for library in sorted(root.rglob("*.so*")):
            if library.is_file() and not (out / library.name).exists():
                shutil.copyfile(library, out / library.name, follow_symlinks=False)
        shutil.rmtree(root)

    entry = store.entry("stress", ["stress-ng", version, PACKAGES], make, also=("image",))
    return entry.path / "stress"


def script(stressor: str, operations: int, seed: int) -> str:
    """The shell script that runs one stressor; statuses 3 and 4 say that it cannot run here."""
    folder = IN_GUEST / FOLDER
    words = f"--{stressor} 1 --{stressor}-ops {operations} --timeout {RUNS_S}s --seed {seed}"
    return (
        f"#!/bin/sh\nexport LD_LIBRARY_PATH={folder}\n"
        f"{folder}/stress-ng {words} --verify --temp-path . --oomable\n"
        "status=$?\n[ $status -eq 3 ] && exit 4\nexit $status\n"
    )


def tests(stressors: Mapping[str, str], operations: int, seed: int | None) -> list[Selftest]:
    """A test for each stressor; ``stressors``: with why each was chosen."""
    number = SEED if seed is None else seed
    about = f"at most {operations} operations and {RUNS_S} s"
    return [
        Selftest(
            f"stress_{name.replace('-', '_')}", (f"{GROUP}/{name}",), TIMEOUT_S, group=GROUP,
            why=f"{why}; {about}", points=FAILURE, script=script(name, operations, number),
        )
        for name, why in stressors.items()
    ]  # fmt: skip
