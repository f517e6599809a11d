"""From a header to a Caller, with a clock that stands still unless it is moved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bluegreen.control.authentication import FAILURE_BURST, FAILURES_PER_SECOND, Authenticator
from bluegreen.domain.access import Scope
from bluegreen.domain.errors import BluegreenError, RateLimited, StoreError, Unauthenticated
from bluegreen.domain.tokens import SECRET_CHARACTERS, Token, digest, text_of

SECRET = "a" * SECRET_CHARACTERS
WRONG = "b" * SECRET_CHARACTERS
AGENT = Token("agent234", "agent", digest(SECRET), Scope.DEPLOY, 0.0, frozenset({"shop"}))
BEARER = f"Bearer {text_of(AGENT.id, SECRET)}"


class Time:
    def __init__(self) -> None:
        self.epoch, self.running = 1000.0, 50.0

    def now(self) -> float:
        return self.epoch

    def monotonic(self) -> float:
        return self.running

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits here")

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        raise AssertionError("nothing waits here")


class Tokens:
    def __init__(self, *tokens: Token) -> None:
        self.known = {token.id: token for token in tokens}
        self.failure: StoreError | None = None

    def find(self, token_id: str) -> Token | None:
        if self.failure:
            raise self.failure
        return self.known.get(token_id)


def door(*tokens: Token, **limits: Any) -> tuple[Authenticator, Tokens, Time]:
    known, clock = Tokens(*(tokens or (AGENT,))), Time()
    return Authenticator(known, clock, **limits), known, clock


def refusal(authenticator: Authenticator, header: str | None) -> BluegreenError:
    with pytest.raises(BluegreenError) as caught:
        authenticator.authenticate(header, "http")
    return caught.value


@pytest.mark.parametrize("header", [BEARER, BEARER.replace("Bearer", "bearer"), BEARER.replace(" ", "  ") + " "])
def test_a_right_token_becomes_its_caller(header: str) -> None:
    caller = door()[0].authenticate(header, "mcp")
    assert (caller.name, caller.door, caller.scope, caller.services) == (
        "agent",
        "mcp",
        Scope.DEPLOY,
        frozenset({"shop"}),
    )


def test_wrong_id_wrong_secret_and_nonsense_look_the_same() -> None:
    authenticator = door()[0]
    texts = [text_of(AGENT.id, WRONG), text_of("zzzzzzzz", SECRET), "nonsense", "", "é" * 3000, "bg_\x00"]
    told = {(type(error), str(error)) for error in (refusal(authenticator, f"Bearer {text}") for text in texts)}
    assert len(told) == 1
    assert told.pop()[0] is Unauthenticated


@pytest.mark.parametrize("header", [None, "", "  "])
def test_no_token_says_which_header_to_send(header: str | None) -> None:
    error = refusal(door()[0], header)
    assert isinstance(error, Unauthenticated)
    assert "Authorization: Bearer" in error.hint


def test_another_scheme_is_named() -> None:
    assert "must be 'Bearer'" in refusal(door()[0], "Basic abc").message


@pytest.mark.parametrize(("changes", "word"), [({"expires_at": 999.0}, "expired"), ({"revoked_at": 999.0}, "revoked")])
def test_expired_and_revoked_are_said_to_who_has_the_secret_only(changes: dict[str, Any], word: str) -> None:
    authenticator = door(replace(AGENT, **changes))[0]
    assert word in refusal(authenticator, BEARER).message
    assert word not in str(refusal(authenticator, f"Bearer {text_of(AGENT.id, WRONG)}"))


@pytest.mark.parametrize("change", [{"revoked_at": 999.0}, {"expires_at": 999.0}, None], ids=str)
def test_who_was_let_in_does_not_stand_when_the_token_is_over(change: dict[str, Any] | None) -> None:
    authenticator, tokens, _ = door()
    caller = authenticator.authenticate(BEARER, "http")
    authenticator.require_standing(caller)
    tokens.known = {} if change is None else {AGENT.id: replace(AGENT, **change)}
    with pytest.raises(Unauthenticated):
        authenticator.require_standing(caller)


def test_a_token_that_is_revoked_meanwhile_is_refused_at_once() -> None:
    authenticator, tokens, _ = door()
    authenticator.authenticate(BEARER, "http")
    tokens.known[AGENT.id] = replace(AGENT, revoked_at=1000.0)
    assert isinstance(refusal(authenticator, BEARER), Unauthenticated)


def test_each_token_has_its_own_limit() -> None:
    other = replace(AGENT, id="quick234", name="quick", requests_per_second=1000.0, burst=7)
    authenticator, _, clock = door(AGENT, other, requests_per_second=2.0, burst=3)
    for _ in range(3):
        authenticator.authenticate(BEARER, "http")
    error = refusal(authenticator, BEARER)
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == pytest.approx(0.5)
    for _ in range(7):
        authenticator.authenticate(f"Bearer {text_of(other.id, SECRET)}", "http")
    clock.running += error.retry_after_seconds
    assert authenticator.authenticate(BEARER, "http").name == "agent"
    assert isinstance(refusal(authenticator, BEARER), RateLimited)


def test_new_limits_count_from_the_next_request_on() -> None:
    authenticator, _, _ = door(requests_per_second=1.0, burst=10)
    authenticator.authenticate(BEARER, "http")
    authenticator.burst = 1
    authenticator.authenticate(BEARER, "http")
    assert isinstance(refusal(authenticator, BEARER), RateLimited)


def test_wrong_tokens_are_slowed_down_and_lock_nobody_out() -> None:
    authenticator, _, clock = door()
    wrong = f"Bearer {text_of(AGENT.id, WRONG)}"
    for _ in range(FAILURE_BURST):
        assert isinstance(refusal(authenticator, wrong), Unauthenticated)
    error = refusal(authenticator, wrong)
    assert isinstance(error, RateLimited)
    assert error.retry_after_seconds == pytest.approx(1 / FAILURES_PER_SECOND)
    assert authenticator.authenticate(BEARER, "http").name == "agent"
    clock.running += error.retry_after_seconds
    assert isinstance(refusal(authenticator, wrong), Unauthenticated)
    assert isinstance(refusal(authenticator, wrong), RateLimited)


def test_when_the_tokens_cannot_be_read_nobody_gets_in() -> None:
    authenticator, tokens, _ = door()
    tokens.failure = StoreError("token file is damaged")
    assert refusal(authenticator, BEARER) is tokens.failure
