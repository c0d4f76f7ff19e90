# SPDX-License-Identifier: GPL-2.0-only
"""The installed uapi headers of a patched tree: what guest programs are compiled against.

Installing them is a shell and a preprocessor run for each of 900 files, 8 s of
processor time. It needs no configuration and leaves most of both CPUs to others, so it is
done beside the stage config, and only where a file that it can depend on has changed.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import git, proc
from harness.apply import Applied
from harness.base import Base
from harness.checkout import Source, source_tree
from harness.errors import InvocationError, SeriesError
from harness.store import digest
from harness.toolchain import Workbench, environment, make_argv

FORMAT = 1

# What `make headers` reads: the headers, the tables of system calls, and kbuild with its tools.
_READ = re.compile(
    r"(include/uapi/|scripts/|tools/(build|include|scripts)/|arch/[^/]+/(include/uapi|tools|entry)/)"
    r"|(.*/)?(Makefile|Kbuild)[^/]*$"
)


def install_headers(
    bench: Workbench, base: Base, applied: Applied, log: Path, source: Source | None = None
) -> Path:
    """The folder of installed uapi headers (an -isystem path), from the store or made now.

    Args:
        log: the run's build.log; what make says goes to headers.log beside it.
        source: the patched tree, where the caller holds it already.

    Raises:
        SeriesError: the patched tree's headers cannot be installed.
        InvocationError: nor can those of the bare base.
    """

    def make(draft: Path) -> None:
        out = draft / "out"
        out.mkdir()
        with (
            source_tree(bench.store, base, applied, bench.events)
            if source is None
            else contextlib.nullcontext(source)
        ) as tree:
            argv = make_argv(bench, tree.path, out, "headers")
            own = log.with_name("headers.log")
            done = proc.run(argv, env=environment(bench.store), log=own)
        if done.returncode != 0:
            _fail(own, applied, base)
        shutil.copytree(
            out / "usr/include",
            draft / "include",
            ignore=lambda _, names: [
                n for n in names if n.startswith(".") or n.endswith(".hdrtest")
            ],
        )
        shutil.rmtree(out)

    files = git.tree_files(applied.repo, applied.commit)
    state = {path: blob for path, blob in files.items() if _READ.match(path)}
    key = digest(FORMAT, state, bench.toolchain.version)
    return bench.store.entry("headers", key, make, bench.waiting).path / "include"


@contextlib.contextmanager
def installing(
    bench: Workbench, base: Base, applied: Applied, log: Path, source: Source
) -> Iterator[None]:
    """Installs the headers of ``source`` into the store while the block runs.

    Raises:
        SeriesError, InvocationError: see ``install_headers``.
    """
    with ThreadPoolExecutor(1, initializer=proc.give_way) as beside:
        making = beside.submit(install_headers, bench, base, applied, log, source)
        yield
        making.result()


def _fail(log: Path, applied: Applied, base: Base) -> None:
    lines = log.read_text("utf-8", "replace").splitlines()
    telling = [line for line in lines if re.search(r"error|\*\*\*", line, re.I)]
    said = "\n".join(telling[:6] or lines[-6:])
    if not applied.patches:
        raise InvocationError(
            f"the uapi headers of KERNEL={base.name} cannot be installed\n{said}",
            evidence=log,
            next_step="choose another KERNEL=",
        )
    raise SeriesError(
        f"the uapi headers of the patched tree cannot be installed\n{said}",
        evidence=log,
        next_step="mend the header that it names; PATCHES=0 shows whether the base's can be",
    )
