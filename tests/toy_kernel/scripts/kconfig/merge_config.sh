#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The toy's stand-in: merge_config.sh -n -O OUT FRAGMENT...
set -e
test "$1" = -n && test "$2" = -O
out=$3
shift 3
mkdir -p "$out"
merged=$(mktemp ./.tmp.config.XXXXXXXXXX)
trap 'rm -f "$merged"' EXIT
for fragment in "$@"; do
	echo "Merging $fragment"
	cat "$fragment" >> "$merged"
	echo >> "$merged"
done
make KCONFIG_ALLCONFIG="$(realpath "$merged")" O="$out" allnoconfig
