"""A real OpenSSH server on a loopback port: keys, configuration and log are its own, and it is gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SERVER = "/usr/sbin/sshd"
START_SECONDS = 30.0


def require_ssh() -> None:
    """Skips the test, or fails when BLUEGREEN_REQUIRE says that there must be a server."""
    missing = [name for name in (SERVER, "ssh", "ssh-keygen") if shutil.which(name) is None]
    if os.getuid() != 0:
        missing.append("root")
    if not missing:
        return
    message = (
        f"no SSH server can be started here: missing: {', '.join(missing)} (Debian: apt-get install openssh-server)"
    )
    if "openssh-server" in os.environ.get("BLUEGREEN_REQUIRE", "").split():
        pytest.fail(message)
    pytest.skip(message)


class SshServer:
    """`programs` has an `ssh` that knows this server and its key, to be put in front of PATH: OpenSSH takes the user's
    own files from nowhere but their home."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user = pwd.getpwuid(os.getuid()).pw_name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.host = f"ssh://{self.user}@127.0.0.1:{self.port}"
        self.programs = directory / "programs"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("host_key", "user_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)]
            subprocess.run(command, check=True, capture_output=True)
        (directory / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {directory}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {directory}/user_key.pub\nStrictModes no\nPermitRootLogin prohibit-password\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            encoding="utf-8",
        )
        (directory / "ssh_config").write_text(
            f"IdentityFile {directory}/user_key\nIdentitiesOnly yes\nIdentityAgent none\n"
            f"UserKnownHostsFile {directory}/known_hosts\nStrictHostKeyChecking yes\n",
            encoding="utf-8",
        )
        self.trust(directory / "host_key.pub")
        self.programs.mkdir()
        client = self.programs / "ssh"
        client.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {directory}/ssh_config "$@"\n', encoding="utf-8")
        client.chmod(0o755)

    def trust(self, public_key: Path) -> None:
        """From now on the client expects this key."""
        kind, key, *_ = public_key.read_text(encoding="utf-8").split()
        line = f"[127.0.0.1]:{self.port} {kind} {key}\n"
        (self.directory / "known_hosts").write_text(line, encoding="utf-8")

    def start(self) -> None:
        """Returns when it accepts connections."""
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # It does not start without; a service would have made it.
        command = [SERVER, "-D", "-e", "-f", str(self.directory / "sshd_config")]
        with (self.directory / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"no SSH server can be started here: {(self.directory / 'sshd.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """New connections are refused; those that there are go on, as sshd does it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None


@contextmanager
def running_ssh_server() -> Iterator[SshServer]:
    require_ssh()
    with tempfile.TemporaryDirectory(prefix="sh-") as directory:
        server = SshServer(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()
