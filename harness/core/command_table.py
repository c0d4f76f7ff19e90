# SPDX-License-Identifier: GPL-2.0-only
"""What can be typed: the commands and the variables, each declared once.

Help, dispatch and the commands that the harness prints are made from the two tables;
tests compare the Makefile and :mod:`harness.core.settings` with them. Needs nothing but Python.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import harness

_PACKAGE = Path(harness.__path__[0]).resolve()
_INSTALLED = _PACKAGE / "_project"
# The two layouts, a checkout and an installed program. PROJECT has patches/, kconfig/ and
# guest-tests/; below HOME the harness keeps what it makes for itself; PROGRAM is what is typed.
if _INSTALLED.is_dir():
    PROJECT, HOME, PROGRAM = _INSTALLED, Path.cwd(), "kernel-series-harness"
    SET_UP = "install the package that has it; PATH must lead to it"
else:
    PROJECT, HOME, PROGRAM = _PACKAGE.parent, _PACKAGE.parent, "make"
    SET_UP = "python3 harness/setup/bootstrap.py --for test-kernel   (lists what is missing)"

# Tried: systemd starts a getty on the serial console by itself, if udev shows it that.
HOW_TO_MAKE_A_ROOTFS = """an image with an init of its own, from Debian:
  mmdebstrap --variant=minbase --include=systemd-sysv,udev,openssh-server,python3 \\
    --customize-hook='chroot "$1" passwd -d root' bookworm DIRECTORY
  mke2fs -t ext2 -d DIRECTORY IMAGE 700M
or ROOTFS_LOGIN=no, and the harness's init runs in place of the image's"""


def default_kernel(project: str) -> str:
    """What stands for no KERNEL=: the newest line that ``patches/<project>/`` has patches for."""
    folders = (p.name for p in (PROJECT / "patches" / project).glob("*.*") if p.is_dir())
    lines = [name.split(".") for name in folders if name.replace(".", "").isdecimal()]
    return ".".join(max(lines, key=lambda line: [int(part) for part in line], default=["latest"]))


# name: (default, what it means); variables that are yes or no take 1 0 yes no true false on off.
VARIABLES: dict[str, tuple[str, str]] = {
    "PROJECT": (
        "",
        "whose series: a folder below patches/; default: by SERIES='s patches, else volatile",
    ),
    "KERNEL": (
        default_kernel("volatile"),
        "base: 6.1, 6.12, 7.3, latest, or a path to a git tree, an unpacked tree or a tarball",
    ),
    "NAME": ("", "new-series: what the project is to be called, such as lazyfree-shared"),
    "REF": ("", "with KERNEL=/a/git/tree: the commit, tag or branch to start from (HEAD)"),
    "SERIES": ("", "a mailbox, a directory of patches, or a git range; default: ours for KERNEL"),
    "ALLOW_BIDI": ("", "yes: take a series with bidirectional or invisible characters in it"),
    "WARNINGS": ("refuse", "note: a new compiler warning is told, and does not fail the build"),
    "PREVIOUS": ("", "revision: the revision before, in a form that SERIES= takes"),
    "PATCHES": ("", "apply only the first N patches of the series (0: the bare base)"),
    "VARIANT": ("", "a patch on top of the series: a deliberate mistake, see seen-red"),
    "FIX": ("", "a mail with a patch that goes on top of the series, in a form that SERIES= takes"),
    "CONFIG": ("default", "a flavour, or a .config of yours; +FILE adds to it: docs/configs.md"),
    "AUTOCONFIG": ("1", "0: do not switch on what files of the series need to be compiled"),
    "LLVM": (
        "",
        "1, a suffix such as -19, or a folder/: clang builds the kernel, as kbuild takes it",
    ),
    "MACHINE": ("auto", "microvm, q35, or auto: the fastest that this kernel can boot"),
    "ACCEL": ("auto", "kvm, tcg, or auto: KVM where it runs the first guest"),
    "TESTS": (
        "",
        "a pytest -k expression: parts of names of guest tests; purge.c: of a program; touched:"
        " first those that reach what was edited since the last whole run; touched-only: no others",
    ),
    "MAXFAIL": ("", "test-kernel: after so many cases that broke no other is begun"),
    "WORKLOADS": (
        "",
        "what runs: cases (ours), kselftest, kunit, stress-ng, run, none; default: what suits",
    ),
    "RUN": ("", "a command of yours that is run in the guest, where the files of GUEST_FILES= are"),
    "GUEST_FILES": ("", "a folder whose files RUN= finds in the guest, in the folder it runs in"),
    "RACE": ("", "repro: a scenario of guest-tests/races, several with commas, or all"),
    "FROM": (
        "",
        "repro: a file with a claim about a race: two columns, or a report of KCSAN or KASAN;"
        " finding, back, drgn: the run's folder (all in OUT=)",
    ),
    "ID": ("", "finding, back: of a failure, as the screen and results.json have it"),
    "ADDRESS": (
        "",
        "back: of a word of the kernel: a symbol, a number, a register of the report; and +OFFSET",
    ),
    "PROGRAM": (
        "",
        "repro FROM=, race-search, why-locked: the guest program that plays, a file or one of ours",
    ),
    "MODE": ("", "repro, race-search: stress repeats the programs without control as well"),
    "EXPLAIN": ("", "1: repro prints each scenario with the kernel's source lines first"),
    "RUNS": ("20", "repro: runs of a scenario on each kernel, or of each order of a claim"),
    "CELL": ("", "build-matrix: only this cell of matrix.yaml"),
    "ROOTFS": ("", "a directory or an image to use as the guest's root"),
    "ROOTFS_LOGIN": ("root", "root or root:PASSWORD in a ROOTFS= image with an init; no: use ours"),
    "DEBUG": ("", "1: build with debug information at once (shell: start QEMU's gdbstub)"),
    "DUMP": ("", "1: keep a guest's memory and registers at the first report of its kernel"),
    "CONSOLE": ("", "1: shell gives the serial console itself, without SSH"),
    "DECODE": ("1", "0: do not build debug information to decode a splat"),
    "COVERAGE": ("1", "0: do not measure which of the changed lines run"),
    "COVER": ("", "percent of the changed lines that must run; else each changed function must"),
    "KIND": ("", "soak: what to repeat: stress, model, odd; without it the table so far"),
    "MINUTES": ("", "soak, fuzz-input: how long; soak: all runs on one kernel together (30)"),
    "SEED": (
        "",
        "soak, test-kernel, fuzz-input: the seed of what is random, to see a failure again;"
        " mutants, race-search, why-locked: of the choice, too (1)",
    ),
    "SAMPLE": ("60", "mutants: how many are chosen by SEED=, or all"),
    "ENGINE": ("local", "mutants: dask judges them on the workers of SCHEDULER=; docs/ci.md"),
    "SCHEDULER": ("", "with ENGINE=dask: the address of its scheduler, tcp://127.0.0.1:8786"),
    "PATCH": ("", "mutants, race-search, why-locked: only of lines that this patch brings, from 1"),
    "MUTANTS": ("", "revision: judges so many mutants of each patch as well, chosen by SEED="),
    "SCORE": (
        "",
        "revision: percent of MUTANTS= that must be noticed; without it survivors are only told",
    ),
    "FUNCTION": (
        "",
        "mutants, race-search, why-locked: only of this function; back: from its last call",
    ),
    "BUDGET": ("10", "race-search: minutes for its tries; why-locked: for those of a protection"),
    "SUITE": ("trixie", "newcomer: the suite of Debian that it installs"),
    "CPUS": ("2", "virtual CPUs of a guest"),
    "REPEAT": (
        "",
        "more runs of each broken guest case (revision: 5); cost: boots (6); bench (1)",
    ),
    "STATICS": ("1", "0: revision and plan leave checkpatch, sparse and kernel-doc out"),
    "KTAP": ("", "1: the results as KTAP on standard output, everything else on standard error"),
    "NOTES": ("", "1: revision writes git notes on the tested commits of KERNEL=/a/git/tree"),
    "SLOW": ("1", "0: check leaves out what builds a kernel or runs guests"),
    "JOBS": ("", "how many CPUs to use; default: all"),
    "TREE": ("", "tree, refresh: where the tree to edit is; default: tree/<kernel>"),
    "SANDBOX": ("auto", "auto, require or no: whether code of the series runs in a sandbox here"),
    "OUT": ("out", "where runs leave their results"),
    "HARNESS_CACHE": ("", "the store; else kernel-series-harness in $XDG_CACHE_HOME or ~/.cache"),
    "HARNESS_CACHE_LIMIT": ("30", "size limit of the store in GiB; the oldest entries go first"),
}

_STORE = "OUT HARNESS_CACHE HARNESS_CACHE_LIMIT"
_SOURCE = f"PROJECT KERNEL REF SERIES ALLOW_BIDI JOBS SANDBOX {_STORE}"
_BUILD = f"{_SOURCE} WARNINGS VARIANT FIX CONFIG AUTOCONFIG LLVM"
_GUEST = f"{_BUILD} MACHINE ACCEL ROOTFS ROOTFS_LOGIN CPUS DEBUG DECODE"
_CASES = f"{_GUEST} TESTS SEED REPEAT WORKLOADS RUN GUEST_FILES COVERAGE COVER"


@dataclass(frozen=True)
class Command:
    """One command.

    ``target``: the function that runs it, ``module:function``, imported when it is called.
    ``variables``: the names of those that it reads, with spaces. ``uses``: what the function
    takes after the settings, words of ``harness.cli``. ``example``: variables worth showing.
    ``defaults``: what stands for variables that are not given, where it is not the usual.
    ``one_run``: it takes the session of a run in place of the settings.
    """

    target: str
    about: str
    variables: str = ""
    uses: str = ""
    example: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    one_run: bool = False

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the variables that it reads, in the order of ``VARIABLES``."""
        named = self.variables.split()
        return tuple(name for name in VARIABLES if name in named)


# fmt: off
COMMANDS: dict[str, Command] = {
    "test-kernel": Command("harness.commands.one_kernel:test_kernel",
        "apply, build, boot, test, report: the whole main job",
        f"{_CASES} PATCHES MAXFAIL DUMP KTAP", "",
        {"KERNEL": "6.12", "TESTS": "sigbus and not exec"}),
    "test-series": Command("harness.commands.test_series:test_series",
        "the same after each patch of the series, from none to all; one table", _CASES,
        "run console", {"SERIES": "~/v15.mbox"}),
    "seen-red": Command("harness.commands.seen_red:see_red",
        "each clause's cases on kernels with a mistake in it: they must fail there",
        f"{_CASES} PATCHES", "run console", {"VARIANT": "pins-ignored,flag-stays"}),
    "mutants": Command("harness.commands.mutants:mutants",
        "small mistakes in the changed lines, each planted alone: which does no case notice?",
        f"{_GUEST} PATCHES TESTS WORKLOADS RUN GUEST_FILES SAMPLE SEED PATCH FUNCTION"
        " ENGINE SCHEDULER", "",
        {"SAMPLE": "60", "SEED": "1"}),
    "test-regression": Command("harness.commands.test_regression:test_regression",
        "the kernel's own selftests without the series and with it: what differs",
        f"{_GUEST} PATCHES TESTS", "", {"TESTS": "ksm"}),
    "revision": Command("harness.commands.revision.command:revision",
        "each patch against the base, the whole against PREVIOUS=; reply.txt",
        f"{_CASES} PREVIOUS STATICS MUTANTS SCORE KTAP NOTES", "run look mutate console",
        {"SERIES": "~/v15", "PREVIOUS": "~/v14.mbox"}),
    "soak": Command("harness.commands.soak:soak",
        "repeat KIND= with fresh seeds for MINUTES=, resumable; without KIND= the table",
        f"{_GUEST} PATCHES KIND MINUTES SEED", "", {"KIND": "stress", "MINUTES": "30"}),
    "cost": Command("harness.commands.cost.command:cost",
        "what the series costs, in instructions: base against series, judged by cost.yaml",
        f"{_GUEST} PATCHES TESTS REPEAT", "", {"KERNEL": "6.12"}),
    "example": Command("harness.commands.example.command:example",
        "a user's day with the image cache of examples/cache: docs/example-cache.md and its plot",
        f"{_GUEST} PATCHES TESTS", "", {"KERNEL": "6.12"}, {"PROJECT": "volatile-swapless"},
        one_run=True),
    "repro": Command("harness.commands.repro:repro",
        "races on demand: RACE= with and without the protection; FROM= tries a claim about one",
        f"{_GUEST} PATCHES RACE FROM PROGRAM MODE EXPLAIN RUNS", "", {"RACE": "all"}),
    "finding": Command("harness.commands.finding:finding",
        "a failure as one file that replays it where Python and QEMU are: finding-ID.pyz",
        f"ID FROM RUNS REPEAT JOBS SANDBOX {_STORE}", "", {"ID": "1f0a6bc2"}),
    "back": Command("harness.commands.back:back",
        "records a failing case on one CPU, and goes back to the last write to ADDRESS=",
        f"ID FROM ADDRESS FUNCTION JOBS SANDBOX {_STORE}", "",
        {"ID": "1f0a6bc2", "ADDRESS": "rdi+0x10"}),
    "drgn": Command("harness.commands.drgn_core:drgn_core",
        "the memory that DUMP=1 has kept: tasks, stacks, the VMAs and page tables of who ran",
        f"FROM JOBS SANDBOX {_STORE}"),
    "race-search": Command("harness.commands.race_search:race_search",
        "which order of a program's threads makes a race strike? found by trying them",
        f"{_GUEST} PATCHES PROGRAM FUNCTION PATCH BUDGET SEED RUNS MODE", "",
        {"PROGRAM": "fork-vote", "FUNCTION": "copy_page_range"}, one_run=True),
    "why-locked": Command("harness.commands.why_locked:why_locked",
        "each lock, barrier, flush, re-test, READ_ONCE taken away: does a case or an order tell?",
        f"{_GUEST} PATCHES TESTS WORKLOADS RUN GUEST_FILES PROGRAM FUNCTION PATCH BUDGET SEED RUNS",
        "", {"PATCH": "4"}),
    "build-matrix": Command("harness.commands.matrix:build_matrix",
        "the series built for other configurations and architectures (CELL=: one)",
        f"{_GUEST} PATCHES CELL", "run", {"CELL": "arm64"}),
    "try-config": Command("harness.commands.try_config:try_config",
        "what of CONFIG= the bare tree refuses, and why, in seconds (all: of every flavour)",
        f"PROJECT KERNEL REF CONFIG LLVM JOBS SANDBOX {_STORE}", "",
        {"KERNEL": "~/linux", "CONFIG": "all"}, one_run=True),
    "static-checks": Command("harness.commands.static_checks:static_checks",
        "checkpatch, sparse and kernel-doc of each patch, against the patch before",
        f"{_SOURCE} PATCHES CONFIG LLVM"),
    "plan": Command("harness.commands.plan:plan",
        "a command for each kernel and flavour of a revision, for machines of their own or CI",
        f"{_SOURCE} PREVIOUS CONFIG TESTS STATICS", "console",
        {"KERNEL": "6.1,6.12", "CONFIG": "default,kasan"}),
    "check": Command("tools.check:check",
        "the project's own tests, ruff and mypy: the one gate (SLOW=no: without kernels)",
        "SLOW OUT", "", {"SLOW": "no"}),
    "shell": Command("harness.commands.one_kernel:shell",
        "an interactive shell in the built kernel, console log alongside",
        f"{_GUEST} PATCHES CONSOLE", "", {"CONFIG": "kasan"}, one_run=True),
    "tree": Command("harness.commands.edit:tree",
        "the patched tree as a git branch to edit (TREE= says where)", f"{_SOURCE} PATCHES TREE",
        "", {"TREE": "~/work"}),
    "new-series": Command("harness.commands.new_series.command:new_series",
        "a project for the patches of SERIES=: folders, a contract, cases to be written",
        f"{_SOURCE} NAME", "console", {"NAME": "my-fix", "SERIES": "~/my-fix.mbox"}),
    "refresh": Command("harness.commands.edit:refresh",
        "the edited branch back to patches/, byte-stable", "KERNEL SERIES ALLOW_BIDI TREE"),
    "report": Command("harness.commands.report:report",
        "the runs of one series merged into one clause table", "OUT"),
    "list-tests": Command("harness.commands.one_kernel:list_tests",
        "the guest tests with their clauses, and the workloads with why",
        f"{_GUEST} PATCHES WORKLOADS RUN GUEST_FILES", "", {"SERIES": "~/theirs.mbox"},
        one_run=True),
    "selftest-detectors": Command("harness.commands.one_kernel:selftest_detectors",
        "prove that hangs, oopses, stalls ... are seen on this very kernel", f"{_GUEST} PATCHES",
        one_run=True),
    "b4-check": Command("harness.commands.revision.b4_check:b4_check",
        "for b4 review, by ci/b4-check: a message on standard input, our verdict as JSON", "OUT"),
    "bench": Command("tools.bench:bench",
        "measure cold, repeated and incremental runs, and boot times", f"{_GUEST} REPEAT"),
    "fuzz-input": Command("tools.fuzz_input:fuzz_input",
        "changed mails, consoles, TAP, fragments and results against their readers",
        "MINUTES SEED OUT", "", {"MINUTES": "10"}),
    "newcomer": Command("tools.newcomer:newcomer",
        "the README's two commands on a Debian SUITE= that was just installed, timed (root)",
        "KERNEL SUITE SLOW OUT", "", {"SUITE": "bookworm"}),
    "clean-cache": Command("harness.setup.clean_cache:clean_cache",
        "remove the store", "HARNESS_CACHE HARNESS_CACHE_LIMIT"),
    "help": Command("harness.setup.help:show", "this text"),
}
# fmt: on


def default(variable: str, given: Mapping[str, str]) -> str:
    """What an empty ``variable`` stands for where ``given`` are the others."""
    if variable == "KERNEL" and given.get("PROJECT"):
        return default_kernel(given["PROJECT"])
    return VARIABLES[variable][0]


def command(name: str, asked: Mapping[str, str] | None = None, **more: str) -> str:
    """What to type for the command ``name``, quoted for a shell and, where that reads it, for make.

    Of ``asked`` it names what the command reads and what is not at its default; ``more``
    stands over it, and is always named unless it is empty.
    """
    given = {**(asked or {}), **more}
    words = [PROGRAM, name]
    for variable in COMMANDS[name].reads:
        value = given.get(variable, "")
        if value and (variable in more or value != default(variable, given)):
            # make expands what it is given: $$ is a dollar.
            typed = value.replace("$", "$$") if PROGRAM == "make" else value
            words.append(f"{variable}={shlex.quote(typed)}")
    return " ".join(words)


def similar(word: str, known: Iterable[str]) -> str:
    """``; there is X`` with what ``word`` may have been meant to be, or nothing."""
    close = difflib.get_close_matches(word, known)
    return f"; there is {', '.join(close)}" if close else ""
