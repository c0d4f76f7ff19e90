# SPDX-License-Identifier: GPL-2.0-only
"""KUnit suites as tests: each prints what the suite said when the kernel booted.

So a suite has a record, is looked at on the bare base, and is selected as any other workload.
What a suite said is read from the kernel's log, the text of the console. debugfs has it as well
and keeps it longer, but of each case Linux 6.1 keeps 511 bytes there: of a case that says much
the result itself is lost.
Source: lib/kunit/test.c and lib/kunit/debugfs.c of the kernel.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from harness.change.kunit import KunitFile
from harness.workloads.regression_selftests import Selftest

GROUP = "kunit"
RESULTS = "/sys/kernel/debug/kunit"
TIMEOUT_S = 10.0  # to print a file
# The cases of a suite stand four columns in; without these they are the test's own results. What
# else the kernel said between them has another margin.
_SCRIPT = r"""#!/bin/sh
suite=@SUITE@ kept=@RESULTS@/@SUITE@/results
said=$(dmesg | sed -E 's/^\[ *[0-9]+\.[0-9]+\](\[ *[TC][0-9]+\])? ?//')
case $said in
*"    # Subtest: $suite
"*) ;;
*)
	if [ ! -e "$kept" ]; then
		echo "skip: no suite of this name ran when the kernel booted"
		exit 4
	fi
	echo "# what the suite said is not in the kernel's log any more; debugfs has this of it:"
	said=$(cat "$kept") ;;
esac
printf '%s\n' "$said" | suite=$suite awk '
	$0 == "    # Subtest: " ENVIRON["suite"] { inside = 1; next }
	!inside { next }
	/^    / { print substr($0, 5); next }
	/^(not )?ok [0-9]+ / {
		name = $0
		sub(/^(not )?ok [0-9]+ (- )?/, "", name)
		if (name != ENVIRON["suite"] && index(name, ENVIRON["suite"] " #") != 1)
			next
		print "# the suite: " $0
		ended = 1
		exit /^not / ? 1 : name ~ / # SKIP/ ? 4 : 0
	}
	END { if (!ended) { print "# the suite did not end"; exit 1 } }'
"""


def tests(files: Iterable[KunitFile]) -> list[Selftest]:
    """A test for each suite of the files."""
    named = {
        f"kunit_{re.sub(r'[^A-Za-z0-9]+', '_', suite)}": (suite, file)
        for file in files
        for suite in file.suites
    }
    return [
        Selftest(
            name, (f"{GROUP}/{name}",), TIMEOUT_S, group=GROUP, own=file.path == file.touched,
            why=f"{file.path}, for {file.touched}; it runs when the kernel boots",
            script=script(suite),
        )
        for name, (suite, file) in named.items()
    ]  # fmt: skip


def script(suite: str) -> str:
    """The shell script that prints the results of a suite's cases, with the suite's own status.

    4, a skip, where the kernel has no such suite or the suite was skipped.
    """
    return _SCRIPT.replace("@SUITE@", shlex.quote(suite)).replace("@RESULTS@", RESULTS)
