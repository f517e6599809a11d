"""The tokens, in one JSON file of mode 0600: the command line writes it, the daemon reads it and notices changes."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bluegreen.domain.access import Scope
from bluegreen.domain.errors import StoreError, UnknownName, UsageError
from bluegreen.domain.tokens import ALPHABET, ID_CHARACTERS, Token
from bluegreen.stores import private_files

FORMAT = 1
MAX_FILE_BYTES = 16 * 1024 * 1024
Tokens = dict[str, Token]


class TokenFile:
    """id → token. Every call sees what any process has written; nothing is kept that the file does not say.

    All calls raise StoreError when the file is damaged, or may be read by others: then nobody gets in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None
        """The file as it was read last, kept open: its inode number can't be given to another file meanwhile."""
        self._stamp: tuple[int, ...] = ()
        self._tokens: Tokens = {}

    def find(self, token_id: str) -> Token | None:
        """One `stat` as long as nobody changed the file."""
        return self._current().get(token_id)

    def all(self) -> Sequence[Token]:
        """In the order in which they were made, those that are over included."""
        return list(self._current().values())

    def add(self, token: Token) -> None:
        """Raises UsageError when a token of that name or id still lives."""

        def added(tokens: Tokens) -> Token:
            for other in tokens.values():
                taken = other.is_live(token.created_at) and token.name in (other.name, other.id)
                if taken or other.id == token.id:
                    raise UsageError(
                        f"name: there is a token '{token.name}' already",
                        hint=f"Choose another name, or end that one: bluegreen token revoke {other.id}",
                    )
            tokens[token.id] = token
            return token

        self._change(added)

    def revoke(self, id_or_name: str, at: float) -> Token:
        """The token as it is now. One that was revoked before stays as it was. Raises UnknownName with near names."""

        def revoked(tokens: Tokens) -> Token:
            token = _meant(tokens, id_or_name)
            if token.revoked_at is None:
                token = tokens[token.id] = replace(token, revoked_at=at)
            return token

        return self._change(revoked)

    def close(self) -> None:
        if self._held is not None:
            os.close(self._held)
        self._held, self._stamp, self._tokens = None, (), {}

    def __del__(self) -> None:
        if getattr(self, "_held", None) is not None:
            self.close()

    def _change(self, change: Callable[[Tokens], Token]) -> Token:
        try:
            with private_files.locked(self.path.with_name(self.path.name + ".lock")):
                tokens = dict(self._current())
                changed = change(tokens)
                content = _encoded(tokens)
                _decoded(content, self.path)  # What can't be read again would lock everybody out.
                private_files.replace(self.path, content)
        except OSError as error:
            raise private_files.explained("token file", self.path, error) from error
        return changed

    def _current(self) -> Tokens:
        try:
            found = self.path.stat(follow_symlinks=False)
        except FileNotFoundError:
            self.close()
            return self._tokens
        except OSError as error:
            raise self._unreadable(error) from error
        if self._held is None or _stamp(found) != self._stamp:
            self._read()
        return self._tokens

    def _read(self) -> None:
        """Forgets what it knew first: a file that can't be understood lets nobody in."""
        self.close()
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            found = os.fstat(descriptor)
            private_files.require_private(self.path, found)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                self._tokens = _decoded(file.read(MAX_FILE_BYTES + 1), self.path)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                raise self._unreadable(error) from error
            raise
        self._held, self._stamp = descriptor, _stamp(found)

    def _unreadable(self, error: OSError) -> StoreError:
        return StoreError(
            f"token file {self.path} can't be read: {error.strerror or error}; nobody is let in",
            hint=f"Look at it: ls -l {self.path}",
        )


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _meant(tokens: Tokens, id_or_name: str) -> Token:
    """By id, else the newest of that name, one that has not been revoked before any other."""
    if id_or_name in tokens:
        return tokens[id_or_name]
    named = [token for token in tokens.values() if token.name == id_or_name]
    if named:
        return max(named, key=lambda token: (token.revoked_at is None, token.created_at))
    names = sorted({token.name for token in tokens.values() if token.revoked_at is None})
    near = difflib.get_close_matches(id_or_name, names, n=3)
    if near:
        hint = "Did you mean " + " or ".join(repr(name) for name in near) + "?"
    else:
        hint = f"Known: {', '.join(names[:20]) or 'there is no token'}"
    raise UnknownName(f"token: there is no token {id_or_name!r}", hint=hint)


def _encoded(tokens: Tokens) -> bytes:
    """Readable, for whoever looks into it; times are seconds since the epoch."""
    rows = [
        {
            "id": token.id,
            "name": token.name,
            "digest": token.digest,
            "scope": str(token.scope),
            "services": None if token.services is None else sorted(token.services),
            "may_run_commands": token.may_run_commands,
            "requests_per_second": token.requests_per_second,
            "burst": token.burst,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
            "revoked_at": token.revoked_at,
        }
        for token in tokens.values()
    ]
    return (json.dumps({"format": FORMAT, "tokens": rows}, indent=1) + "\n").encode()


def _decoded(content: bytes, path: Path) -> Tokens:
    """Strict: a field that is missing or means nothing must not turn into a token that may do more."""
    try:
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"it is larger than {MAX_FILE_BYTES // 2**20} MiB")
        document = json.loads(content)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        tokens = [_token(row) for row in document["tokens"]]
        if len({token.id for token in tokens}) != len(tokens):
            raise ValueError("two tokens have the same id")
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        finding = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise StoreError(
            f"token file {path} is damaged ({finding}); nobody is let in",
            hint=f"Restore it from a backup, or move it away and make new tokens: mv {path} {path}.damaged",
        ) from error
    return {token.id: token for token in tokens}


def _token(row: dict[str, Any]) -> Token:
    services = row["services"]
    if services is not None and not (isinstance(services, list) and all(isinstance(name, str) for name in services)):
        raise ValueError("services is neither null nor a list of names")
    token_id, digest = _of(str, row["id"]), _of(str, row["digest"])
    if len(token_id) != ID_CHARACTERS or not set(token_id) <= set(ALPHABET):
        raise ValueError(f"{token_id!r} is no id")
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise ValueError(f"the digest of {token_id} is no SHA-256")
    burst = _number(row["burst"])
    created_at = _number(row["created_at"])
    if created_at is None:
        raise ValueError("created_at is null")
    return Token(
        id=token_id,
        name=_of(str, row["name"]),
        digest=digest,
        scope=Scope(row["scope"]),
        services=None if services is None else frozenset(services),
        may_run_commands=_of(bool, row["may_run_commands"]),
        requests_per_second=_positive(row["requests_per_second"]),
        burst=None if burst is None else max(1, int(burst)),
        created_at=created_at,
        expires_at=_number(row["expires_at"]),
        revoked_at=_number(row["revoked_at"]),
    )


def _of(kind: type[Any], value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not {'true or false' if kind is bool else 'text'}")
    return value


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _positive(value: Any) -> float | None:
    number = _number(value)
    if number is not None and number <= 0:
        raise ValueError(f"requests_per_second is {value!r}")
    return number
