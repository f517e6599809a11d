"""Writes that are done once however often they are sent: the first answer to a key is kept and given again.

A key belongs to its caller. What is kept of a request is a hash that nobody without the key can compare with, and of
the answer what was sent, which never holds secrets. After a crash between the act and the keeping of its answer the
request is carried out again: the key is no transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bluegreen.control.ports import Clock, DocumentStore
from bluegreen.domain.access import Caller
from bluegreen.domain.errors import StoreError, UsageError

log = logging.getLogger(__name__)

KIND = "idempotency"
KEEP_SECONDS = 86_400.0
LONGEST_KEY = 200
PRUNE_SECONDS = 600.0
MOST_KEPT = 20_000
"""The oldest answers are forgotten beyond this many: nobody fills the disk with keys."""


class IdempotencyMismatch(UsageError):
    """The key was used for another request."""

    code = "idempotency_mismatch"


@dataclass(frozen=True, slots=True)
class Answer:
    """What was sent back: `headers` are those that belong to this answer alone."""

    status: int
    body: str
    media_type: str = "application/json"
    headers: Mapping[str, str] | None = None


def checked_key(key: str) -> str:
    """Raises UsageError unless it is 1 to 200 visible ASCII characters."""
    if not 1 <= len(key) <= LONGEST_KEY:
        raise UsageError(f"Idempotency-Key: must have 1 to {LONGEST_KEY} characters, got {len(key)}")
    if not all("!" <= character <= "~" for character in key):
        raise UsageError(
            "Idempotency-Key: must be visible ASCII characters without spaces", hint="A UUID for each request will do"
        )
    return key


def document_key(caller: Caller, key: str) -> str:
    """Under which name an answer is kept."""
    return hashlib.sha256(f"{caller.token_id or 'owner'}\n{key}".encode()).hexdigest()


def fingerprint(key: str, method: str, path: str, arguments: Mapping[str, Any]) -> str:
    """The same for the same request, whatever the order of its parameters."""
    text = json.dumps([method, path, arguments], sort_keys=True, separators=(",", ":"))
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def to_document(answer: Answer, print_of_request: str, now: float) -> dict[str, Any]:
    return {
        "at": now,
        "request": print_of_request,
        "status": answer.status,
        "body": answer.body,
        "media_type": answer.media_type,
        "headers": dict(answer.headers or {}),
    }


def from_document(document: Mapping[str, Any] | None, print_of_request: str, now: float) -> Answer | None:
    """The kept answer; None when there is none or it is too old. Raises IdempotencyMismatch."""
    if document is None or is_over(document, now):
        return None
    if not hmac.compare_digest(str(document["request"]), print_of_request):
        raise IdempotencyMismatch(
            "Idempotency-Key: this key was used for a request with another path or body; nothing was done",
            hint="Use a new key for a new request, and the same key only to repeat one",
        )
    return Answer(document["status"], document["body"], document["media_type"], document["headers"])


def is_over(document: Mapping[str, Any], now: float) -> bool:
    """A clock that went backwards makes nothing older than it is."""
    return bool(now - document["at"] >= KEEP_SECONDS)


def to_forget(documents: Mapping[str, Mapping[str, Any]], now: float) -> list[str]:
    """Names of the answers that are too old, and of the oldest when there are too many."""
    over = [name for name, document in documents.items() if is_over(document, now)]
    kept = sorted((name for name in documents if name not in set(over)), key=lambda name: float(documents[name]["at"]))
    return over + kept[: max(0, len(kept) - MOST_KEPT)]


class Answers:
    """The answers that are kept, and whose turn it is with a key."""

    def __init__(self, documents: DocumentStore, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}
        self._prune_at = clock.monotonic()
        self._pruning: asyncio.Task[None] | None = None

    async def once(
        self, caller: Caller, key: str, print_of_request: str, perform: Callable[[], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        """The answer, and whether it is one that was given before. A second request with the same key waits for the
        first. Answers of 500 and above are not kept: what they say may be over.

        Raises IdempotencyMismatch; StoreError when it can't be known whether the request was carried out before.
        """
        name = document_key(caller, checked_key(key))
        async with self._turn(name):
            known = from_document(await self._documents.get(KIND, name), print_of_request, self._clock.now())
            if known is not None:
                return known, True
            answer = await perform()
            if answer.status < 500:
                await self._keep(name, to_document(answer, print_of_request, self._clock.now()))
            return answer, False

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        lock, waiting = self._turns.get(name, (asyncio.Lock(), 0))
        self._turns[name] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns[name]
            if waiting == 1:
                del self._turns[name]
            else:
                self._turns[name] = (lock, waiting - 1)

    async def _keep(self, name: str, document: Mapping[str, Any]) -> None:
        """What was done is done: a disk that is full does not turn its answer into an error."""
        try:
            await self._documents.put(KIND, name, document)
        except StoreError as error:
            log.error("an answer can't be kept for its idempotency key: %s", error.message)
        if self._clock.monotonic() >= self._prune_at and (self._pruning is None or self._pruning.done()):
            self._prune_at = self._clock.monotonic() + PRUNE_SECONDS
            self._pruning = asyncio.create_task(self._prune(), name="prune idempotency keys")

    async def _prune(self) -> None:
        try:
            for name in to_forget(await self._documents.all(KIND), self._clock.now()):
                await self._documents.remove(KIND, name)
        except StoreError as error:
            log.warning("old idempotency keys can't be removed: %s", error.message)
