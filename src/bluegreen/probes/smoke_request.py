"""A smoke test that is a request: sends it, and says what of the answer is not as expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bluegreen.domain.model import Endpoint
from bluegreen.domain.service import SmokeTest
from bluegreen.probes.health_get import MAX_BODY_BYTES, USER_AGENT, url_of

if TYPE_CHECKING:
    import httpx

MAX_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    complete: bool = True
    """False when the body is longer than what is kept of it."""


async def fetch(
    transport: httpx.AsyncHTTPTransport,
    method: str,
    endpoint: Endpoint,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """The answer with at most the first 1 MiB of its body. Raises httpx.HTTPError. Has no time limit of its own."""
    import httpx

    # Green must not compress: a small body could become an endless one here.
    own = {"user-agent": USER_AGENT, "accept": "*/*", "accept-encoding": "identity"}
    sent = httpx.Headers(own)
    sent.update(headers or {})
    request = httpx.Request(method, url_of(endpoint, path), headers=sent, content=body)
    response = await transport.handle_async_request(request)
    try:
        kept = bytearray()
        async for chunk in response.aiter_raw():
            kept += chunk
            if len(kept) > MAX_BODY_BYTES:
                return Answer(response.status_code, bytes(kept[:MAX_BODY_BYTES]), complete=False)
        return Answer(response.status_code, bytes(kept))
    finally:
        await response.aclose()


def problem_with(answer: Answer, test: SmokeTest) -> str:
    """The first thing that is not as expected, "" when all is."""
    if answer.status != test.expect_status:
        said = _shown_body(answer.body)
        return f"expected HTTP {test.expect_status}, got {answer.status}{f': {said}' if said else ''}"
    if not test.expect_json:
        return ""
    if not answer.complete:
        return f"the answer is larger than {MAX_BODY_BYTES // 2**20} MiB, so expect_json can't be checked"
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return f"the answer is not JSON: {_shown_body(answer.body) or 'empty'}"
    for expression, expected in test.expect_json.items():
        if problem := _mismatch(document, expression, expected):
            return problem
    return ""


def _mismatch(document: Any, expression: str, expected: Any) -> str:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        got = jmespath.search(expression, document)
    except (JMESPathError, RecursionError, TypeError, ValueError) as error:
        return f"{expression} can't be evaluated on the answer: {_shortened(str(error))}"
    if _same(got, expected):
        return ""
    return f"{expression} must be {_shown_value(expected)}, got {_shown_value(got)}"


def _same(got: Any, expected: Any) -> bool:
    """Equal as JSON: unlike in Python, true is not 1. 1 and 1.0 are the same number."""
    if isinstance(got, bool) or isinstance(expected, bool):
        return got is expected
    if isinstance(got, dict) and isinstance(expected, dict):
        return got.keys() == expected.keys() and all(_same(got[key], expected[key]) for key in got)
    if isinstance(got, list) and isinstance(expected, list):
        return len(got) == len(expected) and all(map(_same, got, expected))
    return bool(got == expected)


def _shown_value(value: Any) -> str:
    return _shortened(json.dumps(value, ensure_ascii=False))


def one_line(text: str) -> str:
    """The beginning of a text from outside, fit for a terminal."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 4 * MAX_SHOWN_CHARACTERS])
    return _shortened(" ".join(printable.split()))


def _shown_body(body: bytes) -> str:
    return one_line(body[: 4 * MAX_SHOWN_CHARACTERS].decode(errors="replace"))


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…"
