"""`healthcheck`: a request to the service itself becomes bluegreen's health check."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Any

from bluegreen.domain.service import HealthCheck
from bluegreen.spec.compose.draft import Draft, Table
from bluegreen.spec.compose.notes import Part, plain
from bluegreen.spec.compose.units import seconds, whole
from bluegreen.spec.values import PATH_PATTERN

_ADDRESS = re.compile(
    r"(?P<scheme>https?://)?(?P<host>localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?"
)
_WITH_SCHEME = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::[0-9]{1,5})?(?:/[^\s'\"`;|)&]*)?")
_NOT_GET = re.compile(r"(?:^|\s)(?:-X\s*(?!GET)[A-Z]+|--request[ =](?!GET)[A-Z]+|-d\b|--data\S*|--post\S*)")
COMPOSE_INTERVAL_SECONDS, COMPOSE_RETRIES = 30.0, 3
HOUR_SECONDS, DAY_SECONDS = 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class HttpTest:
    """GET `path` on `port` of the container; None when the address has none, which is 80."""

    path: str
    port: int
    secure: bool


def http_test(test: Any) -> HttpTest | None:
    """What `healthcheck.test` asks over HTTP, None when it does something else."""
    words = [plain(word) for word in test] if isinstance(test, list) else ["CMD-SHELL", plain(test)]
    text = " ".join(words[1:] if words[:1] in (["CMD"], ["CMD-SHELL"]) else words)
    if _NOT_GET.search(text):
        return None
    found = _WITH_SCHEME.search(text)
    address = _ADDRESS.fullmatch(found[0]) if found else _bare_address(text)
    if address is None:
        return None
    secure = (address["scheme"] or "").startswith("https")
    path = (address["path"] or "/").partition("#")[0]
    port = int(address["port"] or (443 if secure else 80))
    return HttpTest(path, port, secure) if re.fullmatch(PATH_PATTERN, path) and 1 <= port <= 65535 else None


def _bare_address(text: str) -> re.Match[str] | None:
    """`curl -f localhost:8080/health`: an address without a scheme is one only for a program that asks over HTTP."""
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if not words or words[0].rpartition("/")[2] not in ("curl", "wget"):
        return None
    return next((match for word in words[1:] if (match := _ADDRESS.fullmatch(word))), None)


def translate_health(draft: Draft) -> HttpTest | None:
    """Writes the health check as far as its numbers go; its port is for the caller to compare."""
    if draft.part.take("healthcheck") is None:
        return None
    part = draft.part.part("healthcheck")
    test = part.take("test")
    if part.flag("disable") or test in (["NONE"], "NONE"):
        for key in ("interval", "timeout", "retries", "start_period", "start_interval"):
            part.take(key)
        draft.container["healthcheck"] = False
        return None
    found = http_test(test) if test else None
    if found is None or found.secure:
        place = (*part.at, "test") if test else part.at
        part.notes.lose(place, _why_not(found, test))
        return None
    health: Table = {"path": found.path}
    _numbers(part, health)
    draft.table["health"] = health
    # As with Compose: its check takes the place of the image's, which may be another one.
    draft.container["healthcheck"] = False
    draft.comment("container", "healthcheck", text="The check of the Compose file took the place of the image's own.")
    if part.take("start_interval") is not None:
        part.lose("start_interval", "interval_seconds holds from the start")
    for key in part.rest():
        part.lose(key, "is no key of a health check that bluegreen knows")
    return found


def _why_not(found: HttpTest | None, test: Any) -> str:
    own = "the container keeps the HEALTHCHECK of its image, if it has one"
    if not test:
        return f"changes the HEALTHCHECK of the image, which is not possible; {own}"
    if found is not None:
        return f"asks over TLS, bluegreen asks replicas without; {own}"
    return f"is no GET on the container itself; {own}"


def _numbers(part: Part, health: Table) -> None:
    interval = _limited(part, "interval", health, "interval_seconds")
    timeout = _limited(part, "timeout", health, "timeout_seconds") or 2.0
    retries = part.take("retries")
    fall = whole(retries) if retries is not None else None
    if retries is not None and fall is None:
        part.wrong("retries", "must be a whole number")
    if fall:
        health["fall"] = min(max(fall, 1), 1000)
    start = part.take("start_period")
    grace = seconds(start) if start is not None else 0.0
    if grace is None:
        part.wrong("start_period", 'must be a duration such as "1m30s"')
    # Compose calls a container unhealthy when that many checks have failed after the grace.
    checked = (interval or COMPOSE_INTERVAL_SECONDS) * (fall or COMPOSE_RETRIES)
    least = 2 * (interval or 1.0) + timeout
    deadline = max((grace or 0.0) + checked, least)
    if deadline > HealthCheck().deadline_seconds:
        health["deadline_seconds"] = min(deadline, DAY_SECONDS)
    if interval is not None and interval >= 10:
        text = (
            f"green is healthy after {interval:g} s at the earliest and a dead replica is noticed as late; 1 s is usual"
        )
        part.change("interval", text)


def _limited(part: Part, key: str, health: Table, name: str) -> float | None:
    given = part.take(key)
    if given is None:
        return None
    value = seconds(given)
    if value is None:
        part.wrong(key, 'must be a duration such as "1m30s"')
        return None
    if value == 0:
        return None
    health[name] = min(max(value, 0.01), HOUR_SECONDS)
    return float(health[name])


def compare_port(draft: Draft, found: HttpTest | None) -> None:
    """A health check on another port than the service's is lost: bluegreen asks the one that users reach."""
    if found is not None and draft.container.get("port", found.port) != found.port:
        port = draft.container["port"]
        del draft.table["health"], draft.container["healthcheck"]
        draft.comments.pop(("container", "healthcheck"))
        text = f"asks port {found.port}, bluegreen asks port {port} alone; write a path that is answered there"
        draft.part.notes.lose((*draft.part.at, "healthcheck", "test"), text)
