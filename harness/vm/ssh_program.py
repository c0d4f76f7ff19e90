# SPDX-License-Identifier: GPL-2.0-only
"""``ssh`` itself, for a person: a shell in a guest with the run's key and the pinned host key."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from harness.vm.ssh import KeyPair

ALIAS = "guest"  # the port is another for each guest; the host key is the image's


def login_shell(port: int, keys: KeyPair, host_key: str) -> int:
    """A login shell on this terminal until it ends; its exit status, 255 for a lost connection.

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
        return subprocess.run(["ssh", *options, "root@127.0.0.1"], check=False).returncode
