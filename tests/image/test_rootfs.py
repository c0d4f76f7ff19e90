# SPDX-License-Identifier: GPL-2.0-only
"""The root file system: packages chosen, keys made, a user's own root taken or refused."""

from __future__ import annotations

import base64
import io
import os
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest

from harness.core import settings
from harness.core.errors import InvocationError, MachineError
from harness.core.events import Events
from harness.core.settings import Login
from harness.core.store import Store
from harness.image import ext2
from harness.image.ext2 import debugfs_script, owner_script
from harness.image.rootfs import (
    INIT_SOURCES,
    build_rootfs,
    check_ext2,
    choose_packages,
    load_recipe,
    missing_from,
    new_host_key,
)
from harness.setup import apt

RECIPE = load_recipe()
PLAIN = replace(
    RECIPE, pythons=("3.11", "3.12"), packages=("libc6", "python{python}-minimal", "new | old")
)


def tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/sbin:/usr/sbin")


needs_tools = pytest.mark.skipif(
    not all(map(tool, ("mke2fs", "debugfs", "gcc"))), reason="needs e2fsprogs and gcc"
)


def inside(image: Path, command: str) -> str:
    """What debugfs says of an image."""
    debugfs = tool("debugfs")
    assert debugfs
    done = subprocess.run(
        [debugfs, "-R", command, str(image)], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The least a user's root must have."""
    root = tmp_path / "given"
    for name in ("usr/bin/python3", "bin/sh", "usr/sbin/dropbear"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"not really {name}")
    return root


@pytest.fixture
def chosen(tmp_path: Path) -> settings.Settings:
    return settings.from_environment({"HARNESS_CACHE": str(tmp_path / "cache")})


def build(chosen: settings.Settings, root: Path | str, events: Events) -> Path:
    store = Store(chosen.cache, 1 << 30)
    return build_rootfs(replace(chosen, rootfs=str(root)), store, events).image


def test_the_oldest_python_that_exists_is_taken() -> None:
    have = {"libc6", "python3.12-minimal", "new", "old"}
    assert choose_packages(PLAIN, have) == (
        ("libc6", "python3.12-minimal", "new"),
        "3.12",
    )


def test_alternatives_are_tried_in_order() -> None:
    have = {"libc6", "python3.11-minimal", "python3.12-minimal", "old"}
    packages, python = choose_packages(PLAIN, have)
    assert packages == ("libc6", "python3.11-minimal", "old") and python == "3.11"


def test_a_package_that_is_nowhere_is_named() -> None:
    have = {"libc6", "python3.11-minimal"}
    with pytest.raises(MachineError, match="new or old") as caught:
        choose_packages(PLAIN, have)
    assert "ROOTFS=" in str(caught.value.next_step)


def test_no_python_at_all() -> None:
    with pytest.raises(MachineError, match=r"python3\.11-minimal or python3\.12-minimal"):
        choose_packages(PLAIN, ())


def test_recipe_has_what_the_guest_needs() -> None:
    names = " ".join(RECIPE.packages)
    for needed in ("python{python}-minimal", "libffi8", "dropbear-bin", "busybox-static", "libc6"):
        assert needed in names
    assert {"proc", "sys", "dev", "run", "tmp", "root", "tests"} <= set(RECIPE.directories)
    assert "/bin/sh" in RECIPE.files["etc/shells"]


def test_host_key_is_one_key_in_three_forms() -> None:
    key = new_host_key()
    blob = base64.b64decode(key.public.split()[1])
    assert blob.startswith(b"\0\0\0\x0bssh-ed25519")
    parsed = paramiko.Ed25519Key.from_private_key(io.StringIO(key.openssh.decode()))
    assert parsed.asbytes() == blob
    (length,) = struct.unpack_from(">I", key.dropbear, 15)
    assert length == 64 and key.dropbear[-32:] == blob[-32:]


def test_two_host_keys_differ() -> None:
    assert new_host_key().public != new_host_key().public


def test_what_a_users_root_lacks_is_named(tree: Path) -> None:
    assert missing_from(tree) == ()
    (tree / "usr/sbin/dropbear").unlink()
    (tree / "usr/bin/python3").unlink()
    assert missing_from(tree) == ("python3", "an SSH server")


def test_a_dangling_link_counts(tree: Path) -> None:
    (tree / "bin/sh").unlink()
    (tree / "bin/sh").symlink_to("busybox")
    assert missing_from(tree) == ()


def test_script_makes_only_the_directories_that_are_missing() -> None:
    script = debugfs_script({"/harness/init": (Path("/x/init"), 0o755)}, frozenset({"proc", "tmp"}))
    assert "mkdir harness\n" in script and "mkdir sys\n" in script
    assert "mkdir proc\n" not in script
    assert "write /x/init /harness/init" in script
    assert "set_inode_field /harness/init mode 0100755" in script


def test_owner_script_names_everything(tmp_path: Path) -> None:
    (tmp_path / "a dir").mkdir()
    (tmp_path / "a dir" / "file").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    script = owner_script(tmp_path)
    for name in ("/a dir", "/a dir/file", "/link"):
        assert f'set_inode_field "{name}" uid 0' in script
        assert f'set_inode_field "{name}" gid 0' in script


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"no file system" * 1000)
    with pytest.raises(InvocationError, match="no ext2 image"):
        check_ext2(image)


def test_a_short_file_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"")
    with pytest.raises(InvocationError, match="no ext2 image"):
        check_ext2(image)


@needs_tools
def test_ext4_is_refused_and_ext2_taken(tmp_path: Path, tree: Path) -> None:
    image = tmp_path / "ext2"
    ext2.make_image(tree, image)
    check_ext2(image)
    ext4 = tmp_path / "ext4"
    mke2fs = tool("mke2fs")
    assert mke2fs
    subprocess.run([mke2fs, "-q", "-t", "ext4", str(ext4), "8M"], check=True, capture_output=True)
    with pytest.raises(InvocationError, match="ext4"):
        check_ext2(ext4)


@needs_tools
def test_a_directory_becomes_an_image(
    tree: Path, chosen: settings.Settings, events: Events
) -> None:
    image = build(chosen, tree, events)
    assert "not really bin/sh" in inside(image, "cat /bin/sh")
    assert "Mode:  0755" in inside(image, "stat /harness/init")
    assert "Type: directory" in inside(image, "stat /tests")
    for name in ("/bin/sh", "/harness/init", "/harness/hostkey.dropbear"):
        assert "User:     0   Group:     0" in inside(image, f"stat {name}")
    assert not (tree / "harness").exists()


@needs_tools
def test_an_image_is_copied_and_completed(
    tmp_path: Path, tree: Path, chosen: settings.Settings, events: Events
) -> None:
    given = tmp_path / "given.img"
    (tree / "proc").mkdir()
    ext2.make_image(tree, given)
    before = given.read_bytes()
    image = build(chosen, given, events)
    assert given.read_bytes() == before
    assert "Type: regular" in inside(image, "stat /harness/init")
    assert "not really bin/sh" in inside(image, "cat /bin/sh")


@needs_tools
@pytest.mark.parametrize(
    ("said", "login"),
    [("root", Login("root")), ("root:", Login("root", "")), ("root:a:b", Login("root", "a:b"))],
)
def test_an_image_with_an_init_is_logged_in_on(
    tmp_path: Path, tree: Path, chosen: settings.Settings, events: Events, said: str, login: Login
) -> None:
    given = tmp_path / "given.img"
    (tree / "sbin").mkdir()
    (tree / "sbin/init").symlink_to("/lib/systemd/systemd")
    ext2.make_image(tree, given)
    chosen = replace(chosen, rootfs=str(given))
    store = Store(chosen.cache, 1 << 30)
    made = build_rootfs(replace(chosen, rootfs_login=said), store, events)
    assert made.login == login
    assert "Type: regular" in inside(made.image, "stat /harness/init")
    other = build_rootfs(replace(chosen, rootfs_login="no"), store, events)
    assert other.login is None and not other.cached
    assert build_rootfs(replace(chosen, rootfs=str(tree)), store, events).login is None


@needs_tools
def test_an_image_that_lacks_something_is_refused(
    tmp_path: Path, tree: Path, chosen: settings.Settings, events: Events
) -> None:
    (tree / "usr/sbin/dropbear").unlink()
    (tree / "sbin").mkdir()
    (tree / "sbin/init").write_text("")
    ext2.make_image(tree, tmp_path / "given.img")
    with pytest.raises(InvocationError, match="lacks an SSH server") as caught:
        build(chosen, tmp_path / "given.img", events)
    assert "mmdebstrap" in str(caught.value.next_step)


@needs_tools
def test_the_image_is_made_once(tree: Path, chosen: settings.Settings, events: Events) -> None:
    store = Store(chosen.cache, 1 << 30)
    given = replace(chosen, rootfs=str(tree))
    first, second = (build_rootfs(given, store, events) for _ in range(2))
    assert not first.cached and second.cached
    assert first.host_key == second.host_key and first.image == second.image
    (tree / "more").write_text("x")
    assert not build_rootfs(given, store, events).cached


def test_a_directory_that_lacks_something_is_refused(
    tree: Path, chosen: settings.Settings, events: Events
) -> None:
    (tree / "usr/sbin/dropbear").unlink()
    with pytest.raises(InvocationError, match="lacks an SSH server") as caught:
        build(chosen, tree, events)
    assert "sshd" in str(caught.value.next_step)


def test_a_root_that_is_not_there_is_refused(
    tmp_path: Path, chosen: settings.Settings, events: Events
) -> None:
    with pytest.raises(InvocationError, match="does not exist"):
        build(chosen, tmp_path / "nowhere", events)


def test_without_apt_the_way_out_is_named(
    tmp_path: Path, chosen: settings.Settings, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="no apt") as caught:
        build(chosen, "", events)
    assert "ROOTFS=" in str(caught.value.next_step)
    assert "python3" in str(caught.value.next_step)


@needs_tools
def test_init_compiles_without_a_warning(tmp_path: Path) -> None:
    subprocess.run(
        [
            "gcc",
            "-static",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-o",
            str(tmp_path / "init"),
            *map(str, INIT_SOURCES),
        ],
        check=True,
    )
    usage = subprocess.run([str(tmp_path / "init")], capture_output=True, text=True, check=False)
    assert usage.returncode == 2 and "usage" in usage.stderr


def test_one_call_of_apt_says_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "apt-cache"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho libc6; echo old\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert apt.known(["-o", "x=y"]) == {"libc6", "old"}
    assert (tmp_path / "calls").read_text() == "-o x=y pkgnames\n"
