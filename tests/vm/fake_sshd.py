# SPDX-License-Identifier: GPL-2.0-only
"""An SSH server on 127.0.0.1 for tests, which runs Python functions as commands."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
import weakref
from collections.abc import Callable

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_SUCCEEDED,
    cMSG_CHANNEL_SUCCESS,
)

from harness.image.rootfs import HostKey, new_host_key

# What a command does with its channel; the exit status it returns is sent (None: none is).
Handler = Callable[[str, paramiko.Channel], int | None]
Shell = Callable[[paramiko.Channel], int | None]


def shell_like(command: str, channel: paramiko.Channel) -> int | None:
    """'say TEXT', 'complain TEXT', 'exit N', 'cat', anything else: 127."""
    word, _, rest = command.partition(" ")
    match word:
        case "say":
            channel.sendall(rest.encode())
            return 0
        case "complain":
            channel.sendall_stderr(rest.encode())
            return 1
        case "exit":
            return int(rest)
        case "cat":
            while data := channel.recv(4096):
                channel.sendall(data)
            return 0
        case "true":
            return 0
    return 127


class _Transport(paramiko.Transport):
    """Begins a command once its request has been answered: its end must not overtake that."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        self.accepted: list[threading.Thread] = []

    def _send_user_message(self, data: paramiko.Message) -> None:
        super()._send_user_message(data)  # type: ignore[misc]
        if data.asbytes().startswith(cMSG_CHANNEL_SUCCESS):
            while self.accepted:
                self.accepted.pop().start()


class _Server(paramiko.ServerInterface):
    def __init__(
        self, transport: _Transport, public: str, handler: Handler, shell: Shell | None
    ) -> None:
        self.transport = transport
        self.public, self.handler, self.shell = public, handler, shell

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == "root" and key.get_base64() == self.public
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self._run(channel, lambda: self.handler(command.decode(), channel))
        return True

    def check_channel_pty_request(self, *_: object) -> bool:
        return self.shell is not None

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        shell = self.shell
        if shell is not None:
            self._run(channel, lambda: shell(channel))
        return shell is not None

    def _run(self, channel: paramiko.Channel, body: Callable[[], int | None]) -> None:
        def run() -> None:
            # Closed whatever happens, or whoever asked waits until its time is up.
            with (
                contextlib.suppress(OSError, EOFError, paramiko.SSHException),
                contextlib.closing(channel),
            ):
                status = body()
                if status is not None:
                    channel.send_exit_status(status)

        self.transport.accepted.append(threading.Thread(target=run, daemon=True))


class FakeSshd:
    """Listens on ``port``; ``mute`` accepts and says nothing, as QEMU does for a dead guest."""

    def __init__(
        self,
        public: str,
        handler: Handler = shell_like,
        *,
        shell: Shell | None = None,
        mute: bool = False,
        key: HostKey | None = None,
    ) -> None:
        self.key = key or new_host_key()
        self.public, self.handler, self.shell, self.mute = public, handler, shell, mute
        self.transports: list[paramiko.Transport] = []
        self.accepted = 0
        self.port = self._keep_port()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def host_key(self) -> str:
        return self.key.public

    def _keep_port(self) -> int:
        """A port that nobody else is given once the server is closed, in another run either."""
        keeper = socket.socket()
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        port = int(keeper.getsockname()[1])
        weakref.finalize(self, os.close, keeper.detach())
        return port

    def _accept(self) -> None:
        kept = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            if self.mute:
                kept.append(connection)
                continue
            transport = _Transport(connection)
            secret = io.StringIO(self.key.openssh.decode())
            transport.add_server_key(paramiko.Ed25519Key.from_private_key(secret))
            self.transports.append(transport)
            with contextlib.suppress(paramiko.SSHException, EOFError):
                server = _Server(transport, self.public, self.handler, self.shell)
                transport.start_server(server=server, event=threading.Event())

    def drop(self) -> None:
        """Ends every connection, as a dying guest would."""
        for transport in self.transports:
            transport.close()

    def close(self) -> None:
        self._listener.close()
        self.drop()
