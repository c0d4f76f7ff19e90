#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The toy's stand-in: merge_config.sh [-n] -O OUT FRAGMENT...
set -e
target=alldefconfig
test "$1" != -n || { target=allnoconfig; shift; }
test "$1" = -O
out=$2
shift 2
mkdir -p "$out"
merged=$(mktemp ./.tmp.config.XXXXXXXXXX)
trap 'rm -f "$merged"' EXIT
for fragment in "$@"; do
	echo "Merging $fragment"
	cat "$fragment" >> "$merged"
	echo >> "$merged"
done
make KCONFIG_ALLCONFIG="$(realpath "$merged")" O="$out" "$target"
