"""What each key of `[metrics.prometheus]` and `[[services.NAME.analysis]]` allows but the keys together don't."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from bluegreen.domain.service import Analysis
from bluegreen.spec.problems import Location, Problem
from bluegreen.spec.toml_text import toml_text

Raw = Mapping[str, Any]
_RESERVED = ("errors", "latency", "replicas", "health")
_SMOKE_PREFIX = "smoke test "
_INTERVAL = Analysis(name="").interval_seconds


def in_prometheus(table: Raw) -> Iterator[Problem]:
    at: Location = ("metrics", "prometheus")
    tokens = [key for key in ("bearer_token_env", "bearer_token_file") if key in table]
    if len(tokens) == 2:
        yield Problem(at, "has both bearer_token_env and bearer_token_file; choose one")
    url = table.get("url")
    if not isinstance(url, str):
        return
    try:
        parts = urlsplit(url)
        clear = parts.scheme == "http"
        host, credentials = parts.hostname or "", parts.username or parts.password
    except ValueError:
        return
    if credentials:
        text = "must have no user or password in it; name a token with bearer_token_env or bearer_token_file"
        yield Problem((*at, "url"), text)
    if parts.query or parts.fragment:
        yield Problem((*at, "url"), "must end with its path: ? and # do not belong here")
    if clear and tokens and not _is_this_machine(host):
        yield Problem((*at, "url"), f"must begin with https://, for {tokens[0]} would cross the network in clear")
    if clear and "ca_file" in table:
        yield Problem((*at, "ca_file"), "only goes with an https:// address")


def in_analyses(analyses: object, at: Location) -> Iterator[Problem]:
    if not isinstance(analyses, list):
        return
    seen: dict[str, int] = {}
    for index, analysis in enumerate(analyses):
        if not isinstance(analysis, dict):
            continue
        here = (*at, index)
        yield from _one(analysis, here)
        name = analysis.get("name")
        if not isinstance(name, str):
            continue
        if name in _RESERVED or name.startswith(_SMOKE_PREFIX):
            yield Problem((*here, "name"), f"{toml_text(name)} is what bluegreen's own measurements are called")
        if seen.setdefault(name, index) != index:
            yield Problem((*here, "name"), f"{toml_text(name)} is already the name of analysis[{seen[name]}]")


def without_source(analyses: object, at: Location) -> Iterator[Problem]:
    """Queries with nobody to ask."""
    for index, analysis in enumerate(analyses if isinstance(analyses, list) else []):
        if isinstance(analysis, dict) and "query" in analysis:
            yield Problem((*at, index, "query"), "needs [metrics.prometheus] with the url of who is asked")


def _one(analysis: Raw, here: Location) -> Iterator[Problem]:
    if "query" in analysis and "command" in analysis:
        yield Problem(here, "has both query and command; choose one")
    elif "query" in analysis and "condition" not in analysis:
        yield Problem((*here, "condition"), 'is missing: what must the result be? For example "result < 0.05"')
    elif "command" in analysis and "condition" in analysis:
        yield Problem((*here, "condition"), "only goes with query; a command's exit code is its answer")
    elif "query" not in analysis and "command" not in analysis:
        yield Problem(here, "needs a query or a command")
    timeout, interval = analysis.get("timeout_seconds"), analysis.get("interval_seconds", _INTERVAL)
    with suppress(TypeError):
        if timeout is not None and timeout > interval:
            limit = f"must be ≤ interval_seconds ({toml_text(interval)}), got {toml_text(timeout)}"
            yield Problem((*here, "timeout_seconds"), limit)


def _is_this_machine(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"
