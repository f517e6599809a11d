"""Answers one resource: arguments, the gate, the answer; writes with an idempotency key only once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from bluegreen.control.gate import Gate
from bluegreen.control.idempotency import Answer, Answers, fingerprint
from bluegreen.control.schemas import input_schema, to_json
from bluegreen.domain.access import Caller
from bluegreen.domain.errors import BluegreenError, UsageError
from bluegreen.interfaces.http import problems
from bluegreen.interfaces.http.arguments import QueryField, from_body, from_query, query_fields, read_body, refuse_body
from bluegreen.interfaces.http.callers import caller_of
from bluegreen.interfaces.http.limits import Limits
from bluegreen.interfaces.http.resources import Resource, operation_path

PATIENT = frozenset({"wait", "events"})
"""Operations that may take long and change nothing: they end when nobody waits for them any more."""
GONE = 499
"""Status of an answer that nobody hears."""

Result = TypeVar("Result")


class Handler:
    """`query` and `body` are the parameters of the resource; `body` None means that it takes none."""

    def __init__(self, gate: Gate, resource: Resource, *, answers: Answers, limits: Limits) -> None:
        self.resource = resource
        self.operation = gate.operations[resource.operation]
        self._gate = gate
        self._answers = answers
        self._limits = limits
        self._response = resource.response or self.operation.response
        properties = input_schema(self.operation)["properties"]
        offered = properties if resource.fields is None else resource.fields
        names = [name for name in offered if name not in resource.path_fields]
        self.takes_body = resource.method == "POST"
        self.query: dict[str, QueryField] = {} if self.takes_body else query_fields(properties, names)
        self.body: list[str] | None = names
        if resource.path == operation_path(resource.operation):
            # The gate knows more parameters than it shows: those of the owner's command line.
            self.body = None

    async def answer(self, request: Request) -> Response:
        """Raises BluegreenError when the request can't be understood; what the gate says is an answer."""
        caller = caller_of(request.scope)
        arguments = await self._arguments(request)
        if self.operation.name in PATIENT:
            done = await _unless_gone(self._perform(request, arguments, caller), request.receive)
            return Response(status_code=GONE) if done is None else _response(done)
        keys = request.headers.getlist("idempotency-key") if self.operation.changes else []
        if not keys:
            return _response(await self._perform(request, arguments, caller))
        if len(keys) > 1:
            raise UsageError("Idempotency-Key: is given more than once")
        print_of_request = fingerprint(keys[0], request.method, request.scope["path"], arguments)
        done, replayed = await self._answers.once(
            caller, keys[0], print_of_request, lambda: self._perform(request, arguments, caller)
        )
        response = _response(done)
        if replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return response

    async def _arguments(self, request: Request) -> dict[str, Any]:
        arguments = from_query(request.scope["query_string"], self.query)
        if self.takes_body:
            body = await read_body(request, timeout_seconds=self._limits.body_timeout_seconds)
            arguments |= from_body(body, self.body)
        else:
            refuse_body(request)
        return arguments | {name: request.path_params[name] for name in self.resource.path_fields}

    async def _perform(self, request: Request, arguments: dict[str, Any], caller: Caller) -> Answer:
        path = request.scope["path"]
        try:
            view = await self._gate.call(self.operation.name, json.dumps(arguments).encode(), caller)
        except BluegreenError as error:
            return Answer(
                problems.status_of(error),
                problems.problem_text(error, path),
                problems.MEDIA_TYPE,
                problems.problem_headers(error),
            )
        shown = self.resource.show(view) if self.resource.show else view
        headers = {}
        if self.resource.location:
            headers["Location"] = self.resource.location.format(id=quote(view.id, safe=""))
        return Answer(self.resource.status, to_json(self._response, shown).decode(), headers=headers)


def _response(answer: Answer) -> Response:
    return Response(
        answer.body, status_code=answer.status, headers=dict(answer.headers or {}), media_type=answer.media_type
    )


async def _unless_gone(work: Awaitable[Result], receive: Receive) -> Result | None:
    """None when the client hung up first; the work is cancelled then."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(until_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def until_gone(receive: Receive) -> None:
    """Returns when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
