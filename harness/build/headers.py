# SPDX-License-Identifier: GPL-2.0-only
"""The installed uapi headers of a patched tree: what guest programs are compiled against.

Installing them is a shell and a preprocessor run for each of 900 files, 8 s of
processor time. It needs no configuration and leaves most of both CPUs to others, so it is
done beside the stage config, and only where a file that it can depend on has changed.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.build.make import BuildLog, failure, tell_refused
from harness.build.toolchain import environment, inside, make_argv
from harness.build.tree import TreeUnderTest
from harness.core import git, proc
from harness.core.folders import remove_folder
from harness.core.sandbox import taken
from harness.core.store import digest
from harness.series.worktree import SourceTree

# What `make headers` reads: the headers, the tables of system calls, and kbuild with its tools.
_READ = re.compile(
    r"(include/uapi/|scripts/|tools/(build|include|scripts)/|arch/[^/]+/(include/uapi|tools|entry|kernel/syscalls)/)"
    r"|(.*/)?(Makefile|Kbuild)[^/]*$"
)


@functools.lru_cache(maxsize=4)  # a run asks twice, and listing a kernel takes 0.1 s
def _state(repo: Path, commit: str) -> str:
    """A hash of every file that the headers can depend on."""
    files = git.tree_files(repo, commit)
    return digest({path: blob for path, blob in files.items() if _READ.match(path)})


def _no_headers(folder: str, names: list[str]) -> set[str]:
    """What stays behind: kbuild's own files, and links, which may lead to the user's."""
    own = shutil.ignore_patterns(".*", "*.hdrtest")(folder, names)
    paths = [Path(folder, name) for name in names]
    return own | {p.name for p in paths if p.is_symlink() or not (p.is_file() or p.is_dir())}


def install_headers(tree: TreeUnderTest, source: SourceTree | None = None) -> Path:
    """The folder of installed uapi headers (an -isystem path), from the store or made now.

    What make says goes to headers.log, beside the log of the tree.

    Args:
        source: the patched tree, where the caller holds it already.

    Raises:
        HarnessError: see ``make.failure``.
    """

    tools, own = tree.tools, tree.log.with_name("headers.log")

    def make(draft: Path) -> None:
        out = draft / "out"
        out.mkdir()
        with contextlib.nullcontext(source) if source else tree.source() as held:
            reader = BuildLog(str(held.path), str(out))
            argv = make_argv(tools, held.path, out, "headers")
            box, listen = inside(tools, held.path, out), reader.feed
            done = proc.run(argv, env=environment(), inside=box, log=own, on_line=listen)
        if done.returncode != 0:
            raise failure(reader, tree, own)
        tell_refused(tools.events, reader.refused, own)
        include = taken(out, "usr/include", Path.is_dir)
        shutil.copytree(include, draft / "include", ignore=_no_headers)
        remove_folder(out)

    inputs = _state(tree.applied.repo, tree.applied.commit), tools.toolchain.version
    return tools.store.entry("headers", inputs, make, tools.events.note).path / "include"


@contextlib.contextmanager
def installing(tree: TreeUnderTest, source: SourceTree) -> Iterator[None]:
    """``install_headers`` of ``source``, while the block runs."""
    with ThreadPoolExecutor(1, initializer=proc.give_way) as beside:
        making = beside.submit(install_headers, tree, source)
        yield
        making.result()
