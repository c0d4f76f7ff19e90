# SPDX-License-Identifier: GPL-2.0-only
"""Commands over SSH: one connection to a guest, one channel a command.

paramiko is restricted to the algorithms that are cheapest for a guest under
TCG (the handshake takes 0.15 s there). The only key that is tried is the run's
own, the only host key that is accepted is the image's, and nothing in the
user's home is read or written.
"""

from __future__ import annotations

import base64
import contextlib
import io
import logging
import os
import secrets
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko.packet import Packetizer

from harness.vm.channel import CaseLine, CommandTimeoutError, SshError, Streams, as_our_errors
from harness.vm.protocol import Ask, Completed, EndedError

ALIAS = "guest"  # to ssh: the port is another for each guest; the host key is the image's
# Seconds. A connection made before the guest listens is lost, not refused; one made after that
# takes 0.12 s to be answered by a guest fresh from its snapshot, and twice that beside others.
PROBE = 0.5

MAX_PACKET_BYTES = 1 << 18  # of 32 KiB of data at most, as paramiko asks for

# A guest that dies makes paramiko's thread log a traceback; we report it ourselves.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class KeyPair:
    """The run's own key."""

    private: paramiko.PKey
    public: str  # BASE64 of the public half
    secret: str = field(repr=False)  # in OpenSSH's format

    @classmethod
    def generate(cls) -> KeyPair:
        """A fresh ed25519 pair that exists in this process only."""
        private = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
        secret = private.decode()
        key = paramiko.Ed25519Key.from_private_key(io.StringIO(secret))
        return cls(key, key.get_base64(), secret)


def command_line(argv: Sequence[str], env: dict[str, str] | None = None) -> str:
    """One line for the guest's shell: ``argv`` quoted, variables set in front."""
    words = [f"{name}={quote(value)}" for name, value in (env or {}).items()]
    return " ".join([*words, *map(quote, argv)])


def connect_socket(port: int, timeout: float, alive: Callable[[], bool]) -> socket.socket:
    """A TCP connection on which an SSH server has begun to speak.

    QEMU accepts for a guest that does not listen yet, and what is sent then is
    lost: only the banner proves a server. It is peeked at, not consumed.

    Raises SshError: none within ``timeout`` seconds, or ``alive`` became false.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and alive():
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=PROBE)
        except OSError:
            time.sleep(0.01)
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Patience grows with time: a slow guest must not meet a new client for ever.
        patience = max(PROBE, 0.2 * (timeout - (deadline - time.monotonic())))
        if select.select([connection], [], [], patience)[0]:
            with contextlib.suppress(OSError):
                if connection.recv(4, socket.MSG_PEEK) == b"SSH-":
                    return connection
        connection.close()
    raise SshError("no SSH server answered")


class _BoundedPackets(Packetizer):
    """paramiko's reader would take a packet of any length that the guest announces."""

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """``n`` bytes of a packet; paramiko.SSHException: they are too many."""
        if n > MAX_PACKET_BYTES:
            raise paramiko.SSHException(f"a packet of {n} bytes")
        said: bytes = super().read_all(n, check_rekey)
        return said


class _QuickTransport(paramiko.Transport):
    """paramiko's transport with the cheapest algorithms only."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.packetizer = _BoundedPackets(connection)

    _preferred_kex = ("curve25519-sha256@libssh.org", "curve25519-sha256")
    _preferred_ciphers = ("aes128-ctr",)
    _preferred_macs = ("hmac-sha2-256",)
    _preferred_keys = ("ssh-ed25519",)
    _preferred_pubkeys = ("ssh-ed25519",)


@dataclass(frozen=True)
class Connection:
    """One authenticated SSH connection to a guest."""

    transport: paramiko.Transport

    @classmethod
    def open(
        cls,
        port: int,
        keys: KeyPair,
        host_key: str,
        timeout: float,
        alive: Callable[[], bool] = lambda: True,
    ) -> Connection:
        """Connects, checks the pinned host key ('ssh-ed25519 BASE64') and logs in as root.

        Raises SshError: no server, another host key, or the login was refused.
        """
        start = time.monotonic()
        transport = _QuickTransport(connect_socket(port, timeout, alive))
        transport.daemon = True
        left = max(1.0, timeout - (time.monotonic() - start))
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = left
        try:
            transport.start_client(timeout=left)
            shown = transport.get_remote_server_key()
            if shown.asbytes() != base64.b64decode(host_key.split()[1]):
                raise SshError(f"port {port} shows another host key than the guest's image has")
            transport.auth_publickey("root", keys.private)
        except (paramiko.SSHException, OSError, EOFError) as error:
            transport.close()
            raise SshError(f"SSH on port {port}: {error or type(error).__name__}") from error
        except BaseException:
            transport.close()
            raise
        return cls(transport)

    def execute(
        self,
        line: str,
        timeout: float,
        stdin: bytes = b"",
        limit: Callable[[], float | None] = lambda: None,
        talk: Callable[[Ask], None] | None = None,
    ) -> Completed:
        """Runs one shell line and collects what it prints.

        Args:
            limit: asked several times a second; once it says a number, at most so
                many seconds are left.
            talk: called while the command runs, with what asks it (protocol.py); its
                input ends when ``talk`` returns.

        Raises:
            SshError: the connection is lost.
            CommandTimeoutError: not over in time; the command may still run.
        """
        deadline = time.monotonic() + timeout
        with as_our_errors(), self.begin(line, timeout) as channel:
            if stdin:
                channel.sendall(stdin)
            streams = Streams(channel, deadline, limit)
            if talk is not None:
                with contextlib.suppress(EndedError):
                    talk(streams.ask)
            channel.shutdown_write()
            streams.read()
            if not channel.status_event.wait(max(0.1, streams.deadline - time.monotonic())):
                raise CommandTimeoutError(*streams.text())
            code = channel.recv_exit_status()
        if code == -1 and not self.transport.is_active():
            raise SshError("the SSH connection is lost: closed by the guest")
        return Completed(code, *streams.text())

    def begin(self, line: str, timeout: float) -> paramiko.Channel:
        """A channel on which a shell line runs; the caller ends it and uses ``as_our_errors``."""
        channel = self.transport.open_session(timeout=min(timeout, 10.0))
        try:
            channel.settimeout(timeout)
            channel.exec_command(line)
        except BaseException:
            channel.close()
            raise
        return channel

    def serve_cases(self, command: str, timeout: float) -> CaseLine:
        """A channel for one case after another; the guest runs ``command`` and a mark on it.

        Raises SshError, CommandTimeoutError: it cannot be had within ``timeout`` seconds.
        """
        mark = secrets.token_hex(16)
        with as_our_errors():
            return CaseLine(self.begin(f"{command} {mark}", timeout), mark)

    def close(self) -> None:
        """Ends the connection and every command in it."""
        self.transport.close()


def login_shell(port: int, keys: KeyPair, host_key: str) -> int:
    """A login shell on this terminal until one of them ends; its exit status.

    That is 255 for a lost connection, and negative where the terminal is gone.

    The private key is in a file for that time, in a folder that only its owner may enter.
    """
    with tempfile.TemporaryDirectory(prefix="harness-ssh-") as name:
        identity, known = Path(name) / "key", Path(name) / "known_hosts"
        identity.touch(0o600)
        identity.write_text(keys.secret)
        known.write_text(f"{ALIAS} {host_key}\n")
        # -F none: nothing of the user's own configuration, keys and agent takes part.
        options = ["-F", "none", "-i", str(identity), "-p", str(port)]
        for setting in (
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            f"UserKnownHostsFile={known}",
            "GlobalKnownHostsFile=none",
            f"HostKeyAlias={ALIAS}",
            "StrictHostKeyChecking=yes",
            "LogLevel=ERROR",
        ):
            options += ["-o", setting]
        with subprocess.Popen(["ssh", *options, "root@127.0.0.1"]) as ssh:
            try:
                _wait_for(ssh.pid, terminal=0)
                ssh.terminate()  # the terminal is gone; one that has ended is not hit
                return ssh.wait()
            except BaseException:
                ssh.kill()
                raise


def _wait_for(pid: int, terminal: int) -> None:
    """Until a child ends, or the terminal is gone, which a program in it may not hear of."""
    ended = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        if os.isatty(terminal):
            waiting.register(terminal, 0)  # no event but that it is gone
        waiting.poll()
    finally:
        os.close(ended)
