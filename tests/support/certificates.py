"""Certificates for tests: one that vouches for itself, and an authority that signs others."""

from __future__ import annotations

import subprocess
from pathlib import Path


def self_signed(directory: Path) -> tuple[Path, Path]:
    """PEM files of certificate and key."""
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    made = ["-keyout", str(key), "-out", str(certificate)]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names, *made]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


class Authority:
    """Signs certificates of servers and clients. Files are in `directory`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self.directory = directory
        self.certificate, self._key = directory / f"{name}.pem", directory / f"{name}-key.pem"
        names = ["-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:true"]
        made = ["-keyout", str(self._key), "-out", str(self.certificate)]
        _openssl("req", "-x509", *_NEW_KEY, "-nodes", "-days", "1", *names, *made)

    def sign(self, name: str, *, address: str = "", passphrase: str = "") -> tuple[Path, Path]:
        """Of a server with an address, of a client without: PEM files of certificate and key."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}-key.pem"
        request, extensions = self.directory / f"{name}.csr", self.directory / f"{name}.ext"
        protection = ["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]
        _openssl("req", *_NEW_KEY, *protection, "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        server = f"subjectAltName=IP:{address}\nextendedKeyUsage=serverAuth\n"
        extensions.write_text(server if address else "extendedKeyUsage=clientAuth\n", encoding="ascii")
        signer = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial"]
        files = ["-in", str(request), "-out", str(certificate), "-extfile", str(extensions)]
        _openssl("x509", "-req", "-days", "1", *signer, *files)
        return certificate, key


_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
