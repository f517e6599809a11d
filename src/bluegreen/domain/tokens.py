"""Bearer tokens: what one looks like, what is kept of it, and whom it lets in.

`bg_<id>_<secret>`, for example `bg_k3v9t2ma_` and 52 more characters. The id is no secret: it is in lists and in the
audit log. Of the secret only the digest is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from bluegreen.domain.access import Caller, Scope
from bluegreen.domain.errors import Unauthenticated, UsageError

ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"
"""32 characters, none of which is taken for another (no 0, 1, l, o): five bits each."""
ID_CHARACTERS = 8
SECRET_CHARACTERS = 52
"""260 bits."""
LONGEST_NAME = 64
LONGEST_LIFE_DAYS = 3660
RESERVED_NAMES = ("owner", "bluegreen")
"""The audit log calls whoever came through the unix socket, and the daemon itself, by these."""

_TEXT = re.compile(rf"bg_([{ALPHABET}]{{{ID_CHARACTERS}}})_([{ALPHABET}]{{{SECRET_CHARACTERS}}})")
_NAME = re.compile(rf"[A-Za-z0-9](?:[A-Za-z0-9._@-]{{0,{LONGEST_NAME - 1}}})")
_DURATION = re.compile(r"([0-9]{1,9})([mhd])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token. Times are seconds since the epoch; None means never, or not yet.

    `services` None means all. `requests_per_second` and `burst` None mean what the configuration says for every token.
    """

    id: str
    name: str
    digest: str = field(repr=False)
    scope: Scope
    created_at: float
    services: frozenset[str] | None = None
    may_run_commands: bool = False
    requests_per_second: float | None = None
    burst: int | None = None
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_live(self, now: float) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Presented:
    """The text of a token, taken apart."""

    id: str
    secret: str = field(repr=False)


def readable(random_bytes: bytes) -> str:
    """One character of the alphabet for each byte: five of its bits, so every character is as likely as any other."""
    return "".join(ALPHABET[byte & 31] for byte in random_bytes)


def text_of(token_id: str, secret: str) -> str:
    """What the owner of the token keeps and sends."""
    return f"bg_{token_id}_{secret}"


def parse_text(text: str) -> Presented | None:
    """None when it is no token, whatever is wrong with it: nobody is helped to guess one."""
    match = _TEXT.fullmatch(text)
    return Presented(match[1], match[2]) if match else None


def digest(secret: str) -> str:
    """SHA-256, in hex. Slow hashes protect what people make up; 260 random bits can't be tried out at any speed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(expected_digest: str, secret: str) -> bool:
    """Compares in a time that says nothing about where they differ."""
    return hmac.compare_digest(expected_digest, digest(secret))


def admit(token: Token, now: float, door: str = "http") -> Caller:
    """Whom a token, whose secret was right, lets in. Raises Unauthenticated when it is over."""
    for what, moment in (("was revoked", token.revoked_at), ("expired", token.expires_at)):
        if moment is not None and now >= moment:
            raise Unauthenticated(
                f"authorization: the token '{token.name}' {what} at {moment_text(moment)}",
                hint=f"Make another: bluegreen token create NAME --scope {token.scope}",
            )
    return Caller(
        name=token.name,
        door=door,
        scope=token.scope,
        services=token.services,
        may_run_commands=token.may_run_commands,
        token_id=token.id,
    )


def checked_name(name: str) -> str:
    """The name as it is. Raises UsageError for one that could not be told apart from others in lists and logs."""
    if name.lower() in RESERVED_NAMES:
        raise UsageError(
            f"name: {name!r} is what bluegreen itself is called in the audit log", hint="Choose another name"
        )
    if not _NAME.fullmatch(name):
        shown = repr(name if len(name) <= LONGEST_NAME else name[:LONGEST_NAME] + "…")
        raise UsageError(
            f"name: {shown} is not a name for a token",
            hint=f"A letter or digit, then letters, digits and . _ @ -, {LONGEST_NAME} at most",
        )
    return name


def parse_expiry(text: str, now: float) -> float | None:
    """When a token ends, in epoch seconds; None for `never`.

    `90m`, `12h` and `30d` count from now. An ISO date such as `2027-03-31` is through that day, UTC; an ISO time such
    as `2027-03-31T18:00+02:00` is that moment, UTC when it names no zone. Raises UsageError.
    """
    if text == "never":
        return None
    if match := _DURATION.fullmatch(text):
        moment: float | None = now + int(match[1]) * _UNIT_SECONDS[match[2]]
    else:
        moment = _iso_moment(text)
    if moment is None:
        raise UsageError(
            f"expires: {text[:80]!r} is neither a duration nor a date",
            hint="Write 30d, 12h, 90m, a date such as 2027-03-31, or never",
        )
    if moment <= now:
        raise UsageError(f"expires: {text!r} is in the past", hint="Write 30d, 12h, 90m, or a date to come")
    if moment > now + LONGEST_LIFE_DAYS * _UNIT_SECONDS["d"]:
        raise UsageError(
            f"expires: must be within {LONGEST_LIFE_DAYS} days, got {text!r}",
            hint="A token that shall never expire: --expires never",
        )
    return moment


def _iso_moment(text: str) -> float | None:
    try:
        if _DATE.fullmatch(text):
            return (datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def moment_text(epoch_seconds: float) -> str:
    """`2027-03-31 18:00 UTC`, rounded down to the minute."""
    try:
        return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{epoch_seconds:.0f} s since the epoch"
