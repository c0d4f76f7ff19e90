# SPDX-License-Identifier: GPL-2.0-only
"""The compiler, and how the kernel's make is called with it.

Everything that could make two builds of the same input differ is fixed here:
variables from the user's environment do not reach kbuild, and neither do time,
user and host names.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.core import proc
from harness.core.atomic import drafted_file
from harness.core.errors import InvocationError, MachineError
from harness.core.events import Events
from harness.core.sandbox import Inside
from harness.core.store import Store

ARCH = "x86"
_PASSED_ON = ("PATH", "HOME", "TMPDIR", "USER", "LOGNAME")
# What kbuild would read of the user's environment and build another kernel for: refused where it
# is set, to anything but the values here. What only says where to or how loudly (O, KBUILD_OUTPUT,
# V, MAKEFLAGS) is left out of what make gets, like all the rest.
_REFUSED = {
    "ARCH": ("x86", "x86_64"),
    **dict.fromkeys(("CROSS_COMPILE", "LLVM_IAS", "W"), ()),
    **dict.fromkeys(("KCFLAGS", "KCPPFLAGS", "KAFLAGS", "KRUSTFLAGS"), ()),
}


@dataclass(frozen=True)
class Toolchain:
    """``version`` is the first line of the compiler's and the linker's --version.

    ``arch``: as kbuild names it; ``cross``: the prefix of every tool, '' for this machine's own.
    ``nm``: what lists symbols; '' for kbuild's own choice. ``llvm``: LLVM= for kbuild, '' for GCC.
    """

    cc: str
    version: str
    ccache: bool
    arch: str = ARCH
    cross: str = ""
    nm: str = ""
    llvm: str = ""


@dataclass(frozen=True)
class BuildTools:
    """What every step of a build works with; ``jobs``: parallel compilers."""

    store: Store
    events: Events
    toolchain: Toolchain
    jobs: int = 1


def find_toolchain(arch: str = ARCH, cross: str = "", llvm: str = "") -> Toolchain:
    """A compiler of this machine; ccache is used where it is installed.

    Args:
        cross: prefix of a cross compiler's tools, such as 'aarch64-linux-gnu-'.
        llvm: asks for clang and its tools, as LLVM= asks kbuild (Documentation/kbuild/llvm.rst):
            1, a version's suffix such as -19, or a folder with a / at its end.

    Raises:
        InvocationError: the user's environment asks for another build.
        MachineError: there is no compiler.
    """
    for name, value in sorted(os.environ.items()):
        known = () if name.startswith("KCONFIG_") else _REFUSED.get(name, (value,))
        if value and value not in known:
            what = f"{name}={value} is set, for the command or in the environment, and not obeyed"
            why = "a kernel of this input is always built in the same way"
            raise InvocationError(f"{what}: {why}", next_step=f"leave it out, or: unset {name}")
    if llvm:
        return _llvm(llvm, arch, cross)
    version = "; ".join(proc.version(f"{cross}{name}") for name in ("gcc", "ld"))
    # kbuild asks nm about every object, and nm first loads every linker plugin of the machine:
    # 35 ms where LLVM is installed, 10 s of a cold build. The compiler's own nm has its one: 4 ms.
    nm = f"{cross}gcc-nm"
    if shutil.which(nm) is None or proc.run((nm, "--version")).returncode != 0:
        nm = ""
    return Toolchain(f"{cross}gcc", version, shutil.which("ccache") is not None, arch, cross, nm)


def _llvm(value: str, arch: str, cross: str) -> Toolchain:
    """Clang and its tools, by the value of LLVM=."""
    if cross:
        what = f"LLVM={value} is set, and {cross}gcc is what this kernel is built with"
        raise InvocationError(what, next_step="leave LLVM= out, or: unset LLVM")
    prefix = value if value.endswith("/") else ""
    suffix = value if value.startswith("-") else ""
    clang, *others = (f"{prefix}{name}{suffix}" for name in ("clang", "ld.lld", "llvm-nm"))
    missing = [name for name in (clang, *others) if shutil.which(name) is None]
    if missing:
        packages = " ".join(f"{name}{suffix}" for name in ("clang", "lld", "llvm"))
        raise MachineError(
            f"LLVM={value} is set, and {', '.join(missing)} is not installed",
            next_step=f"on Debian and Ubuntu: apt-get install {packages}",
        )
    version = "; ".join(proc.version(name) for name in (clang, others[0]))
    # ccache stands before a compiler that is looked for on PATH.
    ccache = not prefix and shutil.which("ccache") is not None
    return Toolchain(clang, version, ccache, arch, llvm=value)


def environment() -> dict[str, str]:
    """The whole environment of the kernel's make."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | {
        "LC_ALL": "C",
        "KBUILD_BUILD_TIMESTAMP": "Sat Jan  1 00:00:00 UTC 2000",
        "KBUILD_BUILD_USER": "harness",
        "KBUILD_BUILD_HOST": "localhost",
        "KBUILD_BUILD_VERSION": "1",
        "LOCALVERSION": "",
    }


def compiling(tools: BuildTools) -> dict[str, str]:
    """The environment of a make that compiles objects: ccache stands in the compiler's place.

    It is a compiler of the same name in front of the other, and no word of CC=: so the
    configuration, which asks the compiler a few hundred times what it can, does without,
    and for kbuild a build without ccache has the same commands.
    """
    env, folder, links = environment(), _ccache(tools), _compilers(tools)
    if not tools.toolchain.ccache:
        return env
    links.mkdir(parents=True, exist_ok=True)
    link, program = links / tools.toolchain.cc, str(shutil.which("ccache"))
    if not link.is_symlink() or os.readlink(link) != program:
        with drafted_file(link) as draft:
            draft.symlink_to(program)
    return env | {
        "PATH": f"{links}:{env['PATH']}",
        # See docs/build.md for what each of these costs and saves.
        "CCACHE_DIR": str(folder),
        "CCACHE_NOHASHDIR": "1",
        "CCACHE_DEPEND": "1",
        "CCACHE_INODECACHE": "1",
        "CCACHE_SLOPPINESS": "include_file_ctime,include_file_mtime,time_macros",
        "CCACHE_MAXSIZE": str(tools.store.ccache_limit),
    }


def _ccache(tools: BuildTools) -> Path:
    return tools.store.root / "ccache"


def _compilers(tools: BuildTools) -> Path:
    return _ccache(tools) / "compilers"


def inside(tools: BuildTools, source: Path, out: Path) -> Inside:
    """Where the kernel's make runs: ``out`` and ccache's folder are all that it may write."""
    cache = _ccache(tools) if _compilers(tools).is_dir() else None
    if cache is None:
        return Inside(reads=(source,), writes=(out,))
    return Inside(reads=(source, _compilers(tools)), writes=(out, cache))


def make_argv(tools: BuildTools, source: Path, out: Path, *what: str) -> list[str]:
    """The kernel's make for ``what`` (targets and NAME=value), out of tree in ``out``."""
    # One more than there are CPUs: the others' waiting for files is 3 % of a build.
    argv = ["make", "-C", str(source), f"O={out}", f"-j{tools.jobs + 1}"]
    # A target's output stays together, so that a warning has an object.
    return [*argv, "--output-sync=target", *variables(tools.toolchain), *what]


def variables(toolchain: Toolchain) -> list[str]:
    """The NAME=value arguments that every call of the kernel's make has."""
    cross = [f"CROSS_COMPILE={toolchain.cross}"] if toolchain.cross else []
    nm = [f"NM={toolchain.nm}"] if toolchain.nm else []
    llvm = [f"LLVM={toolchain.llvm}"] if toolchain.llvm else []
    return [f"ARCH={toolchain.arch}", *cross, *llvm, f"CC={toolchain.cc}", *nm]
