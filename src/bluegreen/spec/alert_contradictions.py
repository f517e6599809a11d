"""What each key of `[alerts]` allows but the keys together don't."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bluegreen.spec.alert_settings import HTTP_KINDS
from bluegreen.spec.problems import Location, Problem
from bluegreen.spec.toml_text import toml_text

Raw = Mapping[str, Any]
_KEYS_OF = {
    "webhook": ("url", "url_env", "secret_env"),
    "alertmanager": ("url", "url_env"),
    "apprise": ("url", "url_env"),
    "file": ("path",),
}


def in_alerts(alerts: Raw) -> Iterator[Problem]:
    """Every contradiction of the table as it was read; what has the wrong type is skipped."""
    webhook = [key for key in ("webhook_url", "webhook_url_env") if key in alerts]
    if len(webhook) == 2:
        yield Problem(("alerts",), "has both webhook_url and webhook_url_env; choose one")
    owners = {"log": "the daemon's log"}
    if webhook:
        owners["webhook"] = f"alerts.{webhook[0]}"
    sinks = alerts.get("sink")
    for index, sink in enumerate(sinks if isinstance(sinks, list) else []):
        kind = sink.get("kind") if isinstance(sink, dict) else None
        if not isinstance(kind, str) or kind not in _KEYS_OF:
            continue
        at: Location = ("alerts", "sink", index)
        yield from _keys(sink, kind, at)
        name = sink.get("name", kind)
        if isinstance(name, str):
            owner = owners.setdefault(name, f"sink[{index}]")
            if owner != f"sink[{index}]":
                yield Problem((*at, "name"), f"{toml_text(name)} is already the name of {owner}")


def _keys(sink: Raw, kind: str, at: Location) -> Iterator[Problem]:
    for key in ("url", "url_env", "secret_env", "path"):
        if key in sink and key not in _KEYS_OF[kind]:
            yield Problem((*at, key), f"does not go with kind = {toml_text(kind)}")
    if kind == "file":
        if "path" not in sink:
            yield Problem((*at, "path"), "is missing: a sink of the kind file needs one")
        return
    given = [key for key in ("url", "url_env") if key in sink]
    if len(given) != 1:
        yield Problem(at, "has both url and url_env; choose one" if given else "needs a url or a url_env")
    url = sink.get("url")
    if kind in HTTP_KINDS and isinstance(url, str) and not url.startswith(("http://", "https://")):
        yield Problem((*at, "url"), "must be an http:// or https:// address")
