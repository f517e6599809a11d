"""Logins of registries, from where Docker's own client keeps them: its configuration file and credential helpers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bluegreen.domain.errors import RuntimeFailure

HELPER_TIMEOUT_SECONDS = 30.0
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_NO_USER = "<token>"
_NOT_FOUND = "credentials not found"


def configuration_file(environment: Mapping[str, str]) -> Path:
    directory = environment.get("DOCKER_CONFIG")
    return (Path(directory) if directory else Path.home() / ".docker") / "config.json"


def registry_of(image: str) -> str:
    """Host and port of the image's registry; "" for the engine's default one."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


async def login_for(registry: str, file: Path) -> Mapping[str, str] | None:
    """What the engine is to be told to get in; None when nobody has logged in. Raises RuntimeFailure when the
    configuration or a helper can't be understood. What it says never has a secret in it."""
    configuration = await asyncio.to_thread(_read, file)
    helper = _table(configuration, "credHelpers").get(registry) or configuration.get("credsStore")
    if helper and (found := await _ask_helper(str(helper), registry)):
        return found
    for server, entry in _table(configuration, "auths").items():
        if host_of(server) == host_of(registry) and isinstance(entry, Mapping) and (found := _in_file(entry, file)):
            return found
    return None


def host_of(server: str) -> str:
    """`https://registry.example/v1/` and `registry.example` are the same registry."""
    return server.partition("://")[2].partition("/")[0] if "://" in server else server.partition("/")[0]


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise RuntimeFailure(
            f"the logins of registries can't be read: {file}: {problem}", hint="Mend the file, or log in again."
        ) from problem
    return content if isinstance(content, dict) else {}


def _table(configuration: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = configuration.get(key)
    return value if isinstance(value, dict) else {}


def _in_file(entry: Mapping[str, Any], file: Path) -> Mapping[str, str] | None:
    if token := entry.get("identitytoken"):
        return {"identitytoken": str(token)}
    if entry.get("username") and entry.get("password"):
        return {"username": str(entry["username"]), "password": str(entry["password"])}
    if not entry.get("auth"):
        return None
    try:
        user, _, password = base64.b64decode(str(entry["auth"])).decode().partition(":")
    except (binascii.Error, ValueError):
        raise RuntimeFailure(f"a login in {file} can't be understood", hint="Log in again: docker login") from None
    return {"username": user, "password": password.rstrip("\0")}


async def _ask_helper(name: str, registry: str) -> Mapping[str, str] | None:
    program = f"docker-credential-{name}"
    if not _HELPER_NAME.fullmatch(name):
        raise RuntimeFailure(f"{name!r} can't be the name of a credential helper")
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "get",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=os.environ,
        )
    except OSError as problem:
        raise RuntimeFailure(
            f"the credential helper {program} can't be run: {problem.strerror or problem}",
            hint="Install it, or take it out of Docker's config.json.",
        ) from problem
    try:
        async with asyncio.timeout(HELPER_TIMEOUT_SECONDS):
            output, _ = await process.communicate(registry.encode())
    except TimeoutError:
        raise RuntimeFailure(
            f"the credential helper {program} did not answer within {HELPER_TIMEOUT_SECONDS:g} s"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = output.decode(errors="replace").strip()
        if _NOT_FOUND in said:
            return None
        raise RuntimeFailure(f"the credential helper {program} failed for {registry}: {said[:200]}")
    return _from_helper(output, program)


def _from_helper(output: bytes, program: str) -> Mapping[str, str]:
    try:
        answer = json.loads(output)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RuntimeFailure(f"the answer of the credential helper {program} can't be understood") from None
    return {"identitytoken": secret} if user == _NO_USER else {"username": user, "password": secret}
