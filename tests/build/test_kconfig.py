# SPDX-License-Identifier: GPL-2.0-only
"""Every symbol that is asked for is in the result, or the error says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.build.kconfig import FOLDER, Flavour, configure, load_flavour, requests, vanished
from harness.core.errors import InvocationError, SeriesError
from tests.support.toy import WISH, Toy, commit, grow


def test_the_flavours_that_are_there_have_their_fragments() -> None:
    flavour = load_flavour("default")
    assert flavour.fragments
    assert all(path.is_file() for path in flavour.fragments)
    assert requests(flavour.fragments)


def test_an_unknown_flavour_names_those_there_are() -> None:
    with pytest.raises(InvocationError, match=r"CONFIG=fast: .*default"):
        load_flavour("fast", FOLDER)


def asked_of(folder: Path, text: str | bytes) -> dict[str, tuple[str, int]]:
    """``{symbol: (value, line)}`` of a fragment that reads so."""
    path = folder / "own.config"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return {r.symbol: (r.value, r.line) for r in requests([path])}


def test_lines_of_a_fragment(tmp_path: Path) -> None:
    text = '# about\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x y"\nCONFIG_D=0x10\n'
    assert asked_of(tmp_path, text) == {
        "A": ("y", 2),
        "B": ("n", 3),
        "C": ('"x y"', 4),
        "D": ("0x10", 5),
    }


def test_what_a_fragment_may_hold_besides(tmp_path: Path) -> None:
    text = (
        "\t\n  # indented words\n# CONFIG_A=y is what others want\nCONFIG_A=m\nCONFIG_A=m\n"
        'CONFIG_LINE="root=/dev/vda # no comment"\nCONFIG_QUOTED="a \\"b\\" c"\nCONFIG_LEVEL=-3'
    )
    assert asked_of(tmp_path, text) == {
        "A": ("m", 5),
        "LINE": ('"root=/dev/vda # no comment"', 6),
        "QUOTED": ('"a \\"b\\" c"', 7),
        "LEVEL": ("-3", 8),
    }
    assert asked_of(tmp_path, b"CONFIG_A=y\r\n# CONFIG_B is not set\r\n") == {
        "A": ("y", 1),
        "B": ("n", 2),
    }


@pytest.mark.parametrize(
    "line",
    [
        "\ufeffCONFIG_A=y",
        " CONFIG_A=y",
        "\tCONFIG_A=y",
        "CONFIG_A=y\t",
        "CONFIG_A =y",
        "CONFIG_A= y",
        "CONFIG_A=y # because",
        "CONFIG_A=y# because",
        'CONFIG_A="b # c" # because',
        "#CONFIG_A is not set",
        "#  CONFIG_A is not set",
        "# CONFIG_A is not set, because",
        "CONFIG_A=Y",
        "CONFIG_A=",
        "CONFIG_A=words",
        'CONFIG_A="open',
        "CONFIG_A",
        "config_a=y",
        "A=y",
        "include: other.config",
    ],
)
def test_a_line_that_asks_for_nothing_is_named(line: str, tmp_path: Path) -> None:
    first = "" if line.startswith("\ufeff") else "CONFIG_B=y\n"
    with pytest.raises(InvocationError) as caught:
        asked_of(tmp_path, f"{first}{line}\nCONFIG_C=y\n")
    number = 2 if first else 1
    assert caught.value.what.startswith(f"{tmp_path.name}/own.config:{number}: {line!r}: ")
    assert "no blanks around either" in (caught.value.next_step or "")
    assert caught.value.exit_code == 2


def test_a_fragment_that_contradicts_itself(tmp_path: Path) -> None:
    with pytest.raises(
        InvocationError, match=r"own\.config:3: # CONFIG_A is not set: line 1 asks for y"
    ):
        asked_of(tmp_path, "CONFIG_A=y\n\n# CONFIG_A is not set\n")


def test_a_fragment_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvocationError, match=r"own\.config: .*utf-8"):
        asked_of(tmp_path, b"CONFIG_A=\xff\n")
    with pytest.raises(InvocationError, match=r"none\.config"):
        requests([tmp_path / "none.config"])


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
    config = configure(toy.bench(), *toy.apply(None), flavour, toy.log)
    assert {"CONFIG_SWAP=y", "CONFIG_MEMORY=y"} <= set(config.text.split("\n"))


def test_the_later_fragment_has_its_way(tmp_path: Path) -> None:
    one, two = tmp_path / "one.config", tmp_path / "two.config"
    one.write_text("CONFIG_A=y\nCONFIG_B=y\n")
    two.write_text("\n# CONFIG_A is not set\n")
    asked = requests([one, two])
    assert [str(r).partition("/")[2] for r in asked] == [
        "two.config:2: # CONFIG_A is not set",
        "one.config:2: CONFIG_B=y",
    ]
    assert [r.symbol for r in vanished(asked, {"A": "y", "B": "y"})] == ["A"]
    assert not vanished(asked, {"B": "y"})


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


def test_an_optional_symbol_may_be_unknown_but_not_refused(toy: Toy) -> None:
    base, applied = toy.apply(None)
    toy.configure(base, applied, WISH + "# optional: gone in 7.0\nCONFIG_OF_OLD=y\n")
    with pytest.raises(InvocationError, match="CONFIG_MEMORY_HELPER"):
        toy.configure(base, applied, WISH + "# optional: x\nCONFIG_MEMORY_HELPER=y\n")
    with pytest.raises(InvocationError, match="CONFIG_OF_OLD"):
        toy.configure(base, applied, WISH + "# other words\nCONFIG_OF_OLD=y\n")


def test_nothing_is_left_in_the_source_tree(toy: Toy) -> None:
    toy.configure(*toy.apply(None))
    (source,) = (toy.store.root / "work" / "source").iterdir()
    assert not list((source / "tree").glob(".tmp*"))
