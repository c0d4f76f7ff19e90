# SPDX-License-Identifier: GPL-2.0-only
"""Each mutant compiled alone: what needs no guest, because the compiler has the verdict.

What has been found out is kept, one file a mutant, so that a killed run goes on where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.build.kconfig import KernelConfig
from harness.build.make import new_warnings
from harness.build.tree import TreeUnderTest
from harness.core.jsondata import read_json, write_json
from harness.core.store import digest, file_digest
from harness.coverage.objects import compiled_folder
from harness.mutants.bench import Bench
from harness.mutants.mutant import Mutant, mutated
from harness.mutants.switched import HOST
from harness.mutants.together import refuse

# What is kept was found out by this code.
_CODE = file_digest(
    *(Path(__file__).with_name(f"{n}.py") for n in ("compiler_verdict", "bench", "together"))
)


@dataclass(frozen=True)
class Compiled:
    """What the compiler made of a mutant.

    Args:
        said: its warning or error; '' where there is none.
        code: a digest of the first object that differs, and of the mutant where others have its
            function as well; '' where none differs, or there is none.
    """

    outcome: Literal["alive", "equivalent", "killed by the build", "invalid"]
    said: str = ""
    code: str = ""


def compile_alone(
    tree: TreeUnderTest,
    config: KernelConfig,
    mutants: Sequence[Mutant],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[int, Compiled]:
    """What the compiler says of each mutant, by number, from the store or found out now.

    Those that are alive can all be switched in one kernel.

    Args:
        tree: of the sound series, whose kernel has been built with ``config``; its log gets a
            line for each mutant that was compiled.
        progress: hears how many are done, and of how many.

    Raises:
        MachineError: the disk is full, say.
    """
    tools, log = tree.tools, tree.log
    key = digest(tree.applied.tree, config.text, tools.toolchain.version, _CODE)
    with tools.store.work_dir("mutants", key, tools.events.note) as folder:
        kept = _KnownCompiled(folder)
        found = {m.number: known for m in mutants if (known := kept.of(m)) is not None}
        left = [mutant for mutant in mutants if mutant.number not in found]
        progress(len(found), len(mutants))
        refused = None if left else kept.refused(_alive(mutants, found))
        if refused is None:
            sources = {HOST, *(m.path for m in mutants if m.path.endswith(".c"))}
            own = sorted(f"{path[:-2]}.o" for path in sources)
            with compiled_folder(tree, config, own) as (source, out):
                bench = Bench(tree.applied, source, out)
                for mutant, compiled in _each(bench, left, tools.jobs):
                    found[mutant.number] = compiled
                    kept.keep(mutant, compiled)
                    _tell(log, mutant, compiled)
                    progress(len(found), len(mutants))
                alive = _alive(mutants, found)
                refused = refuse(bench, alive)
                kept.keep_refused(alive, refused)
    for number, why in refused.items():
        found[number] = Compiled("invalid", f"it cannot be switched: {why}")
    return found


def _alive(mutants: Sequence[Mutant], found: Mapping[int, Compiled]) -> list[Mutant]:
    return [mutant for mutant in mutants if found[mutant.number].outcome == "alive"]


def _each(bench: Bench, mutants: Sequence[Mutant], jobs: int) -> Iterator[tuple[Mutant, Compiled]]:
    """Each mutant with what came of it, as it comes; several compilers run at once."""
    with ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(judge_alone, bench, mutant): mutant for mutant in mutants}
        try:
            for run in as_completed(runs):
                yield runs[run], run.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def judge_alone(bench: Bench, mutant: Mutant) -> Compiled:
    """Compiles a mutant, for each object that has its function until one is another."""
    names = bench.objects(mutant.path, mutant.function)
    if not names:
        return Compiled("invalid", "no object of this kernel has it")
    text = mutated((bench.source / mutant.path).read_bytes(), mutant)
    for name in names:
        sound = bench.sound_object(name)
        made = bench.made_of(name, {mutant.path: text})
        if made.data is None:
            by_warning = all("[-Werror" in error for error in made.errors)
            said = made.errors[0] if made.errors else ""
            return Compiled("killed by the build" if by_warning else "invalid", said)
        if fresh := new_warnings(made.warnings, sound.warnings):
            return Compiled("killed by the build", str(fresh[0]))
        if made.data != sound.data:
            if lacking := bench.lacking(made.data, sound.data or b""):
                return Compiled("invalid", f"the kernel has no {', '.join(lacking)}")
            # Two mutants of a header may be the same in one of the objects and differ in others.
            alike = mutant.key if len(names) > 1 else ""
            return Compiled("alive", code=hashlib.sha256(made.data + alike.encode()).hexdigest())
    return Compiled("equivalent")


def _tell(log: Path, mutant: Mutant, compiled: Compiled) -> None:
    where = f"{mutant.path}:{mutant.line}: {mutant.operator}"
    with open(log, "a", encoding="utf-8") as rows:
        rows.write(f"{where}: {compiled.outcome} {compiled.said}".rstrip() + "\n")


@dataclass(frozen=True)
class _KnownCompiled:
    """What is known, in a folder of one tree, configuration and compiler."""

    folder: Path

    def _place(self, *what: object) -> Path:
        return self.folder / f"{digest(*what)}.json"

    def _of(self, mutant: Mutant) -> Path:
        return self._place(mutant.path, [vars(edit) for edit in mutant.edits])

    def of(self, mutant: Mutant) -> Compiled | None:
        """What came of a mutant of whatever number."""
        place = self._of(mutant)
        return read_json(Compiled, place) if place.is_file() else None

    def keep(self, mutant: Mutant, compiled: Compiled) -> None:
        """Keeps that."""
        write_json(self._of(mutant), compiled)

    def _together(self, mutants: Sequence[Mutant]) -> Path:
        return self._place("together", [self._of(mutant).name for mutant in mutants])

    def refused(self, mutants: Sequence[Mutant]) -> dict[int, str] | None:
        """Which of the mutants cannot be switched together, by number; None: not known."""
        place = self._together(mutants)
        if not place.is_file():
            return None
        why = read_json(dict[str, str], place)
        return {m.number: why[at] for m in mutants if (at := self._of(m).name) in why}

    def keep_refused(self, mutants: Sequence[Mutant], refused: Mapping[int, str]) -> None:
        """Keeps that."""
        why = {self._of(m).name: refused[m.number] for m in mutants if m.number in refused}
        write_json(self._together(mutants), why)
