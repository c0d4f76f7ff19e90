# SPDX-License-Identifier: GPL-2.0-only
"""``make newcomer SUITE=trixie``: README's two commands on a Debian that has just been installed.

debootstrap makes a bare system of that suite in a folder below OUT=, with git, make, Python, and
what TLS needs. The checkout's HEAD is cloned there, and the commands are run in the clone, each
timed. All of it happens in mount and PID namespaces of its own, so that the kernel takes the
mounts and whatever still runs away with the last process, however this one ends; the folder is
removed. What the runs left in their OUT= stays, with the log of each step.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from harness.core import git, proc
from harness.core.command_table import command
from harness.core.errors import InternalError, MachineError
from harness.core.events import Events
from harness.core.jsondata import write_json
from harness.core.settings import PROJECT, Settings
from harness.core.tables import plain_table
from harness.setup import apt
from harness.setup.on_demand import provide

PACKAGES = ("git", "make", "python3", "ca-certificates")
# In the new system: the clone, what it is cloned from, and this machine's certificates.
CLONE, BUNDLE, CERTIFICATES = "root/harness", "root/harness.bundle", "etc/ssl/of-the-host.pem"
# Of the environment, what leads to the network from here; the first ones name a file.
CERTIFICATE_FILES = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"
)  # fmt: skip
NETWORK = re.compile(r"(?i)(https?|ftp|all|no)_proxy|PIP_\w+")
APT_NETWORK = re.compile(
    r"Acquire::(\w+::)*(Proxy|CaInfo|Check-Valid-Until|Check-Date|ForceIPv[46])\b"
)
# $1: the new system; $2: what its shell is to run. A sandbox there takes / for a mount point.
_ENTER = """
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
exec chroot "$1" /bin/sh -ec "$2"
"""


@dataclass(frozen=True)
class Step:
    """One thing that was done: ``seconds`` of wall time, and the exit status."""

    name: str
    seconds: float
    status: int


def alone(argv: Sequence[str]) -> tuple[str, ...]:
    """A command line in namespaces of its own for mounts and processes, which end with it."""
    return ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--", *argv)


def entered(root: Path, line: str) -> tuple[str, ...]:
    """The command line that runs a shell's ``line`` in the system at ``root``."""
    return alone(("sh", "-ec", _ENTER, "sh", str(root), line))


def mounts_below(folder: Path) -> list[str]:
    """The mount points of this process below a folder."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(folder)]


@contextlib.contextmanager
def new_root(folder: Path) -> Iterator[Path]:
    """An empty folder, which is removed when the block ends.

    Raises:
        InternalError: something is mounted in it; then it stays.
    """

    def remove() -> None:
        if left := mounts_below(folder):
            raise InternalError(f"still mounted: {', '.join(left)}", evidence=folder)
        if folder.exists():
            shutil.rmtree(folder)

    remove()
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove()


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment in the new system: a login's, and what leads to the network from here."""
    found = {name: value for name, value in given.items() if NETWORK.fullmatch(name)}
    found |= {name: f"/{CERTIFICATES}" for name in CERTIFICATE_FILES if given.get(name)}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**found, "HOME": "/root", "PATH": path, "LANG": "C.UTF-8", "TERM": "dumb"}


def connect(root: Path, given: Mapping[str, str]) -> None:
    """Copies into the new system what this machine needs to reach the network, if anything."""
    copies = [("/etc/resolv.conf", "etc/resolv.conf"), ("/etc/hosts", "etc/hosts")]
    copies += [("/etc/pip.conf", "etc/pip.conf")]
    copies += [
        (f"{Path.home()}/{name}", f"root/{name}")
        for name in (".config/pip/pip.conf", ".pip/pip.conf")
    ]
    copies += [(given[name], CERTIFICATES) for name in CERTIFICATE_FILES if given.get(name)][:1]
    for source, target in copies:
        if Path(source).is_file():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            (root / target).unlink(missing_ok=True)
            shutil.copyfile(source, root / target)
    words = ("apt-config", "dump", "--format", '%F "%v";%n', "Acquire")
    lines = proc.run_tool(words, "reading apt's configuration").splitlines(keepends=True)
    found = "".join(line for line in lines if APT_NETWORK.match(line))
    (root / "etc/apt/apt.conf.d/00of-the-host").write_text(found)


@dataclass
class Newcomer:
    """The steps, their logs below ``out``, and the system at ``root``."""

    suite: str
    root: Path
    out: Path
    console: Console

    def __post_init__(self) -> None:
        self.env = environment(os.environ)
        self.steps: list[Step] = []

    def step(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Runs one step with its log.

        Raises:
            InternalError: it failed.
        """
        log = self.out / f"{len(self.steps)}-{re.sub('[^a-z0-9]+', '-', name.lower())}.log"
        log.unlink(missing_ok=True)
        self.console.print(f"{name} ...", soft_wrap=True)
        done = proc.run(argv, log=log, env=env)
        self.steps.append(Step(name, done.seconds, done.returncode))
        if done.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            what = f"on a bare {self.suite}: {name} ended with {done.returncode}\n{tail}"
            raise InternalError(what, evidence=log)
        self.console.print(f"  {done.seconds:.0f} s")

    def inside(self, name: str, line: str) -> None:
        """The same in the new system."""
        self.step(name, entered(self.root, line), self.env)

    def versions(self) -> dict[str, str]:
        """What the new system has of the programs that matter most."""
        line = "python3 --version; gcc --version | head -1; qemu-system-x86_64 --version | head -1"
        said = proc.run_tool(entered(self.root, line), "asking for versions", env=self.env)
        names = "Python", "gcc", "QEMU"
        return {
            name: found[0]
            for name, text in zip(names, said.splitlines(), strict=True)
            if (found := re.findall(r"\d+\.\d+[.\d]*", text.replace("(Debian", " ")))
        }

    def keep_results(self) -> None:
        """Copies what the runs left in the clone's OUT= beside the logs."""
        if (made := self.root / CLONE / "out").is_dir():
            shutil.copytree(made, self.out / "out", symlinks=True, dirs_exist_ok=True)


def run_commands(new: Newcomer, commands: Sequence[str]) -> dict[str, str]:
    """From nothing to the end of the last command; the versions of what it ran with.

    Raises:
        InternalError: a step failed.
    """
    mirror = apt.archives().get("Debian")
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    argv = [*bootstrap, new.suite, str(new.root), *([mirror] if mirror else [])]
    new.step("debootstrap", alone(argv))
    connect(new.root, os.environ)
    git.text(PROJECT, "bundle", "create", "--quiet", str(new.root / BUNDLE), "HEAD")
    new.inside("git clone", f"git clone --quiet /{BUNDLE} /{CLONE}")
    try:
        for line in commands:
            new.inside(line, f"cd /{CLONE} && exec {line}")
    finally:
        new.keep_results()
    return new.versions()


def newcomer(settings: Settings) -> int:
    """``make newcomer``; the figures also go to ``newcomer-SUITE/newcomer.json`` below OUT=.

    Raises:
        MachineError: not root, or no debootstrap.
        InternalError: a command of the README does not work there; its log.
    """
    if os.geteuid() != 0:
        step = f"sudo {command('newcomer', {}, SUITE=settings.suite)}"
        raise MachineError("making a system in a folder takes root", next_step=step)
    provide("newcomer", settings.out / "setup.log", Events())
    console = Console(highlight=False)
    out = settings.out / f"newcomer-{settings.suite}"
    out.mkdir(parents=True, exist_ok=True)
    asked = {"KERNEL": settings.kernel, "SLOW": "" if settings.slow else "no"}
    commands = [command(name, asked) for name in ("test-kernel", "check")]
    with new_root(out / "root") as root:
        new = Newcomer(settings.suite, root, out, console)
        versions = run_commands(new, commands)
    about = {"suite": new.suite, "commit": git.commit_id(PROJECT, "HEAD"), "versions": versions}
    write_json(out / "newcomer.json", {**about, "steps": new.steps})
    table = plain_table(new.suite, "seconds", right=("seconds",))
    table.title = " ".join(f"{n} {v}" for n, v in versions.items())
    for done in new.steps:
        table.add_row(done.name, f"{done.seconds:.0f}")
    console.print(table)
    return 0
