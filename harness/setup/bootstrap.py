# SPDX-License-Identifier: GPL-2.0-only
"""From a machine with git, make and Python to one that can run the harness.

    python3 harness/setup/bootstrap.py --for test-kernel|check

The Makefile calls this before anything else, so it uses the standard library
only. It looks for the system packages first. What is missing is installed where
that is possible without asking (root, apt); elsewhere one line to paste is
printed and nothing is changed. Then it makes ``.venv`` from the locked list.

Exit status: 0, or 3 where this machine cannot do it.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
# The directory of this file would come before the standard library.
sys.path[:] = [p for p in sys.path if p and Path(p).resolve() != PROJECT / "harness" / "setup"]

MACHINE = 3  # the exit status of "this machine cannot do it", see errors.py
LOCKS = {"test-kernel": "requirements.lock", "check": "requirements-dev.lock"}
SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


class UnableError(Exception):
    """This machine cannot do it; the message says what to type."""


def say(text: str) -> None:
    """One line for the user."""
    print(f"setup: {text}", flush=True)


def present(need: dict[str, Any]) -> bool:
    """Whether one entry of the "needs" of packages.json is there."""
    if "command" in need:
        return all(shutil.which(name, path=SEARCH) for name in need["command"])
    if "file" in need:
        return any(Path(name).exists() for name in need["file"])
    return importlib.util.find_spec(need["module"]) is not None


def missing(table: dict[str, Any], purpose: str) -> list[dict[str, Any]]:
    """The needs of ``purpose`` that are not met; ``table``: packages.json."""
    return [n for n in table["needs"] if purpose in n["for"] and not present(n)]


def manager(table: dict[str, Any]) -> str | None:
    """The package manager of this machine, or None."""
    about: dict[str, dict[str, str]] = table["managers"]
    return next((n for n in about if shutil.which(about[n]["command"], path=SEARCH)), None)


def what(need: dict[str, Any]) -> str:
    """One need in words."""
    value = need.get("command") or need.get("file") or need["module"]
    return value if isinstance(value, str) else "/".join(dict.fromkeys(Path(v).name for v in value))


def provide(table: dict[str, Any], purpose: str, log: Path) -> None:
    """Sees to the system packages; UnableError has the line to paste, or apt's own last words."""
    needs = missing(table, purpose)
    if not needs:
        return
    names = ", ".join(dict.fromkeys(what(need) for need in needs))
    name = manager(table)
    if name is None:
        raise UnableError(
            f"not found: {names}\nThis machine has neither apt, dnf nor pacman: install what "
            "provides these, then run the command again"
        )
    wanted = list(dict.fromkeys(need[name] for need in needs))
    line = f"{table['managers'][name]['line']} {' '.join(wanted)}"
    if name != "apt" or os.geteuid() != 0:
        raise UnableError(
            f"not found: {names}\nPaste this, then run the command again:\n\n    {line}\n"
        )
    say(f"installing {' '.join(wanted)}")
    if not install(wanted, log):
        raise UnableError(
            f"apt could not install {' '.join(wanted)}\n{tail(log)}\nevidence: {log}\n"
            f"next: mend what apt says, or paste\n\n    {line}\n"
        )
    left = missing(table, purpose)
    if left:
        raise UnableError(f"still not found after installing: {', '.join(map(what, left))}")


def install(wanted: list[str], log: Path) -> bool:
    """apt-get install, with a fresh list of packages where the old one will not do."""
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C")
    command = ["apt-get", "install", "-y", "--no-install-recommends", *wanted]
    lists = Path("/var/lib/apt/lists")
    if any(lists.glob("*_Packages*")) and logged(command, log, env):
        return True
    return logged(["apt-get", "update"], log, env) and logged(command, log, env)


def logged(command: list[str], log: Path, env: dict[str, str] | None = None) -> bool:
    """Runs a command with its output appended to ``log``; whether it succeeded."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        status = subprocess.call(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env
        )
    return status == 0


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])


def fingerprint(lock: Path) -> str:
    """What a finished .venv must have been made from."""
    made_from = lock.read_bytes() + sys.version.encode() + str(PROJECT).encode()
    return hashlib.sha256(made_from).hexdigest()


def ready(venv: Path, locks: list[Path]) -> bool:
    """Whether .venv is complete for one of ``locks``."""
    mark = venv / ".complete"
    return mark.is_file() and mark.read_text() in map(fingerprint, locks)


def pip() -> str:
    """The path of pip in the wheel that Python brings along; UnableError: this one has none."""
    import ensurepip  # missing on Debian until the packages are installed

    bundled = Path(ensurepip.__file__).parent / "_bundled"
    distribution = getattr(ensurepip, "_WHEEL_PKG_DIR", None)  # Debian, Fedora
    for folder in (Path(distribution or bundled), bundled):
        for wheel in sorted(folder.glob("pip-*.whl")):
            return str(wheel / "pip")
    what = "this Python has no wheel of pip (module ensurepip)"
    raise UnableError(f"{what}\nnext: install python3-pip")


def make_venv(venv: Path, lock: Path, log: Path) -> None:
    """Makes .venv from ``lock``; UnableError: the packages could not be fetched."""
    count = sum("==" in line for line in lock.read_text().splitlines())
    say(f"making .venv with {count} packages")
    shutil.rmtree(str(venv), ignore_errors=True)
    command = [str(venv / "bin" / "python"), pip(), "install", "--no-deps", "--require-hashes"]
    command += ["--no-compile", "--no-input", "--disable-pip-version-check"]
    command += ["--no-warn-script-location", "-r", str(lock)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    bare = [sys.executable, "-m", "venv", "--without-pip", str(venv)]
    if not (logged(bare, log) and logged(command, log, env)):
        shutil.rmtree(str(venv), ignore_errors=True)
        raise UnableError(
            f"the Python packages could not be installed\n{tail(log)}\nevidence: {log}\n"
            "next: check the network, or pip's own configuration (pip config list)"
        )
    # Only now does it count.
    (venv / ".complete.draft").write_text(fingerprint(lock))
    (venv / ".complete.draft").replace(venv / ".complete")


def set_up(project: Path, purpose: str) -> None:
    """Everything for ``purpose``; silent and quick where nothing is to be done."""
    table = json.loads((project / "harness" / "setup" / "packages.json").read_text())
    log = project / "out" / "setup.log"
    handle = os.open(str(project), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # two runs at once: the second waits
        provide(table, purpose, log)
        lock = project / LOCKS[purpose]
        # What check needs includes what test-kernel needs.
        enough = [lock] if purpose == "check" else [lock, project / LOCKS["check"]]
        if not ready(project / ".venv", enough):
            make_venv(project / ".venv", lock, log)
    finally:
        os.close(handle)


def main(argv: list[str] | None = None) -> int:
    """Runs the set-up and returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--for", dest="purpose", choices=sorted(LOCKS), default="test-kernel")
    purpose = parser.parse_args(argv).purpose
    try:
        if sys.version_info < (3, 11):  # noqa: UP036
            raise UnableError(
                f"this is Python {sys.version.split()[0]}; 3.11 or later is needed\n"
                "next: make PYTHON=python3.11 ..."
            )
        set_up(PROJECT, purpose)
    except UnableError as error:
        print(f"machine error: {error}", file=sys.stderr)
        print(f"verdict: infra (exit {MACHINE})", file=sys.stderr)
        return MACHINE
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
