"""Schemathesis over the whole API: whatever is sent, no 500 and no answer that is not in the document."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from bluegreen.domain.access import Caller, Scope
from bluegreen.interfaces.http.limits import Limits
from tests.integration.api_support import HOST, ApiWorld, quick_service, tcp_door

SEED = 20_271
CALLERS = {"fuzz": Caller("fuzz", "http", Scope.ADMIN, may_run_commands=True, token_id="t-fuzz")}
HEADERS = {"Authorization": "Bearer fuzz", "Host": HOST}
SETTINGS = {
    "seed": SEED,
    "request-timeout": 20,
    "generation": {"max-examples": 6, "database": "none", "allow-x00": True, "codec": "utf-8"},
    "phases": {
        "examples": {"enabled": True},
        "coverage": {"enabled": True},
        "fuzzing": {"enabled": True},
        "stateful": {"enabled": True, "generation": {"max-examples": 4}},
    },
    # Many limits are sentences in a description: that a value is refused which the schema alone allows is no fault.
    "checks": {"positive_data_acceptance": {"enabled": False}},
}


class Server:
    """The API for tokens on a port, on a fleet with a history, in a thread of its own."""

    def __init__(self) -> None:
        self.url = ""
        self._opened, self._done = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._opened.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(20)

    async def _serve(self) -> None:
        spec = quick_service()
        brief = replace(spec, policy=replace(spec.policy, retain_seconds=0.05, approval_timeout_seconds=0.2))
        limits = Limits(heartbeat_seconds=0.1, stream_seconds=0.3)
        async with ApiWorld(brief, limits=limits) as world, world.owner() as owner, tcp_door(world, CALLERS) as address:
            for image in ("app:v1", "app:v2"):
                await world.deployed(owner, image, until="completed")
            self.url = f"http://{address}"
            self._opened.set()
            await self._done.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.mark.timeout(300)
def test_no_500_and_no_answer_that_is_not_in_the_document(server: Server) -> None:
    document = httpx.get(f"{server.url}/openapi.json", headers=HEADERS).json()
    config = SchemathesisConfig.from_dict({**SETTINGS, "base-url": server.url, "headers": HEADERS})
    schema = schemathesis.openapi.from_dict(document, config=config)
    failures, requests, operations = [], Counter[str](), set()
    for event in from_schema(schema).execute():
        assert not isinstance(event, events.FatalError), event
        if isinstance(event, events.NonFatalError):
            failures.append(f"{event.label}: {event.value!r}")
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            operations.add(recorder.label)
            requests[str(event.phase)] += len(recorder.interactions)
            failures += [
                f"{recorder.label}: {check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
                for checks in recorder.checks.values()
                for check in checks
                if check.status is Status.FAILURE and check.failure_info is not None
            ]
    assert not failures, "\n\n".join([f"{len(failures)} failures", *failures[:20]])
    paths = document["paths"].items()
    assert {f"{method.upper()} {path}" for path, methods in paths for method in methods} <= operations
    assert sum(requests.values()) > 1000, requests
