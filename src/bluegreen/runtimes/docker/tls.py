"""TLS towards an engine: its certificate is checked against one authority, and it sees ours."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.spec.configuration import RuntimeSettings


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files."""

    authority: Path
    certificate: Path
    key: Path

    def problems(self) -> Iterator[str]:
        """Each `runtime.KEY: what is wrong`."""
        found = [
            *_unreadable("tls_ca", self.authority),
            *_unreadable("tls_certificate", self.certificate),
            *_unreadable("tls_key", self.key),
            *_too_open(self.key),
        ]
        yield from found or self._unusable()

    def _unusable(self) -> Iterator[str]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(self.authority)
        except (OSError, ValueError):
            yield f"runtime.tls_ca: {self.authority} holds no PEM certificate"
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
        except _HasPassphrase:
            yield f"runtime.tls_key: {self.key} has a passphrase; bluegreen needs one without"
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "reason", None) or "no PEM certificate and key"
            yield f"runtime.tls_certificate: {self.certificate} and {self.key} can't be used: {reason}"

    def context(self) -> ssl.SSLContext:
        """Raises RuntimeFailure."""
        if problems := list(self.problems()):
            raise RuntimeFailure(problems[0], hint="Check again with: bluegreen doctor")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.authority)
        context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
        return context


def tls_files(settings: RuntimeSettings) -> TlsFiles | None:
    if settings.tls_ca is None or settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_ca, settings.tls_certificate, settings.tls_key)


class _HasPassphrase(Exception):
    """Instead of a question at the terminal, which nobody would see."""


def _no_passphrase() -> str:
    raise _HasPassphrase


def _unreadable(key: str, path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as problem:
        yield f"runtime.{key}: {path} can't be read: {problem.strerror}"


def _too_open(path: Path) -> Iterator[str]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        yield f"runtime.tls_key: {path} may be read or written by others (mode {mode:04o}); chmod 600 {path}"
