# SPDX-License-Identifier: GPL-2.0-only
"""A whole .config of the user's: taken as it is, but for what a guest needs, which is said."""

from __future__ import annotations

import pytest

from harness.build.flavours import Flavour
from harness.build.kconfig import KernelConfig, configure, remarks
from harness.core.errors import InvocationError
from tests.support.toy import Toy

HEAD = (
    "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.7 Kernel Configuration\n#\n"
)
OWN = f"{HEAD}CONFIG_GCC_VERSION=120200\nCONFIG_EXPERT=y\n# CONFIG_SWAP is not set\nCONFIG_GONE=m\n"


def flavour(toy: Toy, own: str, needs: str) -> Flavour:
    path = toy.root / "mine" / ".config"
    path.parent.mkdir(exist_ok=True)
    path.write_text(own)
    return Flavour("mine.config", toy.flavour(needs).fragments, own=path)


def made(toy: Toy, own: str, needs: str) -> tuple[KernelConfig, list[str]]:
    base, applied = toy.apply(None)
    asked = flavour(toy, own, needs)
    config = configure(toy.under_test(base, applied), asked)
    return config, remarks(asked, base, config)


def test_it_is_taken_as_it_is(toy: Toy) -> None:
    config, said = made(toy, OWN.replace("CONFIG_GONE=m\n", ""), "CONFIG_EXPERT=y\n")
    assert {"CONFIG_EXPERT=y", "# CONFIG_SWAP is not set"} <= set(config.text.splitlines())
    # What it does not mention is at its default: it is no fragment over nothing.
    assert "# Toy 6.1.7 alldefconfig" in config.text
    assert said == []


def test_what_a_guest_needs_is_laid_over_it_and_said(toy: Toy) -> None:
    config, said = made(toy, OWN, "CONFIG_SWAP=y\nCONFIG_TOY=y\n")
    assert {"CONFIG_EXPERT=y", "CONFIG_SWAP=y"} <= set(config.text.splitlines())
    assert said == [
        ".config: laid over it: CONFIG_SWAP=y (was n), CONFIG_TOY=y (was n)",
        ".config: otherwise in Linux 6.1.7: GONE is n, not m",
    ]


def test_what_is_open_in_a_file_without_a_head_is_said(toy: Toy) -> None:
    _, said = made(toy, "CONFIG_EXPERT=y\n", "CONFIG_EXPERT=y\n")
    assert said == [
        ".config: not a complete .config: what it leaves open is at this kernel's default"
    ]


def test_only_the_first_symbols_are_on_the_screen_of_a_run(toy: Toy) -> None:
    own = OWN + "".join(f"CONFIG_NO_{n}=y\n" for n in range(9))
    config, said = made(toy, own, "CONFIG_EXPERT=y\n")
    assert said[0].endswith("NO_4 is n, not y and 4 more: see try-config")
    whole = remarks(flavour(toy, own, "CONFIG_EXPERT=y\n"), toy.base(), config, most=None)
    assert whole[0].endswith("NO_8 is n, not y")


def test_what_a_guest_needs_and_the_kernel_refuses(toy: Toy) -> None:
    with pytest.raises(InvocationError, match=r"toy\.config:1: CONFIG_TOY_DRIVER=y: .*not set"):
        made(toy, HEAD, "CONFIG_TOY_DRIVER=y\n")


def test_a_configuration_of_another_architecture(toy: Toy) -> None:
    with pytest.raises(InvocationError, match=r"mine/\.config:3: '# Linux/arm64 .*guests are x86"):
        made(toy, OWN.replace("Linux/x86", "Linux/arm64"), "CONFIG_EXPERT=y\n")


def test_a_line_that_is_none_is_named(toy: Toy) -> None:
    with pytest.raises(InvocationError, match=r"mine/\.config:5: 'CONFIG_EXPERT=': neither"):
        made(toy, f"{HEAD}CONFIG_EXPERT=\n", "CONFIG_EXPERT=y\n")


def test_another_content_is_another_configuration(toy: Toy) -> None:
    one, _ = made(toy, OWN, "CONFIG_TOY=y\n")
    same, _ = made(toy, OWN.replace("DO NOT EDIT", "edited"), "CONFIG_TOY=y\n")
    other, _ = made(
        toy, OWN.replace("CONFIG_EXPERT=y", "# CONFIG_EXPERT is not set"), "CONFIG_TOY=y\n"
    )
    assert one.path == same.path != other.path


def test_its_folder_is_not_written_to(toy: Toy) -> None:
    made(toy, OWN, "CONFIG_TOY=y\n")
    assert [path.name for path in (toy.root / "mine").iterdir()] == [".config"]
