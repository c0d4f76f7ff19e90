# SPDX-License-Identifier: GPL-2.0-only
"""The C side of a guest test: what a check that fails says of the values."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.core import proc
from harness.image.programs import CFLAGS, GUEST_TESTS

PROGRAM = """
#include "vtest.h"
#include <unistd.h>

static void values(void)
{
	EXPECT_EQ(close(-1), 0);
	errno = 0;
	EXPECT_EQ(-1, 0);
	EXPECT_EQ(-EINVAL, -EPERM + 1);
}

static const struct vt_case cases[] = {
	VT_CASE(values, "", "Shows what was compared."),
};

VT_MAIN(cases)
"""


def test_minus_one_of_libc_has_the_name_of_errno(tmp_path: Path) -> None:
    source, program = tmp_path / "values.c", tmp_path / "values"
    source.write_text(PROGRAM)
    proc.capture(("gcc", *CFLAGS, f"-I{GUEST_TESTS}/lib", "-o", str(program), str(source)))
    done = subprocess.run((program, "--run", "values"), capture_output=True, text=True)
    said = [line for line in done.stdout.splitlines() if "==" in line]
    assert [line.split(": ", 1)[1] for line in said] == [
        "close(-1) == 0: -1 (errno EBADF), 0",
        "-1 == 0: -1, 0",
        "-22 == -1 + 1: -22 (-EINVAL), 0",
    ]
