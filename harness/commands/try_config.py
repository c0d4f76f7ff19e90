# SPDX-License-Identifier: GPL-2.0-only
"""``make try-config``: what of CONFIG= a kernel tree refuses, and why, in seconds.

Nothing is compiled but kbuild's own programs. The configurations are those of the bare base, and
stay in the store for the run that builds them.
"""

from __future__ import annotations

from harness.build.flavours import HELP, flavour_names, load_flavour
from harness.build.fragments import requests
from harness.build.kconfig import LostSymbolsError, configure, kconfig_tree, remarks
from harness.build.tree import TreeUnderTest
from harness.core.errors import InvocationError
from harness.core.stages import stage
from harness.run.pipeline import base_stage, workbench
from harness.run.session import Session
from harness.series.apply import unpatched

ALL = "all"


def try_config(session: Session) -> None:
    """Configures the tree for CONFIG=, all: for each flavour.

    Raises:
        InvocationError: the tree refuses a symbol.
    """
    every = session.settings.config == ALL
    names = flavour_names() if every else [session.settings.config]
    base, log = base_stage(session), session.out / "build.log"
    bare = TreeUnderTest(workbench(session), base, unpatched(base), log)
    refused: dict[str, list[str]] = {}  # what is told of the symbols: of which flavours
    with kconfig_tree(bare) as source:
        for flavour in map(load_flavour, names):
            try:
                with stage(session.events, flavour.name) as outcome:
                    config = configure(bare, flavour, source=source)
                    asked = requests(flavour.fragments, base.line)
                    outcome.cached = config.cached
                    outcome.detail = f"{len(asked)} symbols as asked, {config.sha256[:12]}"
                for remark in remarks(flavour, base, config, most=None):
                    session.events.note(remark)
            except LostSymbolsError as error:
                refused.setdefault(error.told, []).append(flavour.name)
    if refused:
        what = f"asks for symbols that Linux {base.version} does not grant"
        each = [f"CONFIG={', '.join(of)} {what}\n{told}" for told, of in refused.items()]
        step = "change the line in the fragment, or say above it which kernels it asks: " + HELP
        raise InvocationError("\n".join(each), evidence=log, next_step=step)
