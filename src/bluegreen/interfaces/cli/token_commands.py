"""`bluegreen token …`. Works on the file of the tokens; a daemon that runs notices the change with the next request."""

from __future__ import annotations

import dataclasses
import difflib
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from bluegreen.domain.access import Scope
from bluegreen.domain.errors import StoreError, UnknownName, UsageError
from bluegreen.domain.tokens import (
    ID_CHARACTERS,
    SECRET_CHARACTERS,
    Token,
    checked_name,
    digest,
    moment_text,
    parse_expiry,
    readable,
    text_of,
)
from bluegreen.interfaces.cli import options as o
from bluegreen.interfaces.cli.location import command_line, service_names, state_directory_of
from bluegreen.interfaces.cli.output import console, is_interactive, note, print_json
from bluegreen.spec.paths import audit_log, token_file

if TYPE_CHECKING:
    from bluegreen.stores.tokens import TokenFile

DEFAULT_EXPIRY = "90d"
DOOR = "command line"
"""What the audit log calls it."""
_SCOPES = {
    Scope.READ: "may look, and plan, and changes nothing",
    Scope.DEPLOY: "may start versions that then wait for: bluegreen approve SERVICE",
    Scope.SWITCH: "may move the traffic",
    Scope.ADMIN: "may do everything, also stop what has the traffic",
}


def create(
    name: Annotated[str, Parameter(help="What history and audit log shall call whoever has it.")],
    /,
    *,
    scope: Annotated[
        Literal["read", "deploy", "switch", "admin"],
        Parameter(name="--scope", help="What it allows; each scope includes those before it."),
    ],
    service: Annotated[
        tuple[str, ...],
        Parameter(name="--service", help="Only this service; may be given several times. All without it.", negative=()),
    ] = (),
    expires: Annotated[
        str,
        Parameter(name="--expires", help="30d, 12h, 90m, a date such as 2027-03-31, or never.", show_default=True),
    ] = DEFAULT_EXPIRY,
    commands: Annotated[
        bool, Parameter(name="--commands", help="Workloads may run other commands than the configured ones.")
    ] = False,
    requests_per_second: Annotated[
        float | None,
        Parameter(name="--requests-per-second", help="How often it may ask; as `[api]` says without it."),
    ] = None,
    burst: Annotated[
        int | None, Parameter(name="--burst", help="How often it may ask at once; as `[api]` says without it.")
    ] = None,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """Make a token for the API. Its text is printed once, alone on stdout: TOKEN=$(bluegreen token create …)."""
    now = time.time()
    secret = readable(secrets.token_bytes(SECRET_CHARACTERS))
    token = Token(
        id=readable(secrets.token_bytes(ID_CHARACTERS)),
        name=checked_name(name),
        digest=digest(secret),
        scope=Scope(scope),
        created_at=now,
        services=_checked_services(service, config),
        may_run_commands=commands,
        requests_per_second=_within("--requests-per-second", requests_per_second),
        burst=_within("--burst", burst),
        expires_at=parse_expiry(expires, now),
    )
    _file(config).add(token)
    _write_down("token_create", token, config)
    text = text_of(token.id, secret)
    if as_json:
        print_json({**_shown(token, now), "token": text})
        return 0
    until = f"expires {moment_text(token.expires_at)}" if token.expires_at else "never expires"
    unasked = f" ({DEFAULT_EXPIRY}, unless --expires says otherwise)" if expires == DEFAULT_EXPIRY else ""
    services = ", ".join(sorted(token.services)) if token.services is not None else "all services"
    note(
        f"token '{token.name}' ({token.id}): scope {token.scope}, which {_SCOPES[token.scope]}; {services}",
        f"it {until}{unasked}",
        "this is the only time that it is shown:",
    )
    print(text, flush=True)
    if is_interactive():
        note(f"end it: {command_line(f'token revoke {token.name}', config)}")
    return 0


def list_(*, as_json: o.Json = False, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """List the tokens, those that are over included. Their text is not kept, so it can't be shown."""
    now = time.time()
    tokens = _file(config).all()
    if as_json:
        print_json({"tokens": [_shown(token, now) for token in tokens]})
        return 0
    if not tokens:
        print(f"no token yet: {command_line('token create NAME --scope read', config)}")
        return 0
    from rich.text import Text

    from bluegreen.interfaces.cli.tables import table

    made = table("ID", "NAME", "SCOPE", "SERVICES", "COMMANDS", "MADE", "EXPIRES", "STATE", wrap=("SERVICES",))
    for token in tokens:
        state = _state(token, now)
        made.add_row(
            token.id,
            Text(token.name, style="bold" if state == "live" else "dim"),
            str(token.scope),
            "all" if token.services is None else ", ".join(sorted(token.services)),
            "any" if token.may_run_commands else "configured",
            moment_text(token.created_at),
            "never" if token.expires_at is None else moment_text(token.expires_at),
            Text(state, style="green" if state == "live" else "dim"),
        )
    console().print(made)
    return 0


def revoke(
    name: Annotated[str, Parameter(help="Name or id of the token, as `bluegreen token list` shows it.")],
    /,
    *,
    as_json: o.Json = False,
    config: o.Config = o.CONFIG_DEFAULT,
) -> int:
    """End a token. It is refused from the next request on, and can't be brought back."""
    now = time.time()
    token = _file(config).revoke(name, now)
    if token.revoked_at == now:
        _write_down("token_revoke", token, config)
    if as_json:
        print_json(_shown(token, now))
    elif token.revoked_at == now:
        print(f"token '{token.name}' ({token.id}) is revoked")
    else:
        print(f"token '{token.name}' ({token.id}) was revoked before, at {moment_text(token.revoked_at or now)}")
    return 0


def _file(config: Path) -> TokenFile:
    from bluegreen.stores.tokens import TokenFile

    return TokenFile(token_file(state_directory_of(config)))


def _checked_services(given: tuple[str, ...], config: Path) -> frozenset[str] | None:
    if not given:
        return None
    known = service_names(config)
    for service in given:
        if service not in known:
            near = difflib.get_close_matches(service, known, n=3)
            listing = (
                "Did you mean " + " or ".join(map(repr, near)) + "?" if near else f"Known: {', '.join(known[:20])}"
            )
            raise UnknownName(f"--service: there is no service {service!r} in {config}", hint=listing)
    return frozenset(given)


def _within(option: str, value: Any) -> Any:
    if value is not None and not 0 < value <= 100_000:
        raise UsageError(f"{option}: must be above 0 and at most 100000, got {value}")
    return value


def _state(token: Token, now: float) -> str:
    return "live" if token.is_live(now) else "revoked" if token.revoked_at is not None else "expired"


def _shown(token: Token, now: float) -> dict[str, Any]:
    """Everything but the digest."""
    fields = {field.name: getattr(token, field.name) for field in dataclasses.fields(token) if field.name != "digest"}
    services = None if token.services is None else sorted(token.services)
    return {**fields, "scope": str(token.scope), "services": services, "state": _state(token, now)}


def _write_down(what: str, token: Token, config: Path) -> None:
    """In the audit log. When that can't be written the token is made, or ended, all the same, and somebody is told."""
    from bluegreen.control.ports import AuditEntry
    from bluegreen.stores.audit import AuditFile

    services = "all" if token.services is None else sorted(token.services)
    arguments: dict[str, Any] = {"name": token.name, "id": token.id, "scope": str(token.scope), "services": services}
    arguments |= {"may_run_commands": token.may_run_commands, "expires_at": token.expires_at}
    entry = AuditEntry(time.time(), o.requested_by(), DOOR, what, arguments, "ok")
    try:
        AuditFile(audit_log(state_directory_of(config))).write(entry)
    except StoreError as error:
        note(f"warning: this is not in the audit log: {error.message}", error.hint)
