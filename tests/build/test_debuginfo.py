# SPDX-License-Identifier: GPL-2.0-only
"""The debug twin of a kernel: the same text, checked."""

from __future__ import annotations

from harness.build.debuginfo import build_debug, differences
from harness.build.kernel import build, debug_config
from harness.core import proc
from tests.support.toy import WISH, Toy, grow

MAP = """\
ffffffff81000000 T _text
ffffffff81000010 t local_twice
ffffffff81000020 t local_twice
ffffffff81000030 T swap_out
ffffffff82000000 D data
"""


def test_differences_are_told_and_data_does_not_count() -> None:
    assert differences(MAP, MAP.replace("82000000", "83000000")) == []
    assert differences(MAP, MAP.replace("81000030", "81000040")) == [
        "ffffffff81000030 T swap_out only tested",
        "ffffffff81000040 T swap_out only with debug",
    ]
    assert differences(MAP, MAP + "ffffffff81000050 T more\n") == [
        "ffffffff81000050 T more only with debug"
    ]


def test_only_debug_information_is_switched_on() -> None:
    config = "CONFIG_A=y\nCONFIG_DEBUG_INFO_NONE=y\n# CONFIG_DEBUG_INFO_REDUCED is not set\n"
    assert debug_config(config).splitlines() == [
        "CONFIG_A=y",
        "# CONFIG_DEBUG_INFO_NONE is not set",
        "CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y",
        "CONFIG_DEBUG_INFO_REDUCED=y",
    ]


def test_the_twin_has_debug_information_and_the_same_text(toy: Toy) -> None:
    folder = toy.series(("more", {"mm/swap.c": grow}))
    kernel = toy.build(folder)
    base, applied = toy.apply(folder)
    debug = build_debug(toy.under_test(base, applied), kernel)
    assert not debug.differences, debug.differences
    assert not debug.cached
    sections = proc.capture(("readelf", "-S", str(debug.vmlinux))).decode()
    assert ".debug_info" in sections
    address = next(
        line.split()[0]
        for line in kernel.system_map.read_text().splitlines()
        if line.endswith(" grown")
    )
    where = proc.capture(("addr2line", "-e", str(debug.vmlinux), address)).decode()
    assert where.partition(":")[0].endswith("mm/swap.c")
    assert build_debug(toy.under_test(base, applied), kernel).cached


def test_the_tested_kernels_folder_is_left_alone(toy: Toy) -> None:
    folder = toy.series(("more", {"mm/swap.c": grow}))
    kernel = toy.build(folder)
    base, applied = toy.apply(folder)
    build_debug(toy.under_test(base, applied), kernel)
    toy.made()
    toy.build(toy.series(("other", {"mm/madvise.c": grow})))
    assert toy.made() == ["mm/madvise.o", "mm/swap.o"]


def test_a_kernel_with_debug_information_is_booted_without(toy: Toy) -> None:
    base, applied = toy.apply(toy.series(("more", {"mm/swap.c": grow})))
    config = toy.configure(base, applied, WISH)
    kernel = build(toy.under_test(base, applied), config, debug=True)
    debug = proc.capture(("readelf", "-S", str(kernel.entry / "debug"))).decode()
    booted = proc.capture(("readelf", "-S", str(kernel.vmlinux))).decode()
    assert ".debug_info" in debug and ".debug_info" not in booted
    ordinary = build(toy.under_test(base, applied), config)
    assert ordinary.entry != kernel.entry and not (ordinary.entry / "debug").exists()
