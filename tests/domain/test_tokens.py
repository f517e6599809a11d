"""Tokens: their text, what is kept of them, whom they let in, and when they end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.access import Scope
from bluegreen.domain.errors import Unauthenticated, UsageError
from bluegreen.domain.tokens import (
    ALPHABET,
    ID_CHARACTERS,
    SECRET_CHARACTERS,
    Presented,
    Token,
    admit,
    checked_name,
    digest,
    matches,
    moment_text,
    parse_expiry,
    parse_text,
    readable,
    text_of,
)

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
IDS = st.binary(min_size=ID_CHARACTERS, max_size=ID_CHARACTERS).map(readable)
SECRETS = st.binary(min_size=SECRET_CHARACTERS, max_size=SECRET_CHARACTERS).map(readable)


def token(**changes: Any) -> Token:
    return Token(
        **{
            "id": "abcd2345",
            "name": "agent",
            "digest": digest("s"),
            "scope": Scope.DEPLOY,
            "created_at": NOW,
            **changes,
        }
    )


def test_a_secret_has_at_least_256_bits_and_no_two_characters_that_look_the_same() -> None:
    assert len(set(ALPHABET)) == 32
    assert SECRET_CHARACTERS * 5 >= 256
    assert not set(ALPHABET) & set("0O1lI|o")


def test_every_character_is_equally_likely() -> None:
    written = readable(bytes(range(256)))
    assert {written.count(character) for character in ALPHABET} == {8}


@given(IDS, SECRETS)
def test_the_text_comes_back_as_it_was(token_id: str, secret: str) -> None:
    assert parse_text(text_of(token_id, secret)) == Presented(token_id, secret)


@given(IDS, SECRETS, st.data())
def test_a_text_with_one_character_more_or_less_is_no_token(token_id: str, secret: str, data: st.DataObject) -> None:
    text = text_of(token_id, secret)
    place = data.draw(st.integers(0, len(text)))
    extra = data.draw(st.sampled_from(["x", "_", " ", "\n", "\0", "é"]))
    assert parse_text(text[:place] + extra + text[place:]) is None
    assert parse_text(text[: place - 1] + text[place:] if place else text[1:]) is None


@pytest.mark.parametrize(
    "text", ["", "bg_", "bg__", "Bearer x", "bg_abcd2345_", "bg_abcd2345_" + "0" * SECRET_CHARACTERS]
)
def test_what_is_no_token_is_none(text: str) -> None:
    assert parse_text(text) is None


@given(SECRETS, SECRETS)
def test_only_the_secret_itself_matches_its_digest(secret: str, other: str) -> None:
    assert matches(digest(secret), secret)
    assert matches(digest(secret), other) == (secret == other)


def test_neither_secret_nor_digest_is_in_what_is_printed_of_them() -> None:
    assert digest("s") not in repr(token())
    assert "hidden" not in repr(Presented("abcd2345", "hidden"))


def test_a_live_token_lets_its_caller_in() -> None:
    caller = admit(token(services=frozenset({"shop"}), may_run_commands=True, expires_at=NOW + 1), NOW, "mcp")
    assert (caller.name, caller.door, caller.scope, caller.token_id) == ("agent", "mcp", Scope.DEPLOY, "abcd2345")
    assert caller.may_run_commands
    assert caller.may_use("shop")
    assert not caller.may_use("search")
    assert admit(token(), NOW).may_use("anything")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expires_at": NOW}, "authorization: the token 'agent' expired at 2026-11-24 12:00 UTC"),
        ({"expires_at": NOW - 86_400}, "authorization: the token 'agent' expired at 2026-11-23 12:00 UTC"),
        ({"revoked_at": NOW - 60}, "authorization: the token 'agent' was revoked at 2026-11-24 11:59 UTC"),
        ({"revoked_at": NOW - 60, "expires_at": NOW - 60}, "authorization: the token 'agent' was revoked at"),
    ],
)
def test_one_that_is_over_says_so_and_what_to_type(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        admit(token(**changes), NOW)
    assert caught.value.message.startswith(message)
    assert "bluegreen token create NAME --scope deploy" in caught.value.hint
    assert not token(**changes).is_live(NOW)


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_a_token_is_live_exactly_as_long_as_it_lets_in(expires_at: float, now: float) -> None:
    made = token(expires_at=expires_at)
    if made.is_live(now):
        assert admit(made, now).name == "agent"
    else:
        with pytest.raises(Unauthenticated):
            admit(made, now)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW + 5400),
        ("12h", NOW + 43_200),
        ("30d", NOW + 30 * 86_400),
        ("never", None),
        ("2026-11-24", datetime(2026, 11, 25, tzinfo=UTC).timestamp()),
        ("2027-03-31", datetime(2027, 4, 1, tzinfo=UTC).timestamp()),
        ("2027-03-31T18:00", datetime(2027, 3, 31, 18, tzinfo=UTC).timestamp()),
        ("2027-03-31T18:00+02:00", datetime(2027, 3, 31, 16, tzinfo=UTC).timestamp()),
        ("2027-03-31T18:00:00Z", datetime(2027, 3, 31, 18, tzinfo=UTC).timestamp()),
    ],
)
def test_when_a_token_ends(text: str, moment: float | None) -> None:
    assert parse_expiry(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither a duration nor a date"),
        ("30", "neither a duration nor a date"),
        ("30 d", "neither a duration nor a date"),
        ("-1d", "neither a duration nor a date"),
        ("1w", "neither a duration nor a date"),
        ("2027-13-01", "neither a duration nor a date"),
        ("9999-12-31", "neither a duration nor a date"),
        ("３d", "neither a duration nor a date"),
        ("0d", "in the past"),
        ("2026-11-23", "in the past"),
        ("1970-01-01T00:00", "in the past"),
        ("9000d", "within 3660 days"),
        ("999999999d", "within 3660 days"),
        ("9998-12-31", "within 3660 days"),
    ],
)
def test_what_is_no_end_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"^expires: ") as caught:
        parse_expiry(text, NOW)
    assert message in caught.value.message
    assert caught.value.hint


@given(st.text(max_size=30))
def test_any_text_is_a_moment_to_come_or_refused(text: str) -> None:
    try:
        moment = parse_expiry(text, NOW)
    except UsageError:
        return
    assert moment is None or NOW < moment < NOW + 3661 * 86_400


@pytest.mark.parametrize("name", ["a", "deploy-agent", "ci@main", "A.b_c-9", "x" * 64])
def test_names(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-a", "a\nb", "a\x1b[31m", "é", "x" * 65, "owner", "Owner", "bluegreen"]
)
def test_names_that_could_be_taken_for_something_else_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^name: "):
        checked_name(name)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_moment_can_be_shown(moment: float) -> None:
    assert moment_text(moment)
