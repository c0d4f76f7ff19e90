# SPDX-License-Identifier: GPL-2.0-only
"""Takes the network down under the harness's feet."""

import fcntl
import signal
import socket
import struct

from common import say_ok

SIOCSIFFLAGS = 0x8914

say_ok()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
    fcntl.ioctl(anything, SIOCSIFFLAGS, struct.pack("16sh14x", b"eth0", 0))
signal.pause()
