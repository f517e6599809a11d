"""A certificate for 127.0.0.1 that vouches for itself."""

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
