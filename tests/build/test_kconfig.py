# SPDX-License-Identifier: GPL-2.0-only
"""Every symbol that is asked for is in the result, or the error says why not."""

from __future__ import annotations

import pytest

from harness.build.flavours import Flavour
from harness.build.kconfig import configure
from harness.core.errors import InvocationError, MachineError, SeriesError
from tests.support.toy import WISH, Toy, commit, grow


def test_a_malformed_fragment_is_refused_before_the_tree_is_asked(toy: Toy) -> None:
    with pytest.raises(InvocationError, match=r"kconfig/toy\.config:4: .*neither a request nor"):
        toy.configure(*toy.apply(None), WISH + "CONFIG_OF_NOBODY=y # why\n")
    assert not toy.log.exists()


@pytest.mark.parametrize("text", [WISH.rstrip(), WISH.replace("\n", "\r\n")])
def test_how_a_fragment_ends_its_lines_does_not_matter(text: str, toy: Toy) -> None:
    # Another fragment comes behind it, whose first line must stay one.
    flavour = toy.flavour("")
    first, last = flavour.fragments[0].with_name("a.config"), flavour.fragments[0]
    first.write_bytes(text.encode())
    last.write_text("CONFIG_MEMORY=y\n")
    for script in toy.tree.glob("scripts/kconfig/merge_config.sh"):  # the kernel's adds no line end
        script.write_text(script.read_text().replace('\techo >> "$merged"\n', ""))
    commit(toy.tree, {}, "as the kernel does it")
    flavour = Flavour("toy", (first, last))
    config = configure(toy.under_test(*toy.apply(None)), flavour)
    assert {"CONFIG_SWAP=y", "CONFIG_MEMORY=y"} <= set(config.text.split("\n"))


def test_configured_and_then_cached(toy: Toy) -> None:
    base, applied = toy.apply(None)
    first = toy.configure(base, applied)
    assert "CONFIG_TOY=y" in first.path.read_text()
    second = toy.configure(base, applied)
    assert (first.cached, second.cached) == (False, True)
    assert first.sha256 == second.sha256


def test_a_series_that_leaves_kconfig_alone_uses_the_bases_result(toy: Toy) -> None:
    base, bare = toy.apply(None)
    toy.configure(base, bare)
    _, edited = toy.apply(toy.series(("c", {"mm/swap.c": grow})))
    assert toy.configure(base, edited).cached
    _, edited = toy.apply(toy.series(("k", {"mm/Kconfig": lambda t: t + "\nconfig NEW\n\tbool\n"})))
    assert not toy.configure(base, edited).cached


def test_a_symbol_that_vanishes_is_the_invocations_fault_where_the_base_lacks_it(toy: Toy) -> None:
    base, applied = toy.apply(None)
    text = "CONFIG_TOY=y\nCONFIG_SWAP=y\n\nCONFIG_TOY_DRIVER=y\n"
    with pytest.raises(InvocationError) as caught:
        toy.configure(base, applied, text)
    said = caught.value.what
    assert "kconfig/toy.config:4: CONFIG_TOY_DRIVER=y: the result has it not set" in said
    assert "drivers/Kconfig:5: if EXPERT" in said and "EXPERT is not set" in said
    assert "toy.config:2" not in said
    assert caught.value.evidence == toy.log


def test_a_symbol_that_the_series_takes_away_is_its_fault(toy: Toy) -> None:
    edit = (
        "k",
        {"mm/Kconfig": lambda t: t.replace('bool "Swap"', 'depends on NUMA\n\tbool "Swap"')},
    )
    base, applied = toy.apply(toy.series(edit))
    with pytest.raises(SeriesError, match=r"on the bare base it keeps CONFIG_SWAP") as caught:
        toy.configure(base, applied)
    assert "mm/Kconfig:3: depends on NUMA" in caught.value.what
    assert "NUMA is not set" in caught.value.what
    # The worktree was moved to find out; the next run must not be misled.
    toy.configure(*toy.apply(None))


def test_a_symbol_that_should_be_off_and_is_selected(toy: Toy) -> None:
    base, applied = toy.apply(None)
    text = WISH + "CONFIG_MEMORY=y\n# CONFIG_MEMORY_HELPER is not set\n"
    with pytest.raises(
        InvocationError, match="mm/Kconfig:11: select MEMORY_HELPER, and MEMORY is y"
    ):
        toy.configure(base, applied, text)


def test_a_symbol_of_the_series_itself(toy: Toy) -> None:
    series = toy.series(
        ("k", {"mm/Kconfig": lambda t: t + '\nconfig VOLATILE\n\tbool "Volatile"\n'})
    )
    base, applied = toy.apply(series)
    config = toy.configure(base, applied, WISH + "CONFIG_VOLATILE=y\n")
    assert "CONFIG_VOLATILE=y" in config.path.read_text()
    with pytest.raises(InvocationError, match="no such symbol"):
        toy.configure(*toy.apply(series, 0), WISH + "CONFIG_VOLATILE=y\n")


def test_broken_kconfig_is_the_series_fault(toy: Toy) -> None:
    base, applied = toy.apply(toy.series(("k", {"mm/Kconfig": lambda t: t + "\nsyntaxerror\n"})))
    with pytest.raises(SeriesError, match="Kconfig:1: syntax error"):
        toy.configure(base, applied)
    assert not list((toy.store.root / "config").iterdir())


def test_tools_that_are_too_old_are_the_machines_fault(toy: Toy) -> None:
    words = "***\n*** C compiler is too old.\n***   Your Clang version:    14.0.6\n***\n"
    said = f"{words}scripts/Kconfig.include:45: Sorry, this C compiler is not supported.\n"
    script = toy.tree / "scripts" / "kconfig" / "merge_config.sh"
    script.write_text(f"#!/bin/sh\ncat >&2 <<'EOF'\n{said}EOF\nexit 1\n")
    commit(toy.tree, {}, "a tree that asks for more")
    with pytest.raises(MachineError, match="does not take the compiler") as caught:
        toy.configure(*toy.apply(None))
    assert "Your Clang version:    14.0.6" in caught.value.what
    assert "Kconfig" not in caught.value.what


def test_a_symbol_of_other_kernel_lines_is_not_asked_for(toy: Toy) -> None:
    base, applied = toy.apply(None)  # 6.1
    of_others = "# from 6.2: new there\nCONFIG_OF_LATER=y\n# to 6.0\nCONFIG_OF_OLD=y\n"
    config = toy.configure(base, applied, WISH + of_others)
    assert config.path == toy.configure(base, applied).path  # nothing else was asked
    with pytest.raises(
        InvocationError, match=r"toy\.config:5: CONFIG_OF_OLD=y: .*\n.*no such symbol"
    ):
        toy.configure(base, applied, WISH + "# from 6.0 to 6.1\nCONFIG_OF_OLD=y\n")


def test_an_optional_symbol_may_be_unknown_but_not_refused(toy: Toy) -> None:
    base, applied = toy.apply(None)
    toy.configure(base, applied, WISH + "# optional: a series adds it\nCONFIG_OF_LATER=y\n")
    with pytest.raises(InvocationError, match="CONFIG_MEMORY_HELPER"):
        toy.configure(base, applied, WISH + "# optional: x\nCONFIG_MEMORY_HELPER=y\n")
    # What was granted for being optional is not found in the store by who needs it.
    with pytest.raises(InvocationError, match="CONFIG_OF_LATER"):
        toy.configure(base, applied, WISH + "# other words\nCONFIG_OF_LATER=y\n")


def test_nothing_is_left_in_the_source_tree(toy: Toy) -> None:
    toy.configure(*toy.apply(None))
    (source,) = (toy.store.root / "work" / "source").iterdir()
    assert not list((source / "tree").glob(".tmp*"))
