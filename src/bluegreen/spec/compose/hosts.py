"""Which requests are the service's: what a Compose file tells Traefik or nginx-proxy."""

from __future__ import annotations

import re
from collections.abc import Mapping

from bluegreen.spec.compose.draft import Draft
from bluegreen.spec.compose.units import whole
from bluegreen.spec.values import HOST_PATTERN

_RULE = re.compile(r"traefik\.http\.routers\.[^.]+\.rule|traefik\.frontend\.rule", re.IGNORECASE)
_PORT = re.compile(r"traefik\.http\.services\.[^.]+\.loadbalancer\.server\.port|traefik\.port", re.IGNORECASE)
_SCHEME = re.compile(r"traefik\.http\.services\.[^.]+\.loadbalancer\.server\.scheme", re.IGNORECASE)
_HOST_CALL = re.compile(r"(?<![A-Za-z!])Host\(([^)]*)\)")
_OTHER_CALL = re.compile(r"(!?[A-Z][A-Za-z]+)\(")
OTHER_ROUTERS = ("traefik.", "caddy", "com.docker.compose.", "com.centurylinklabs.watchtower.")
"""Beginnings of labels that make other programs route to a container, or replace it, beside bluegreen."""
PROXY_VARIABLES = (
    "VIRTUAL_HOST",
    "VIRTUAL_PORT",
    "VIRTUAL_PROTO",
    "VIRTUAL_PATH",
    "LETSENCRYPT_HOST",
    "LETSENCRYPT_EMAIL",
)


def from_labels(draft: Draft, labels: Mapping[str, str]) -> int | None:
    """Adds the hosts of Traefik's rules to the draft; the port that Traefik was told, if it was."""
    port = None
    for name, value in labels.items():
        if _RULE.fullmatch(name):
            _rule(draft, name, value)
        elif _PORT.fullmatch(name):
            port = whole(value)
        elif _SCHEME.fullmatch(name) and value == "h2c":
            draft.table["protocol"] = "h2c"
    return port if port is not None and 1 <= port <= 65535 else None


def _rule(draft: Draft, name: str, rule: str) -> None:
    if name.lower() == "traefik.frontend.rule":
        _add(draft, ("labels", name), re.split(r"[,;\s]+", rule.removeprefix("Host:")) if "Host:" in rule else [rule])
        return
    for call in _HOST_CALL.findall(rule):
        _add(draft, ("labels", name), [host.strip(" `'\"") for host in call.split(",")])
    others = sorted(set(_OTHER_CALL.findall(_HOST_CALL.sub("", rule))))
    if others:
        text = f"{', '.join(others)} in {rule!r}: services are told apart by their host alone"
        draft.part.lose("labels", text)


def from_environment(draft: Draft, environment: Mapping[str, str]) -> int | None:
    """Adds the hosts of VIRTUAL_HOST to the draft; the port of VIRTUAL_PORT, if there is one."""
    if given := environment.get("VIRTUAL_HOST"):
        _add(draft, ("environment", "VIRTUAL_HOST"), [host.strip() for host in given.split(",")])
    port = whole(environment.get("VIRTUAL_PORT", ""))
    return port if port is not None and 1 <= port <= 65535 else None


def _add(draft: Draft, place: tuple[str, ...], hosts: list[str]) -> None:
    for host in filter(None, hosts):
        bare = re.sub(r":[0-9]+$", "", host)
        if len(bare) <= 253 and re.fullmatch(HOST_PATTERN, bare) and "\n" not in bare:
            draft.named_hosts.append(bare)
        else:
            draft.part.notes.lose((*draft.part.at, *place), f"{host!r} is no host such as api.example.com")


def settle(drafts: list[Draft]) -> None:
    """Gives every service its hosts: those that the file names, else `*` for the only one, else NAME.localhost."""
    taken: set[str] = set()
    for draft in drafts:
        own: list[str] = []
        for host in dict.fromkeys(host.lower() for host in draft.named_hosts):
            if host in taken or len(own) == 64:
                draft.part.lose("labels", f"host {host!r}: another service has it already, or there are more than 64")
            else:
                own.append(host)
        taken.update(own)
        draft.table["hosts"] = own
    for draft in drafts:
        if draft.table["hosts"]:
            continue
        made = "*" if len(drafts) == 1 else f"{draft.name}.localhost"
        while made in taken:
            made = f"other.{made}"
        taken.add(made)
        draft.table["hosts"] = [made]
        if made != "*":
            text = f"the file names no host for it: requests for {made!r} are its own; write the host that users call"
            draft.part.notes.change(draft.part.at, text)
