# SPDX-License-Identifier: GPL-2.0-only
"""What a line of a fragment asks for, which kernels it asks, and what is no request."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from harness.build import fragments
from harness.build.fragments import Request, as_fragment, requests
from harness.core.errors import InvocationError


def asked_of(folder: Path, text: str | bytes) -> dict[str, tuple[str, int]]:
    """``{symbol: (value, line)}`` of a fragment that reads so."""
    path = folder / "own.config"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return {r.symbol: (r.value, r.line) for r in requests([path], "6.12")}


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
        requests([tmp_path / "none.config"], "6.12")


def test_the_later_fragment_has_its_way(tmp_path: Path) -> None:
    one, two = tmp_path / "one.config", tmp_path / "two.config"
    one.write_text("CONFIG_A=y\nCONFIG_B=y\n")
    two.write_text("\n# CONFIG_A is not set\n")
    asked = requests([one, two], "6.12")
    assert [str(r).partition("/")[2] for r in asked] == [
        "two.config:2: # CONFIG_A is not set",
        "one.config:2: CONFIG_B=y",
    ]
    assert [r.symbol for r in asked if not r.granted({"A": "y", "B": "y"})] == ["A"]
    assert all(r.granted({"B": "y"}) for r in asked)


RANGES = """\
# from 6.11: could be left out from then on
CONFIG_NEWER=y
# to 6.9
CONFIG_OLDER=y
# from 5.17 to 6.9: then it was renamed
CONFIG_BETWEEN=m
# from then on it is asked of all
CONFIG_EVER=y
# to 6.11
# CONFIG_CHANGED is not set
# from 6.12
CONFIG_CHANGED=y
"""


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("5.16", "OLDER=y EVER=y CHANGED=n"),
        ("5.17", "OLDER=y BETWEEN=m EVER=y CHANGED=n"),
        ("6.9", "OLDER=y BETWEEN=m EVER=y CHANGED=n"),
        ("6.10", "EVER=y CHANGED=n"),
        ("6.11", "NEWER=y EVER=y CHANGED=n"),
        ("6.12", "NEWER=y EVER=y CHANGED=y"),
        ("10.0", "NEWER=y EVER=y CHANGED=y"),
    ],
)
def test_a_request_asks_the_kernel_lines_that_it_names(
    line: str, asked: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.config"
    path.write_text(RANGES)
    assert " ".join(f"{r.symbol}={r.value}" for r in requests([path], line)) == asked


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("# from 6.x: why\nCONFIG_A=y\n", "own.config:1: '# from 6.x: why': no range"),
        (
            f"# from {'9' * 5000}.1\nCONFIG_A=y\n",
            f"own.config:1: '# from {'9' * 5000}.1': no range",
        ),
        ("# to 6.9, why\nCONFIG_A=y\n", "own.config:1: '# to 6.9, why': no range"),
        ("# from v6.2\nCONFIG_A=y\n", "own.config:1: '# from v6.2': no range"),
        ("#to 6.2\nCONFIG_A=y\n", "own.config:1: '#to 6.2': no range"),
        ("\n# to 6.9: why\n\nCONFIG_A=y\n", "own.config:2: '# to 6.9: why': no request follows"),
        ("CONFIG_A=y\n# to 6.9", "own.config:2: '# to 6.9': no request follows"),
    ],
)
def test_a_range_that_would_do_nothing_is_named(text: str, what: str, tmp_path: Path) -> None:
    with pytest.raises(InvocationError) as caught:
        asked_of(tmp_path, text)
    assert caught.value.what.startswith(f"{tmp_path.name}/{what}")
    assert "# from 6.2: why" in (caught.value.next_step or "")


def test_one_fragment_of_all_requests() -> None:
    asked = [Request("A", "y", "f", 1), Request("B", "n", "f", 2), Request("C", '"x"', "f", 3)]
    assert as_fragment(asked) == 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n'


def test_an_empty_string_may_be_out_of_sight() -> None:
    keys = Request("KEYS", '""', "f", 1)
    assert keys.granted({}) and keys.granted({"KEYS": '""'})
    assert not keys.granted({"KEYS": '"distribution.pem"'})


def test_a_distributions_configuration_may_be_compressed(tmp_path: Path) -> None:
    text = b"CONFIG_A=y\n# CONFIG_B is not set\n"
    for name, packed in (("a.gz", gzip.compress(text)), ("a.xz", lzma.compress(text))):
        path = tmp_path / name
        path.write_bytes(packed)
        assert [r.symbol for r in requests([path], "6.12")] == ["A", "B"]
        half = len(packed) // 2
        for damaged in (packed[:-9], packed[:half] + b"\xff\xff" + packed[half + 2 :]):
            path.write_bytes(damaged)
            with pytest.raises(InvocationError, match=name):
                requests([path], "6.12")


def test_what_unpacks_to_more_than_a_fragment_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fragments, "MAX_CHARS", 1000)
    for name, text in (("a.gz", gzip.compress(b"\n" * 1001)), ("a.config", b"\n" * 1001)):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(InvocationError, match=f"{name}: it is longer than 1000"):
            requests([tmp_path / name], "6.12")
