# SPDX-License-Identifier: GPL-2.0-only
"""The toy kernel tree as a git repository, and series made from edits to it.

tests/support/toy_kernel is a tree of twenty files that is configured and built as a
kernel is, in half a second.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from harness.build.flavours import Flavour
from harness.build.kconfig import KernelConfig, configure
from harness.build.kernel import KernelBuild, build
from harness.build.toolchain import BuildTools, find_toolchain
from harness.build.tree import TreeUnderTest
from harness.core import git
from harness.core.events import Events
from harness.core.settings import Settings, from_environment
from harness.core.store import Store
from harness.series.apply import Applied, apply_series, unpatched
from harness.series.base import Base
from harness.series.on_top import obtain_base
from harness.series.patches import FORMAT_PATCH, load_series

TOY = Path(__file__).resolve().parent / "toy_kernel"
WISH = "CONFIG_TOY=y\nCONFIG_EXPERT=y\nCONFIG_SWAP=y\n"
Edit = str | None | Callable[[str], str]
Step = tuple[str, Mapping[str, Edit]]


def unpack(target: Path) -> Path:
    """A plain copy of the toy tree."""
    shutil.copytree(TOY, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def commit(tree: Path, edits: Mapping[str, Edit], subject: str) -> None:
    """One commit in a worktree: a new text, None to delete, or a function of the old text."""
    for name, edit in edits.items():
        path = tree / name
        if edit is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(edit if isinstance(edit, str) else edit(path.read_text()))
    git.text(tree, "add", "--all")
    message = f"{subject}\n\nSigned-off-by: Toy Developer <toy@example.org>\n"
    git.text(
        tree,
        "commit",
        "--quiet",
        "--message",
        message,
        env={"GIT_AUTHOR_NAME": "Toy Developer", "GIT_AUTHOR_EMAIL": "toy@example.org",
             "GIT_AUTHOR_DATE": "1700000000 +0100"},
    )  # fmt: skip


def repository(target: Path) -> Path:
    """The toy tree as a git repository with one commit."""
    tree = unpack(target)
    git.text(None, "init", "--quiet", str(tree))
    commit(tree, {}, "base")
    return tree


@dataclass
class Toy:
    """A toy tree, a store, and the whole path from one to the other."""

    root: Path
    tree: Path
    store: Store
    events: Events

    def settings(self, **given: object) -> Settings:
        """Settings with ``given`` fields, for this toy and its store."""
        plain = from_environment({"HOME": str(self.root), "HARNESS_CACHE": str(self.store.root)})
        return replace(plain, **{"kernel": str(self.tree), **given})  # type: ignore[arg-type]

    def bench(self) -> BuildTools:
        return BuildTools(self.store, self.events, find_toolchain(), 2)

    def series(self, *steps: Step, name: str = "series") -> Path:
        """A directory of patches, one for each (subject, edits)."""
        scratch = self.root / f"{name}-tree"
        if not scratch.exists():
            git.text(None, "clone", "--quiet", "--no-hardlinks", str(self.tree), str(scratch))
        start = git.text(scratch, "rev-parse", "origin/HEAD")
        git.text(scratch, "reset", "--quiet", "--hard", start)
        for subject, edits in steps:
            commit(scratch, edits, subject)
        folder = self.root / name
        shutil.rmtree(folder, ignore_errors=True)
        git.text(scratch, *FORMAT_PATCH, f"--output-directory={folder}", start)
        return folder

    def base(self, **given: object) -> Base:
        return obtain_base(self.settings(**given), self.store, self.events)

    def apply(self, folder: Path | None, count: int | None = None) -> tuple[Base, Applied]:
        """The base and the series in ``folder`` on it (None: the bare base)."""
        base = self.base()
        if folder is None:
            return base, unpatched(base)
        series = load_series(self.settings(series=str(folder)), base)
        return base, apply_series(base, series, count, self.store, self.events)

    def flavour(self, text: str = WISH) -> Flavour:
        """A flavour with one fragment."""
        fragment = self.root / "kconfig" / "toy.config"
        fragment.parent.mkdir(exist_ok=True)
        fragment.write_text(text)
        return Flavour("toy", (fragment,))

    @property
    def log(self) -> Path:
        return self.root / "build.log"

    def under_test(self, base: Base, applied: Applied) -> TreeUnderTest:
        return TreeUnderTest(self.bench(), base, applied, self.log)

    def configure(self, base: Base, applied: Applied, text: str = WISH) -> KernelConfig:
        return configure(self.under_test(base, applied), self.flavour(text))

    def build(
        self, folder: Path | None = None, text: str = WISH, *, bzimage: bool = False
    ) -> KernelBuild:
        """Apply, configure, build."""
        base, applied = self.apply(folder)
        config = self.configure(base, applied, text)
        return build(self.under_test(base, applied), config, bzimage=bzimage)

    def made(self) -> list[str]:
        """The objects that the last call of make compiled, by the log; clears it."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return sorted(line.split()[1] for line in lines if line.startswith("  CC "))


def grow(text: str) -> str:
    """An edit: one more function at the end of a C file."""
    return text + "\nint grown(void)\n{\n\treturn 7;\n}\n"
