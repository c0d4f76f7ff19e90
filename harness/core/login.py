# SPDX-License-Identifier: GPL-2.0-only
"""A ROOTFS= image with an init of its own: who logs in on its console, and how one is made."""

from __future__ import annotations

from dataclasses import dataclass, field

# Tried: systemd starts a getty on the serial console by itself, if udev shows it that.
HOW_TO_MAKE_ONE = """an image with an init of its own, from Debian:
  mmdebstrap --variant=minbase --include=systemd-sysv,udev,openssh-server,python3 \\
    --customize-hook='chroot "$1" passwd -d root' bookworm DIRECTORY
  mke2fs -t ext2 -d DIRECTORY IMAGE 700M
or ROOTFS_LOGIN=no, and the harness's init runs in place of the image's"""


@dataclass(frozen=True)
class Login:
    """Who logs in on the serial console of an image with an init of its own."""

    user: str
    password: str | None = field(default=None, repr=False)
