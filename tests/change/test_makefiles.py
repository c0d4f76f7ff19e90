# SPDX-License-Identifier: GPL-2.0-only
"""What Makefiles ask for before they build a file: forms that the kernel's own ones have."""

from __future__ import annotations

import pytest

from harness.change.makefiles import needed_symbols

TREE = {
    "Kbuild": "obj-y += mm/ fs/ kernel/\nobj-$(CONFIG_NET) += net/\nobj-y += arch/$(SRCARCH)/\n",
    "mm/Makefile": """
mmu-y := nommu.o
mmu-$(CONFIG_MMU) := highmem.o \\
\t\t     mincore.o
obj-y := filemap.o $(mmu-y) # and more
ifdef CONFIG_CROSS
  obj-$(CONFIG_GATE) += gated.o
else
  obj-y += plain.o
endif
ifeq ($(CONFIG_ONE),y)
obj-y += equal.o
endif
ifneq ($(CONFIG_ONE),)
obj-y += unequal.o
endif
ifneq ($(CONFIG_ONE),y)
obj-y += without.o
endif
""",
    "fs/Makefile": "obj-$(CONFIG_EXT) += ext/\nobj-$(CONFIG_OTHER) += both/\n"
    "obj-$(CONFIG_EXT) += both/\n",
    "fs/ext/Makefile": "obj-$(CONFIG_EXT) += ext.o\next-y := inode.o deep/leaf.o\n"
    "ext-$(CONFIG_ACL) += acl.o\n",
    "fs/both/Makefile": "obj-$(CONFIG_EXT) += b.o\nb-objs := part.o\n",
    "net/Makefile": "obj-$(CONFIG_INET) += ipv4/\n",
    "net/ipv4/Makefile": "obj-y := tcp.o entry_$(BITS).o\n",
    "kernel/Makefile": "obj-y += a.o\n",
    "arch/x86/Kbuild": "obj-y += kernel/\n",
    "arch/x86/Makefile": "# not read: obj-$(CONFIG_NO) += kernel/\n",
    "arch/x86/kernel/Makefile": "obj-y += traps.o\n",
    "loop/Makefile": "a-y := b.o $(b-y)\nb-y := $(a-y)\n",
}


@pytest.mark.parametrize(
    ("path", "symbols"),
    [
        ("mm/filemap.c", ()),
        ("mm/mincore.c", ("MMU",)),
        ("mm/nommu.c", ()),
        ("mm/gated.c", ("CROSS", "GATE")),
        ("mm/plain.c", ()),
        ("mm/equal.c", ("ONE",)),
        ("mm/unequal.c", ("ONE",)),
        ("mm/without.c", ()),
        ("fs/ext/inode.c", ("EXT",)),
        ("fs/ext/acl.c", ("ACL", "EXT")),
        ("fs/ext/deep/leaf.c", ("EXT",)),
        ("fs/both/part.c", ("EXT",)),  # not OTHER: by the way that EXT opens already
        ("net/ipv4/tcp.c", ("INET", "NET")),
        ("net/ipv4/entry_64.S", ("INET", "NET")),
        ("arch/x86/kernel/traps.c", ()),
        ("kernel/included.c", None),
        ("loop/b.c", None),
        ("gone/x.c", None),
    ],
)
def test_symbols_that_a_file_needs(path: str, symbols: tuple[str, ...] | None) -> None:
    assert needed_symbols(lambda name: TREE.get(name, ""), path) == symbols
