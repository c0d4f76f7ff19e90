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
from harness.core.jsondata import read_kept, write_json
from harness.core.store import digest, file_digest
from harness.coverage.objects import compiled_folder
from harness.mutants.bench import Bench
from harness.mutants.mutant import Mutant, mutated
from harness.mutants.switchable import refuse
from harness.mutants.switched_tree import HOST

# What is kept was found out by this code.
_CODE = file_digest(
    *(Path(__file__).with_name(f"{n}.py") for n in ("compiler_verdict", "bench", "switchable"))
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
    """
    tools, log = tree.tools, tree.log
    key = digest(tree.applied.tree, config.text, tools.toolchain.version, _CODE)
    with tools.store.work_dir("mutants", key, tools.events.note) as folder:
        kept = {m.number: read_kept(Compiled, _place(folder, m)) for m in mutants}
        found = {number: known for number, known in kept.items() if known is not None}
        left = [mutant for mutant in mutants if mutant.number not in found]
        progress(len(found), len(mutants))
        refused = None
        if not left:
            refused = read_kept(dict[str, str], _together(folder, _alive(mutants, found)))
        if refused is None:
            sources = {HOST, *(m.path for m in mutants if m.path.endswith(".c"))}
            own = sorted(f"{path[:-2]}.o" for path in sources)
            with compiled_folder(tree, config, own) as (source, out):
                bench = Bench(tree.applied, source, out)
                for mutant, compiled in _each(bench, left, tools.jobs):
                    found[mutant.number] = compiled
                    write_json(_place(folder, mutant), compiled)
                    _tell(log, mutant, compiled)
                    progress(len(found), len(mutants))
                alive = _alive(mutants, found)
                why = refuse(bench, alive)
                refused = {m.key: why[m.number] for m in alive if m.number in why}
                write_json(_together(folder, alive), refused)
    for mutant in mutants:
        if said := refused.get(mutant.key):
            found[mutant.number] = Compiled("invalid", f"it cannot be switched: {said}")
    return found


def _place(folder: Path, mutant: Mutant) -> Path:
    """Where it is kept what came of a mutant, whatever its number."""
    return folder / f"{digest(mutant.path, [vars(edit) for edit in mutant.edits])}.json"


def _together(folder: Path, alive: Sequence[Mutant]) -> Path:
    """Where it is kept which of these cannot be switched in one kernel, and why, by their keys."""
    return folder / f"{digest('together', [mutant.key for mutant in alive])}.json"


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
