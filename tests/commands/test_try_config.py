# SPDX-License-Identifier: GPL-2.0-only
"""What a tree refuses of each flavour is said for all of them, and nothing is built."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.build.flavours import Flavour
from harness.commands import try_config as module
from harness.commands.try_config import try_config
from harness.run.session import run_session
from tests.support.toy import WISH, Toy, commit

FLAVOURS = {
    "plain": WISH,
    "broken": "CONFIG_TOY=y\nCONFIG_SWAP=y\n\nCONFIG_TOY_DRIVER=y\n",
    "other": f"{WISH}CONFIG_OF_NOBODY=y\n",
    "later": f"{WISH}# from 7.0\nCONFIG_OF_NOBODY=y\n",
}


@pytest.fixture(autouse=True)
def _flavours(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = toy.root / "kconfig"
    folder.mkdir()
    for name, text in FLAVOURS.items():
        (folder / f"{name}.config").write_text(text)

    def load(name: str) -> Flavour:
        return Flavour(name, (folder / f"{'other' if name == 'same' else name}.config",))

    monkeypatch.setattr(module, "load_flavour", load)
    monkeypatch.setattr(module, "flavour_names", lambda: [*FLAVOURS, "same"])


def tried(toy: Toy, config: str) -> int:
    settings = toy.settings(config=config, out=toy.root / "out")
    return run_session(settings, "try-config", try_config).code


def test_all_that_is_refused_is_said_with_its_place_and_reason(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tried(toy, "all") == 2
    said = capsys.readouterr().out
    assert "CONFIG=broken asks for symbols that Linux 6.1.7 does not grant" in said
    assert "kconfig/broken.config:4: CONFIG_TOY_DRIVER=y: the result has it not set" in said
    assert "drivers/Kconfig:5: if EXPERT" in said
    # What two flavours are refused alike is told once.
    assert "CONFIG=other, same asks for" in said
    assert said.count("kconfig/other.config:4: CONFIG_OF_NOBODY=y: the result has it not set") == 1
    assert "no such symbol in any Kconfig file" in said
    assert "CONFIG=plain" not in said and "CONFIG=later" not in said
    assert "3 symbols as asked" in said
    document = json.loads((toy.root / "out" / "latest" / "results.json").read_text())
    ended = {stage["name"]: bool(stage.get("failed")) for stage in document["stages"]}
    assert [name for name, failed in ended.items() if failed] == ["broken", "other", "same"]
    assert ended.keys() == {"tree", "same", *FLAVOURS}


def test_what_was_tried_needs_no_second_configuration(toy: Toy) -> None:
    assert tried(toy, "plain") == 0
    assert toy.configure(*toy.apply(None)).cached
    # Nothing of the kernel's code was written, and no folder that builds use.
    assert not toy.store.work_path("source", toy.base().key).exists()


def test_a_tree_whose_kconfig_is_broken_is_not_the_series_fault(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(toy.tree, {"mm/Kconfig": lambda text: text + "\nsyntaxerror\n"}, "broken")
    assert tried(toy, "plain") == 2
    assert "Kconfig:1: syntax error" in capsys.readouterr().out


def test_the_patched_tree_is_not_looked_at(toy: Toy, tmp_path: Path) -> None:
    # Its series may not be there for this kernel line; what it changes test-kernel tells.
    settings = toy.settings(config="plain", out=toy.root / "out", series=str(tmp_path / "none"))
    assert run_session(settings, "try-config", try_config).code == 0
