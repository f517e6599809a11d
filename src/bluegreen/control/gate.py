"""What every door calls. One place parses, decides who may, runs, and writes down what was done.

A door turns what it received into an operation's name, its arguments and a Caller; everything else is the same
through every door, so no door can allow what another forbids.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from pydantic import ValidationError

from bluegreen.control.fleet import Fleet, unknown
from bluegreen.control.masking import masked
from bluegreen.control.operations import OPERATIONS, Operation
from bluegreen.control.ports import AuditEntry, AuditLog, Clock
from bluegreen.control.schemas import adapter
from bluegreen.domain.access import Caller
from bluegreen.domain.errors import BluegreenError, Forbidden, UsageError

log = logging.getLogger(__name__)


class Gate:
    """`fleet` is the whole one; each call works on what its caller may see of it. `more` are operations of the daemon
    itself (reload, shutdown)."""

    def __init__(
        self, fleet: Fleet, *, audit: AuditLog, clock: Clock, more: Mapping[str, Operation] | None = None
    ) -> None:
        self.fleet = fleet
        self.operations: dict[str, Operation] = {**OPERATIONS, **(more or {})}
        self._audit = audit
        self._clock = clock
        self._writing: set[asyncio.Task[None]] = set()

    def operation(self, name: str) -> Operation:
        """Raises UnknownName with the nearest names."""
        found = self.operations.get(name)
        if found is None:
            raise unknown("operation", name, self.operations)
        return found

    async def call(self, name: str, arguments: Mapping[str, Any] | bytes, caller: Caller) -> Any:
        """The operation's view. Raises BluegreenError, whatever went wrong; a defect is one too, and is logged."""
        operation, given = self.operation(name), arguments
        try:
            self._authorise(operation, caller)
            request = self._from(caller, parse(operation, arguments))
            given = _given(request)
            result = await operation.run(self.fleet.acting_for(caller), request)
        except BluegreenError as error:
            self._write_down(operation, caller, given, f"{error.code}: {error.message}")
            raise
        except Exception as error:
            log.exception("operation %s failed", name)
            self._write_down(operation, caller, given, f"defect: {type(error).__name__}")
            raise BluegreenError(
                f"{name} failed unexpectedly: {type(error).__name__}: {error}",
                hint="This is a defect of bluegreen; the daemon's log has the details",
            ) from error
        self._write_down(operation, caller, given, "ok")
        return result

    def _authorise(self, operation: Operation, caller: Caller) -> None:
        if not caller.scope.includes(operation.scope):
            raise Forbidden(
                f"scope: {operation.name} takes scope {operation.scope}, and {caller.name} has {caller.scope}",
                hint=f"Ask for a token of scope {operation.scope}: "
                f"bluegreen token create NAME --scope {operation.scope}",
            )
        if operation.owner_only and caller.token_id:
            raise Forbidden(
                f"{operation.name}: only for the owner, through the unix socket, and {caller.name} is a token",
                hint=f"On the daemon's machine: bluegreen {operation.command}",
            )
        if operation.touches_all and caller.services is not None:
            raise Forbidden(
                f"{operation.name}: concerns every service, and {caller.name} is limited to: "
                f"{', '.join(sorted(caller.services))}",
                hint="Ask for a token that is not limited to services, or the owner",
            )

    @staticmethod
    def _from(caller: Caller, request: Any) -> Any:
        """The owner may say for whom it asks; a token always speaks for itself."""
        names = {field.name for field in fields(request)}
        if "requested_by" in names and caller.token_id:
            request = replace(request, requested_by=caller.name)
        return request

    def _write_down(self, operation: Operation, caller: Caller, arguments: Any, result: str) -> None:
        """In the background and after the fact: a disk that is full must not stand between a person and a rollback."""
        refused = result.startswith(Forbidden.code)
        if not operation.changes and not refused:
            return
        if isinstance(arguments, bytes):
            arguments = {"unparsed": f"{len(arguments)} bytes"}
        entry = AuditEntry(self._clock.now(), caller.name, caller.door, operation.name, masked(arguments), result)
        task = asyncio.create_task(self._append(entry))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _append(self, entry: AuditEntry) -> None:
        try:
            await self._audit.append(entry)
        except Exception as error:
            log.error("the audit log could not be written (%s): %s by %s", error, entry.what, entry.who)

    async def refused(self, what: str, caller_name: str, door: str, error: BluegreenError) -> None:
        """Writes down what did not even get a Caller: a wrong token, one that is expired."""
        await self._append(AuditEntry(self._clock.now(), caller_name, door, what, {}, f"{error.code}: {error.message}"))

    async def close(self) -> None:
        """Waits for what is being written down."""
        if self._writing:
            await asyncio.wait(self._writing, timeout=2.0)


def parse(operation: Operation, arguments: Mapping[str, Any] | bytes) -> Any:
    """Strict: no unknown parameters, no conversions. Raises UsageError naming each parameter."""
    known = [field.name for field in fields(operation.request)]
    listing = ", ".join(known) or "none"
    try:
        # Infinity and NaN are written as some clients write them; the schema refuses them by the parameter's name.
        body = arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{operation.name}: the arguments are no JSON", hint=f"It takes: {listing}") from error
    try:
        return adapter(operation.request).validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        found = error.errors()
        strangers = [str(p["loc"][0]) for p in found if p["type"] == "unexpected_keyword_argument" and p["loc"]]
        if strangers:
            raise UsageError(
                f"{operation.name}: unknown parameter {', '.join(map(repr, strangers))}", hint=f"It takes: {listing}"
            ) from error
        problems = "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in found)
        raise UsageError(f"{operation.name}: {problems}", hint=f"It takes: {listing}") from error


def _given(request: Any) -> dict[str, Any]:
    """What was asked for, without the parameters that were left out."""
    empty: tuple[Any, ...] = (None, "", (), {})
    return {name: value for name, value in asdict(request).items() if value not in empty and value is not False}


Call = Callable[[str, Mapping[str, Any] | bytes, Caller], Awaitable[Any]]
"""How a door reaches the gate, here or through the daemon's socket."""
