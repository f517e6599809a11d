"""The HTTP API: FastAPI routes over the gate. It parses nothing twice and decides nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Match
from starlette.types import ASGIApp

from bluegreen.control.gate import Gate
from bluegreen.control.idempotency import Answers
from bluegreen.domain.errors import BluegreenError
from bluegreen.interfaces.http import docs_page, event_stream, history_pages, openapi, problems
from bluegreen.interfaces.http.callers import PUBLIC_PATHS, caller_of
from bluegreen.interfaces.http.entrance import Entrance
from bluegreen.interfaces.http.handler import Handler
from bluegreen.interfaces.http.limits import Limits, RequestCounts
from bluegreen.interfaces.http.prometheus import MEDIA_TYPE
from bluegreen.interfaces.http.resources import RESOURCES, DeploymentPageView, Resource, operation_path
from bluegreen.interfaces.http.scrape import Scrape
from bluegreen.interfaces.http.wellness import Readiness, Ready
from bluegreen.spec.configuration import ApiSettings

Endpoint = Callable[[Request], Awaitable[Response]]
Responses = dict[int | str, dict[str, Any]]
Lifespan = Callable[[], AbstractAsyncContextManager[Any]]


def build_api(
    gate: Gate,
    *,
    settings: ApiSettings | None = None,
    limits: Limits | None = None,
    ready: Ready | None = None,
    mounts: Mapping[str, ASGIApp] | None = None,
    lifespans: Sequence[Lifespan] = (),
) -> FastAPI:
    """All operations of the gate, as `POST /v1/operations/NAME` and as resources, and what is mounted beside them.

    Callers come from the doors (`as_owner`, `with_tokens`); without one nothing but public paths answers. `lifespans`
    are entered while `running(app)`. `ready` says what is not ready; None: asks the router and writes to the store.
    """
    settings, limits, counts = settings or ApiSettings(), limits or Limits(), RequestCounts()
    # Its own pages load scripts from elsewhere; ours is made of its document. A slash too many is another path.
    pages: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}
    app = FastAPI(**pages, redirect_slashes=False, lifespan=_lifespan(lifespans))
    app.state.counts = counts
    _add_resources(app, gate, Answers(gate.fleet.ports.store, gate.fleet.ports.clock), limits)
    _add_hand_made(app, gate, limits, counts)
    _add_daemon_pages(app, gate, counts, ready or Readiness(gate.fleet, gate.fleet.ports.store))
    _add_errors(app)
    schemas = openapi.components(
        gate.operations.values(),
        [DeploymentPageView, *(resource.response for resource in RESOURCES if resource.response is not None)],
    )
    app.openapi = openapi.document_maker(app, schemas, PUBLIC_PATHS)  # type: ignore[method-assign]
    app.add_middleware(
        Entrance, limits=limits, counts=counts, max_body_bytes=settings.max_body_bytes, mounts=dict(mounts or {})
    )
    return app


def _lifespan(lifespans: Sequence[Lifespan]) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def enter_all(_: FastAPI) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for lifespan in lifespans:
                await stack.enter_async_context(lifespan())
            yield

    return enter_all


def _endpoint(answer: Endpoint) -> Endpoint:
    """FastAPI reads an endpoint's signature; this is one for all."""

    async def endpoint(request: Request) -> Response:
        return await answer(request)

    return endpoint


def _add_resources(app: FastAPI, gate: Gate, answers: Answers, limits: Limits) -> None:
    by_name = [Resource("POST", operation_path(name), name, "operations") for name in gate.operations]
    for resource in [*RESOURCES, *by_name]:
        handler = Handler(gate, resource, answers=answers, limits=limits)
        app.add_api_route(
            resource.path,
            _endpoint(handler.answer),
            response_class=Response,
            response_model=None,
            **openapi.route_of(handler),
        )

    async def unknown_operation(request: Request) -> Response:
        caller_of(request.scope)
        gate.operation(request.path_params["name"])
        raise problems.NotFound("path: there is no such operation")

    app.add_api_route(operation_path("{name}"), unknown_operation, methods=["POST"], include_in_schema=False)


def _add_hand_made(app: FastAPI, gate: Gate, limits: Limits, counts: RequestCounts) -> None:
    app.add_api_route(
        history_pages.PATH,
        _endpoint(history_pages.HistoryPages(gate).answer),
        methods=["GET"],
        operation_id="get_services_service_deployments",
        tags=["services"],
        summary="Past and present deployments of a service, newest first, page by page",
        description=gate.operations["history"].description + "\n\nTakes scope `read`.",
        response_class=Response,
        response_model=None,
        responses=_json_responses(DeploymentPageView.__name__),
        openapi_extra={
            "parameters": [
                openapi.path_parameter("service", "Name of the service."),
                *map(openapi.query_parameter, history_pages.FIELDS.values()),
            ]
        },
    )
    app.add_api_route(
        event_stream.PATH,
        _endpoint(event_stream.EventStreams(gate, limits, counts).answer),
        methods=["GET"],
        operation_id="get_deployments_deployment_events_stream",
        tags=["deployments"],
        summary="The events of a deployment as they happen",
        description=event_stream.DESCRIPTION,
        response_class=Response,
        response_model=None,
        responses=_text_responses("text/event-stream", schema=event_stream.MESSAGE),
        openapi_extra={
            "parameters": [
                openapi.path_parameter("deployment", "Id of the deployment."),
                openapi.query_parameter(event_stream.AFTER),
                event_stream.LAST_EVENT_ID,
            ]
        },
    )


def _add_daemon_pages(app: FastAPI, gate: Gate, counts: RequestCounts, ready: Ready) -> None:
    scrape, page = Scrape(gate.fleet, counts), docs_page.DocsPage(app)

    async def healthz(_: Request) -> Response:
        """The daemon lives. Needs no token."""
        return Response("ok\n", media_type="text/plain")

    async def readyz(_: Request) -> Response:
        """The router answers and the event store can be written. Needs no token."""
        if problem := await ready():
            raise problems.NotReady(f"ready: {problem}", hint="The daemon's log says more; try: bluegreen doctor")
        return Response("ready\n", media_type="text/plain")

    async def metrics(request: Request) -> Response:
        """What the daemon knows as numbers, in the Prometheus text format. Takes scope `read`."""
        caller = caller_of(request.scope)
        return Response(await scrape.text(gate.fleet.acting_for(caller)), media_type=MEDIA_TYPE)

    async def docs(_: Request) -> Response:
        return HTMLResponse(page.html, headers={"Content-Security-Policy": page.policy, **docs_page.HEADERS})

    async def openapi_json(_: Request) -> Response:
        return Response(page.document, media_type="application/json", headers=docs_page.HEADERS)

    plain = "text/plain"
    kinds: dict[str, Any] = {"response_class": Response, "response_model": None, "tags": ["daemon"]}
    for path, endpoint, responses in (
        ("/healthz", healthz, _text_responses(plain, ())),
        ("/readyz", readyz, _text_responses(plain, (503,))),
        ("/metrics", metrics, _text_responses(plain)),
    ):
        name = path.removeprefix("/")
        app.add_api_route(path, endpoint, operation_id=name, summary=name, responses=responses, **kinds)
    app.add_api_route("/docs", docs, include_in_schema=False, **kinds)
    app.add_api_route("/openapi.json", openapi_json, include_in_schema=False, **kinds)


def _json_responses(model: str) -> Responses:
    content = {"application/json": {"schema": {"$ref": openapi.REF.format(model=model)}}}
    answers = openapi.problem_responses((*openapi.READ_PROBLEMS, 413))
    return {200: {"description": "OK", "content": content}, **answers}


def _text_responses(
    media_type: str, statuses: Sequence[int] = openapi.READ_PROBLEMS, *, schema: Mapping[str, Any] | None = None
) -> Responses:
    content = {media_type: {"schema": schema or {"type": "string"}}}
    return {200: {"description": "OK", "content": content}, **openapi.problem_responses(statuses)}


def _add_errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, BluegreenError)
        return problems.problem(error, request.scope["path"])

    async def unmatched(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return problems.problem(_named(app, request, error), request.scope["path"])

    async def defect(request: Request, error: Exception) -> Response:
        unexpected = BluegreenError(
            f"{request.method} failed unexpectedly: {type(error).__name__}",
            hint="This is a defect of bluegreen; the daemon's log has the details",
        )
        return problems.problem(unexpected, request.scope["path"])

    app.add_exception_handler(BluegreenError, refused)
    app.add_exception_handler(HTTPException, unmatched)
    app.add_exception_handler(Exception, defect)


def _named(app: FastAPI, request: Request, error: HTTPException) -> BluegreenError:
    """The framework's errors in our words."""
    if error.status_code != 405:
        hint = "All paths: GET /openapi.json, or the page /docs"
        return problems.NotFound("path: there is nothing at this path", hint=hint)
    matching = [route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE]
    allowed = ", ".join(sorted({method for route in matching for method in getattr(route, "methods", None) or ()}))
    return problems.MethodNotAllowed(
        f"method: {request.method[:20]} is not for this path", allowed=allowed, hint=f"It has: {allowed}"
    )
