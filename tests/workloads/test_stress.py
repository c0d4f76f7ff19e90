# SPDX-License-Identifier: GPL-2.0-only
"""stress-ng is made of the packages that a distribution has, fetched in one call of apt."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.core.errors import MachineError
from harness.core.store import Store
from harness.setup import apt
from harness.workloads import stress

needs_apt = pytest.mark.skipif(not apt.available(), reason="no apt here")
HERE = {"stress-ng": "usr/bin/stress-ng", "libbsd0": "usr/lib/libbsd.so.0"}
CACHE = """#!/bin/sh
for package; do :; done
case $package in stress-ng|libbsd0)
	printf '%s:\\n  Installed: (none)\\n  Candidate: 1.0\\n' "$package" ;;
esac
"""
GET = """#!/bin/sh
case "$*" in
*indextargets*) printf 'Debian\\thttp://debian.example/\\n' ;;
*download*)
	echo "$*" >> "$DEBS/asked"
	for word; do
		case $word in *=1.0) cp "$DEBS/${word%=*}_1.0_all.deb" . || exit 100 ;; esac
	done ;;
esac
"""


@pytest.fixture
def debs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two packages, which the apt on PATH knows, and no others."""
    folder, programs = tmp_path / "debs", tmp_path / "programs"
    folder.mkdir()
    programs.mkdir()
    for package, path in HERE.items():
        tree = tmp_path / package
        (tree / path).parent.mkdir(parents=True)
        (tree / path).write_text(package)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(
            f"Package: {package}\nVersion: 1.0\nArchitecture: all\n"
            "Maintainer: Toy <toy@example.org>\nDescription: toy\n"
        )
        words = ["dpkg-deb", "--build", str(tree), str(folder / f"{package}_1.0_all.deb")]
        subprocess.run(words, check=True, capture_output=True)
    for name, text in (("apt-cache", CACHE), ("apt-get", GET)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DEBS", str(folder))
    return folder


@needs_apt
def test_all_packages_that_there_are_come_in_one_call(debs: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store", 1 << 30)
    found = stress.fetch(store)
    assert sorted(path.name for path in found.iterdir()) == ["libbsd.so.0", "stress-ng"]
    assert os.access(found / "stress-ng", os.X_OK)
    (asked,) = (debs / "asked").read_text().splitlines()
    assert asked.endswith("download stress-ng=1.0 libbsd0=1.0")
    assert stress.fetch(store) == found
    assert len((debs / "asked").read_text().splitlines()) == 1


@needs_apt
def test_a_package_that_the_mirror_lost_is_named(debs: Path, tmp_path: Path) -> None:
    (debs / "libbsd0_1.0_all.deb").unlink()
    with pytest.raises(MachineError, match=r"packages libbsd0 1\.0 could not be downloaded"):
        stress.fetch(Store(tmp_path / "store", 1 << 30))
