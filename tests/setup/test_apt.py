# SPDX-License-Identifier: GPL-2.0-only
"""apt is asked for exact names, and takes from other suites only what Debian's keys vouch for."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.core.store import Store
from harness.setup import apt
from harness.setup.fetch import UnavailableError
from tests.support.web import served

DATA = Path(__file__).parent / "data"
needs_apt = pytest.mark.skipif(
    not apt.available() or shutil.which("gpg") is None, reason="no apt or no gpg here"
)


# --- names -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "package", "version"),
    [
        # Debian 13 has no linux-source-6.1, and takes that for a pattern.
        ("policy-trixie.txt", "linux-source-6.1", None),
        ("policy-trixie.txt", "linux-source-6.12", "6.12.117-1"),
        ("policy-bookworm.txt", "linux-source-6.1", "6.1.192-3"),
        # A name that something depends on, with no package.
        ("policy-none.txt", "awk", None),
        ("policy-none.txt", "linux-source-9.9", None),
    ],
)
def test_the_candidate_is_that_of_the_very_package(
    file: str, package: str, version: str | None
) -> None:
    policy = (DATA / file).read_text()
    assert apt.read_candidate(policy, package) == version


def test_no_system_package_is_a_pattern_to_apt() -> None:
    """apt-get install takes a name with one of ``.?*`` for a pattern where it has no such package.

    A sign at its end is an order to remove it, or to mark it.
    """
    text = (Path(apt.__file__).with_name("packages.json")).read_text()
    names = re.findall(r'"apt": "([^"]+)"', text)
    assert len(names) > 20
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*[a-z0-9]", name) for name in names)


# --- a suite elsewhere -------------------------------------------------------------


def gpg(home: Path, *words: str) -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", *words]
    return subprocess.run(command, check=True, capture_output=True).stdout


def new_key(home: Path) -> bytes:
    """Makes a key without a password; its public half."""
    home.mkdir(mode=0o700)
    gpg(home, "--passphrase", "", "--quick-gen-key", "toy@example.org", "ed25519", "sign", "never")
    return gpg(home, "--export")


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, bytes]]]:
    """The archive's key and a stranger's: the folder of each, and its public half."""
    # A socket of gpg's agent needs a short path.
    folder = Path(tmp_path_factory.mktemp("k"))
    homes = {name: folder / name for name in ("archive", "stranger")}
    yield {name: (home, new_key(home)) for name, home in homes.items()}
    for home in homes.values():
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)


@dataclass
class Archive:
    """One suite, toy, with one package, toy-source 1.2; ``home`` has its key."""

    folder: Path
    home: Path
    uri: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def deb(self) -> Path:
        return self.folder / "pool" / "toy-source_1.2_all.deb"

    @property
    def index(self) -> Path:
        return self.folder / "dists" / "toy" / "main" / "binary-amd64" / "Packages"

    def build(self) -> None:
        tree = self.folder.parent / "deb"
        (tree / "DEBIAN").mkdir(parents=True)
        control = (
            "Package: toy-source\nVersion: 1.2\nArchitecture: all\n"
            "Maintainer: Toy <toy@example.org>\nDescription: toy\n"
        )
        (tree / "DEBIAN" / "control").write_text(control)
        self.deb.parent.mkdir(parents=True)
        words = ["dpkg-deb", "--build", str(tree), str(self.deb)]
        subprocess.run(words, check=True, capture_output=True)
        content = self.deb.read_bytes()
        self.index.parent.mkdir(parents=True)
        self.index.write_text(
            f"{control}Filename: pool/{self.deb.name}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        )

    def sign(self, home: Path) -> None:
        suite, content = self.folder / "dists" / "toy", self.index.read_bytes()
        release = suite / "Release"
        now = time.strftime("%a, %d %b %Y %T UTC", time.gmtime())
        release.write_text(
            "Origin: Debian\nLabel: Debian\nSuite: toy\nCodename: toy\nComponents: main\n"
            f"Architectures: amd64 all\nDate: {now}\n"
            f"SHA256:\n {hashlib.sha256(content).hexdigest()} {len(content)} "
            "main/binary-amd64/Packages\n"
        )
        signed = suite / "InRelease"
        gpg(home, "--yes", "--clearsign", "--output", str(signed), str(release))
        release.unlink()


@pytest.fixture
def archive(
    tmp_path: Path, keys: dict[str, tuple[Path, bytes]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Archive]:
    """The archive on a web server; apt is given the public half of its key as Debian's."""
    home, public = keys["archive"]
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(public)
    monkeypatch.setattr(apt, "KEYRINGS", (tmp_path / "none.pgp", keyring))
    made = Archive(tmp_path / "archive", home)
    made.build()
    made.sign(home)
    with served(made.folder) as (made.uri, made.asked):
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", 1 << 30)


@needs_apt
def test_a_suite_elsewhere_gives_its_package_and_the_machines_sources_stay(
    archive: Archive, store: Store, tmp_path: Path
) -> None:
    before = apt.archives()
    with apt.suite_lists(store, "toy", archive.uri) as options:
        assert apt.archives(options) == {"Debian": f"{archive.uri}/"}
        assert apt.known(options) == {"toy-source"}
        assert apt.candidate("toy-source", options) == "1.2"
        assert apt.candidate("toy-sourc.", options) is None
        apt.download({"toy-source": "1.2"}, tmp_path, options)
    (found,) = tmp_path.glob("*.deb")
    assert found.read_bytes() == archive.deb.read_bytes()
    assert apt.archives() == before


def refusal(archive: Archive, store: Store) -> str:
    with (
        pytest.raises(UnavailableError) as caught,
        apt.suite_lists(store, "toy", archive.uri),
    ):
        pass
    return str(caught.value)


@needs_apt
def test_an_index_that_was_changed_after_it_was_signed_is_not_taken(
    archive: Archive, store: Store
) -> None:
    archive.index.write_text(archive.index.read_text().replace("1.2", "6.6"))
    assert "could not be fetched" in refusal(archive, store)


@needs_apt
def test_a_suite_that_a_stranger_signed_is_not_taken(
    archive: Archive, store: Store, keys: dict[str, tuple[Path, bytes]]
) -> None:
    archive.sign(keys["stranger"][0])
    assert "could not be fetched" in refusal(archive, store)


@needs_apt
@pytest.mark.parametrize("weakened", [False, True])
def test_a_suite_that_nobody_signed_is_not_taken(
    archive: Archive, store: Store, weakened: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even on a machine whose own sources may be unsigned."""
    signed = archive.folder / "dists" / "toy" / "InRelease"
    text = signed.read_text().partition("\n\n")[2].partition("-----BEGIN PGP SIGN")[0]
    signed.with_name("Release").write_text(text)
    signed.unlink()
    if weakened:
        (tmp_path / "weak.conf").write_text(
            'Acquire::AllowInsecureRepositories "true";\nAPT::Get::AllowUnauthenticated "true";\n'
        )
        monkeypatch.setenv("APT_CONFIG", str(tmp_path / "weak.conf"))
    assert "could not be fetched" in refusal(archive, store)


@needs_apt
def test_a_package_that_is_not_what_the_index_says_is_not_taken(
    archive: Archive, store: Store, tmp_path: Path
) -> None:
    content = bytearray(archive.deb.read_bytes())
    content[-1] ^= 1
    archive.deb.write_bytes(content)
    with (
        apt.suite_lists(store, "toy", archive.uri) as options,
        pytest.raises(UnavailableError, match=r"toy-source 1\.2 could not be downloaded"),
    ):
        apt.download({"toy-source": "1.2"}, tmp_path, options)
    assert not list(tmp_path.glob("*.deb"))


@needs_apt
def test_lists_are_fetched_once_a_day_and_old_ones_serve_offline(
    archive: Archive, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version() -> str | None:
        with apt.suite_lists(store, "toy", archive.uri) as options:
            return apt.candidate("toy-source", options)

    assert version() == "1.2"
    asked = len(archive.asked)
    assert version() == "1.2" and len(archive.asked) == asked
    (stamp,) = store.root.glob("work/apt/*/fetched")
    old = time.time() - apt.LISTS_AGE_S - 60
    os.utime(stamp, (old, old))
    archive.index.write_text(archive.index.read_text().replace("Version: 1.2", "Version: 1.3"))
    archive.sign(archive.home)
    # HTTP's times are whole seconds, and apt asks for what is newer.
    for changed in (archive.index, *archive.folder.glob("dists/toy/InRelease")):
        os.utime(changed, (time.time() + 10, time.time() + 10))
    assert version() == "1.3" and len(archive.asked) > asked
    os.utime(stamp, (old, old))
    shutil.rmtree(archive.folder / "dists")
    assert version() == "1.3"


@needs_apt
def test_without_debians_keys_nothing_is_asked(
    archive: Archive, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(apt, "KEYRINGS", (tmp_path / "none",))
    assert "debian-archive-keyring" in refusal(archive, store)
    assert archive.asked == []


@needs_apt
def test_a_machine_without_lists_gets_its_own_in_the_store(
    archive: Archive, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a fresh image is: it has sources, and no lists."""
    sources = tmp_path / "sources.list"
    sources.write_text(f"deb [signed-by={apt.KEYRINGS[1]}] {archive.uri} toy main\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "machine.conf").write_text(
        f'Dir::Etc::SourceList "{sources}";\nDir::Etc::SourceParts "/dev/null";\n'
        f'Dir::State::Lists "{tmp_path}/empty";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "machine.conf"))
    with apt.machine_lists(store) as options:
        assert apt.candidate("toy-source", options) == "1.2"
    assert not list((tmp_path / "empty").iterdir())


def test_what_apt_has_parsed_of_the_machines_lists_is_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    asked = tmp_path / "asked"
    answers = {
        "apt-cache": "p:\\n  Installed: (none)\\n  Candidate: 2.0\\n",
        "apt-get": "Debian\\thttp://mirror/debian/\\n",
    }
    for name, answer in answers.items():
        (fake / name).write_text(f"#!/bin/sh\necho \"$@\" >> {asked}\nprintf '{answer}'\n")
        (fake / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    with apt.machine_lists(store) as options:
        assert apt.candidate("p", options) == "2.0"
    calls = asked.read_text().splitlines()
    assert calls[-1].endswith("policy p")
    assert all(f"Dir::Cache::pkgcache={store.root}/apt/" in call for call in calls)
