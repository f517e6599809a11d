"""From what a request carries to a Caller. The door for TCP asks here before anything else."""

from __future__ import annotations

from typing import Protocol

from bluegreen.control.ports import Clock
from bluegreen.domain import rate_limit
from bluegreen.domain.access import Caller
from bluegreen.domain.errors import RateLimited, Unauthenticated
from bluegreen.domain.rate_limit import Bucket
from bluegreen.domain.tokens import Token, admit, digest, matches, parse_text

FAILURES_PER_SECOND = 1.0
FAILURE_BURST = 20
LONGEST_HEADER = 1024
_NOBODY = digest("nobody has this secret")


class TokenSource(Protocol):
    def find(self, token_id: str) -> Token | None:
        """The token as it is now, those that are over included. Raises StoreError."""
        ...


class Authenticator:
    """`requests_per_second` and `burst` hold for each token that has no limits of its own; they may be set anew."""

    def __init__(
        self, tokens: TokenSource, clock: Clock, *, requests_per_second: float = 50.0, burst: int = 100
    ) -> None:
        self.requests_per_second = requests_per_second
        self.burst = burst
        self._tokens = tokens
        self._clock = clock
        self._failures = rate_limit.full(clock.monotonic(), FAILURE_BURST)
        self._buckets: dict[str, Bucket] = {}
        """token id → its bucket. Only tokens that were let in have one, so it can't be filled from outside."""

    def authenticate(self, authorization: str | None, door: str) -> Caller:
        """Takes the value of the header `Authorization`. A wrong id and a wrong secret look the same.

        Raises Unauthenticated, RateLimited for a token that asks too often or for too many wrong ones, StoreError when
        the tokens can't be read. A right token is let in however many wrong ones come at the same time: otherwise
        anybody could lock everybody out, and 260 random bits can't be found at any speed.
        """
        if authorization is None or not authorization.strip():
            raise Unauthenticated(
                "authorization: the request carries no token",
                hint="Send the header  Authorization: Bearer TOKEN; make one: bluegreen token create NAME --scope read",
            )
        scheme, _, text = authorization[:LONGEST_HEADER].strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated(
                "authorization: must be 'Bearer' and a token", hint="Send the header  Authorization: Bearer TOKEN"
            )
        presented = parse_text(text.strip())
        token = self._tokens.find(presented.id) if presented else None
        secret = presented.secret if presented else ""
        # Compared with something in any case, so that an unknown id takes as long as a known one.
        if not matches(token.digest if token else _NOBODY, secret) or token is None:
            raise self._failure()
        caller = admit(token, self._clock.now(), door)
        self._limit(token)
        return caller

    def require_standing(self, caller: Caller) -> None:
        """For an answer that lasts: raises Unauthenticated when the token was revoked, removed or expired meanwhile."""
        token = self._tokens.find(caller.token_id)
        if token is None:
            raise Unauthenticated(f"authorization: the token '{caller.name}' is not known here any more")
        admit(token, self._clock.now(), caller.door)

    def _failure(self) -> Unauthenticated | RateLimited:
        taken = rate_limit.take(self._failures, self._clock.monotonic(), rate=FAILURES_PER_SECOND, burst=FAILURE_BURST)
        self._failures = taken.bucket
        if not taken.allowed:
            return RateLimited(
                "authorization: too many requests with wrong tokens",
                retry_after_seconds=taken.retry_after_seconds,
                hint=f"Try again in {taken.retry_after_seconds:.1f} s, with a token from: bluegreen token create",
            )
        return Unauthenticated(
            "authorization: this token is not known here",
            hint="Compare it with: bluegreen token list; make another: bluegreen token create NAME --scope read",
        )

    def _limit(self, token: Token) -> None:
        now = self._clock.monotonic()
        rate = token.requests_per_second or self.requests_per_second
        burst = token.burst or self.burst
        taken = rate_limit.take(self._buckets.get(token.id) or rate_limit.full(now, burst), now, rate=rate, burst=burst)
        self._buckets[token.id] = taken.bucket
        if not taken.allowed:
            raise RateLimited(
                f"requests: the token '{token.name}' may ask {rate:g} times a second, {burst} times at once",
                retry_after_seconds=taken.retry_after_seconds,
                hint=f"Try again in {taken.retry_after_seconds:.2f} s; "
                "raise it for all tokens with [api] requests_per_second",
            )
