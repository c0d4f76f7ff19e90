# SPDX-License-Identifier: GPL-2.0-only
"""A folder of selftests is built from the patched tree, by its own Makefile."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.store import Store
from harness.workloads.area_selftests import build_folder
from harness.workloads.selftest_sources import SELFTESTS
from tests.coverage.test_changed_lines import tree_of
from tests.support.toy import Toy

AT = f"{SELFTESTS}/net/af_unix"
MAKEFILE = """top_srcdir := ../../../../..
include $(top_srcdir)/@INCLUDED@
TEST_GEN_PROGS := $(NAMED_THERE)
include ../../lib.mk
"""
LIB = """TEST_GEN_PROGS := $(patsubst %,$(OUTPUT)/%,$(TEST_GEN_PROGS))
$(OUTPUT)/%: %.c
	$(CC) $(CFLAGS) $(LDFLAGS) $< -o $@
"""


@pytest.mark.parametrize("included", ["scripts/Makefile.compiler", "tools/scripts/Makefile.arch"])
def test_what_its_makefile_includes_is_there(toy: Toy, tmp_path: Path, included: str) -> None:
    files: dict[str, object] = {
        f"{AT}/Makefile": MAKEFILE.replace("@INCLUDED@", included),
        f"{AT}/unix_connect.c": "int main(void) { return 0; }\n",
        f"{AT}/more.c": "int main(void) { return 0; }\n",
        f"{SELFTESTS}/lib.mk": LIB,
        included: "NAMED_THERE := unix_connect\n",
    }
    tree = tree_of(toy, ("tests", files))  # type: ignore[arg-type]
    headers = tmp_path / "headers"
    headers.mkdir()
    store = Store(tmp_path / "store", 1 << 30)
    # Of a folder that has a list nothing else is built, nor is another line's told to be missing.
    built = build_folder(store, tree, "net/af_unix", headers, 1, ("more", "of_another_line"))
    assert built is not None and (built.programs, built.said) == (("more",), ())
    changed = frozenset({f"{AT}/unix_connect.c", f"{AT}/more.c", f"{SELFTESTS}/mm/a.c"})
    built = build_folder(store, tree, "net/af_unix", headers, 1, ("more",), changed)
    assert built is not None and built.programs == ("more", "unix_connect")
    built = build_folder(store, tree, "net/af_unix", headers, 1)
    assert built is not None and built.programs == ("unix_connect",)


@pytest.mark.parametrize(("folder", "there"), [("mm", ("mm",)), ("kvm", ("kvm", "mm"))])
def test_a_folder_that_no_other_includes_is_unpacked_for_itself_alone(
    toy: Toy, tmp_path: Path, folder: str, there: tuple[str, ...]
) -> None:
    # Its programs are named after the folders that its Makefile finds.
    names = "$(sort $(patsubst ../%/mm.c,%,$(wildcard ../*/mm.c)))"
    makefile = f"top_srcdir := .\nTEST_GEN_PROGS := {names}\ninclude ../lib.mk\n"
    files: dict[str, object] = {f"{SELFTESTS}/lib.mk": LIB}
    for name in ("mm", "kvm"):
        files[f"{SELFTESTS}/{name}/Makefile"] = makefile
        for program in ("mm", "kvm"):
            files[f"{SELFTESTS}/{name}/{program}.c"] = "int main(void) { return 0; }\n"
    tree = tree_of(toy, ("tests", files))  # type: ignore[arg-type]
    headers = tmp_path / "headers"
    headers.mkdir()
    built = build_folder(Store(tmp_path / "store", 1 << 30), tree, folder, headers, 1)
    assert built is not None and built.programs == there
