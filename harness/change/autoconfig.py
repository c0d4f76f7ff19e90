# SPDX-License-Identifier: GPL-2.0-only
"""Switches on what the files of a series need: a fragment of its own on top of the flavour.

What the flavour itself decides stays as it is. Each line of the fragment is checked in the
configuration that comes of it, as those of the flavour are; what the tree does not grant is taken
back, and the file that needs it is told to be missing.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.build.explain import read_kconfig
from harness.build.flavours import Flavour
from harness.build.fragments import NOT_SET, read_values, requests
from harness.build.kconfig import Beside, KernelConfig, LostSymbolsError, configure
from harness.build.tree import TreeUnderTest
from harness.change.kunit import NEEDED, kunit_files
from harness.change.makefiles import needed_symbols
from harness.change.switches import Kconfig, Proposal, Refusal
from harness.change.touched import Touched, touched_files
from harness.core.atomic import write_atomically
from harness.series.apply import Applied
from harness.series.base import Base

FRAGMENT = "change.config"


@dataclass(frozen=True)
class ChangeConfig:
    """``symbols``: those that were switched on. ``missing``: file -> what keeps it out."""

    config: KernelConfig
    symbols: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WholeChange:
    """The whole series on its base, which is what a configuration is made for.

    So that every state of it, the bare base too, is built with the same one. ``kunit``: with
    the KUnit tests of its files.
    """

    base: Base
    whole: Applied
    kunit: bool = False

    def needs(self, arch: str) -> dict[str, tuple[str, ...]]:
        """The symbols that each of its files of this architecture needs, and each test of one."""
        found = {}
        tree = self.whole
        read = functools.cache(tree.read)  # files of one folder have the same Makefiles
        files = touched_files(tree, texts=False)
        for file in files:
            if _compilable(file, arch):
                found[file.path] = needed_symbols(read, file.path) or ()
        for test in kunit_files(tree, files) if self.kunit else ():
            symbols = needed_symbols(read, test.path) or ()
            found[test.path] = (*symbols, *NEEDED)
        return found


def _compilable(file: Touched, arch: str) -> bool:
    here = file.architecture in (None, arch)
    return here and file.kind == "code" and not file.gone and file.path.endswith((".c", ".S"))


def configure_for(
    tree: TreeUnderTest,
    change: WholeChange,
    flavour: Flavour,
    beside: Beside,
    *,
    switch_on: bool = True,
) -> ChangeConfig:
    """The configuration of a tree: the flavour's, and what the change needs on top of it.

    The fragment lies beside the log of the tree.

    Args:
        switch_on: else what is missing is only told.

    Raises:
        InvocationError, SeriesError: the flavour itself cannot be configured.
    """
    base, arch = change.base, tree.tools.toolchain.arch
    plain = configure(tree, flavour, beside)
    needs = change.needs(arch)
    values = read_values(plain.path)
    absent = {
        path: [name for name in names if values.get(name, NOT_SET) == NOT_SET]
        for path, names in needs.items()
    }
    absent = {path: names for path, names in absent.items() if names}
    if not absent:
        return ChangeConfig(plain)
    fixed = frozenset(
        r.symbol for r in requests(flavour.fragments, base.line) if r.value == NOT_SET
    )
    with replace(tree, applied=change.whole).source() as source:
        kconfig = Kconfig(read_kconfig(source.path, arch), values, fixed)
    proposed: dict[str, Proposal] = {}
    missing: dict[str, str] = {}
    for path, names in absent.items():
        answer = kconfig.propose_all(names)
        if isinstance(answer, Refusal):
            missing[path] = f"needs {answer.why}"
        elif not switch_on:
            wanted = ", ".join(f"CONFIG_{name}" for name in sorted(answer))
            missing[path] = f"needs {wanted}; AUTOCONFIG=0 leaves it so"
        else:
            proposed[path] = answer
    fragment = tree.log.with_name(FRAGMENT)
    while proposed:
        write_atomically(fragment, fragment_of(proposed))
        more = replace(flavour, fragments=(*flavour.fragments, fragment))
        try:
            config = configure(tree, more, beside)
        except LostSymbolsError as error:
            said = "; ".join(line.strip() for line in error.told.splitlines())
            lost = [path for path, names in proposed.items() if names & error.symbols]
            for path in lost or [*proposed]:
                del proposed[path]
                missing[path] = f"needs what the tree does not grant: {said}"
        else:
            symbols = sorted({name for names in proposed.values() for name in names})
            return ChangeConfig(config, tuple(symbols), missing)
    fragment.unlink(missing_ok=True)
    return ChangeConfig(plain, (), missing)


def fragment_of(proposed: Mapping[str, Proposal]) -> str:
    """The fragment: each symbol once, with the first file that needs it."""
    why: dict[str, str] = {}
    for path, names in proposed.items():
        for name in sorted(names):
            why.setdefault(name, path)
    # A state of the series that does not have a symbol yet does without.
    lines = [f"# {path}\n# optional\nCONFIG_{name}=y\n" for name, path in why.items()]
    return "".join(["# What the files of the series need; AUTOCONFIG=0 leaves it out.\n", *lines])
