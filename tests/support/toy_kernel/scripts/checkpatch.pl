#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The toy's stand-in: it minds added lines with XXX, as the real one would say it.
for patch; do :; done
awk -v name="$patch" '
	/^\+\+\+ b\// { file = substr($2, 3); next }
	/^@@ / { split($3, at, /[+,]/); line = at[2] - 1; next }
	file == "" && /XXX/ { print name ":" NR ": WARNING:TYPO: XXX in the message"; found = 1 }
	/^[ +]/ { line++ }
	/^\+.*XXX/ { print file ":" line ": CHECK:XXX: Prefer not to"; found = 1 }
	END { exit found }' "$patch"
