# SPDX-License-Identifier: GPL-2.0-only
"""A running kernel and what it says: machine, QEMU, console, splats, SSH, guest, snapshot."""
