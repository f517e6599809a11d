"""The Docker Engine, as far as we ask it for anything. Everything that it refuses is a RuntimeFailure."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from aiodocker import Docker, DockerError
from aiodocker.containers import DockerContainer

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.runtimes.docker.connecting import Connection

ANSWER_TIMEOUT_SECONDS = 30.0
"""For questions and small acts. Stopping takes its grace longer."""
PULL_SILENCE_SECONDS = 600.0
"""A pull takes as long as it takes, but an engine that says nothing for so long has lost its registry."""
UNREACHABLE = 900
"""aiodocker's status for "nobody answers"."""
OK, GONE, CONFLICT = 200, 404, 409
NAME_TAKEN = "name is already in use"
PODMANS_WORDS = {"died": "die", "remove": "destroy"}
"""For what happens to containers: it filters by them, and tells some of them."""


class EngineRefusal(RuntimeFailure):
    """The engine answered, and the answer is no. `status` is HTTP's, `reason` the engine's own words."""

    def __init__(self, status: int, reason: str, *, hint: str = "") -> None:
        super().__init__(f"the Docker Engine refused: {reason}", hint=hint)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Happening:
    """`action` is the engine's word: `die`, `health_status: healthy`."""

    action: str
    container_id: str
    labels: Mapping[str, str]


class Engine:
    """Connects when it is first asked, and again after the engine was away."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def address(self) -> str:
        """Where ports are published; known once the engine has answered."""
        return self.connection.address

    @property
    def is_elsewhere(self) -> bool:
        """Whether only the network leads to its containers."""
        return self.connection.is_elsewhere

    async def aclose(self) -> None:
        await self.connection.aclose()

    @asynccontextmanager
    async def _answers(self) -> AsyncGenerator[Docker, None]:
        docker = await self.connection.open(aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS))
        try:
            yield docker
        except DockerError as problem:
            if problem.status == UNREACHABLE:
                raise self.connection.unreachable(problem) from problem
            raise EngineRefusal(problem.status, problem.message, hint=_hint(problem.message)) from problem
        except (TimeoutError, aiohttp.ClientError, OSError) as problem:
            raise self.connection.unreachable(problem) from problem

    # -- the engine itself ----------------------------------------------------------------------------------------

    async def introduction(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What it says of itself and its machine: `GET /version` and `GET /info`."""
        async with self._answers() as docker:
            return await docker.version(), await docker.system.info()

    async def running(self, most: int) -> Sequence[Mapping[str, Any]]:
        """Some of the containers that run, anybody's."""
        async with self._answers() as docker:
            found = await docker.containers.list(limit=most, filters=json.dumps({"status": ["running"]}))
            described = await asyncio.gather(*(self.describe(container.id) for container in found[:most]))
        return [one for one in described if one is not None]

    async def use(self, container: str) -> Mapping[str, Any] | None:
        """`GET /containers/ID/stats` of this moment; None when it is gone."""
        question = {"stream": "false", "one-shot": "true"}
        async with self._answers() as docker:
            address = f"{docker.docker_host}/{docker.api_version}/containers/{container}/stats"
            async with docker.session.get(address, params=question) as answer:
                if answer.status == GONE:
                    return None
                if answer.status != OK:
                    raise EngineRefusal(answer.status, await answer.text())
                found: Mapping[str, Any] = await answer.json(content_type=None)  # Podman 4.3 does not name it.
                return found

    # -- images ---------------------------------------------------------------------------------------------------

    async def inspect_image(self, reference: str) -> Mapping[str, Any]:
        """By name, name and digest, or id. Raises EngineRefusal, with GONE when there is none."""
        async with self._answers() as docker:
            return await docker.images.inspect(reference)

    async def pull(self, reference: str, login: Mapping[str, str] | None) -> AsyncGenerator[Mapping[str, Any], None]:
        """What the engine says while it pulls. It goes on as long as it is listened to. Raises EngineRefusal."""
        # The engine tells a login only to a registry that is named; its own has nameless images in `library`.
        named = f"library/{reference}" if login and "/" not in reference else reference
        async with self._answers() as docker:
            messages = docker.images.pull(named, auth=dict(login) if login else None, stream=True)
            async with aclosing(cast("AsyncGenerator[Mapping[str, Any], None]", messages)):
                while True:
                    async with asyncio.timeout(PULL_SILENCE_SECONDS):
                        message = await anext(messages, None)
                    if message is None:
                        return
                    if "error" in message:
                        raise EngineRefusal(GONE, str(message["error"]))
                    yield message

    async def default_registry(self) -> str:
        """Of images that name none."""
        async with self._answers() as docker:
            return str((await docker.system.info()).get("IndexServerAddress", ""))

    # -- networks -------------------------------------------------------------------------------------------------

    async def has_network(self, name: str) -> bool:
        with self._unless_gone():
            async with self._answers() as docker:
                await docker.networks.get(name)
                return True
        return False

    # -- containers -----------------------------------------------------------------------------------------------

    async def containers(self, labels: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """All with these labels, running or not, as the engine describes each of them in full."""
        async with self._answers() as docker:
            found = await docker.containers.list(all="true", filters=_having(labels))
            described = await asyncio.gather(*(self.describe(container.id) for container in found))
        return [one for one in described if one is not None]

    async def states(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """Id → state, such as `running`, of all with these labels. One question, however many there are."""
        async with self._answers() as docker:
            found = await docker.containers.list(all="true", filters=_having(labels))
            return {container.id: str(container["State"]) for container in found}

    async def strangers(self, owner: Mapping[str, str]) -> Sequence[Mapping[str, Any]]:
        """All that run and lack one of these labels, each as the engine describes it in full."""
        async with self._answers() as docker:
            running = await docker.containers.list()
            others = [one for one in running if not owner.items() <= (one["Labels"] or {}).items()]
            described = await asyncio.gather(*(self.describe(container.id) for container in others))
        return [one for one in described if one is not None and one["State"]["Running"]]

    async def describe(self, container: str) -> Mapping[str, Any] | None:
        """By id or name; None when there is none."""
        try:
            async with self._answers() as docker:
                return await self._handle(docker, container).show()
        except EngineRefusal as problem:
            if problem.status == GONE:
                return None
            raise

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Its id. Raises EngineRefusal, with CONFLICT when the name is taken."""
        try:
            async with self._answers() as docker:
                return (await docker.containers.create(dict(body), name=name)).id
        except EngineRefusal as problem:
            if NAME_TAKEN not in problem.reason:
                raise
            raise EngineRefusal(CONFLICT, problem.reason) from problem  # Podman 4.3 calls it an error of its own.

    async def start(self, container: str) -> None:
        """No error when it runs already."""
        async with self._answers() as docker:
            await self._handle(docker, container).start()

    async def stop(self, container: str, grace_seconds: int) -> None:
        """SIGTERM, grace, SIGKILL; returns when it has ended. No error when it is gone."""
        limit = aiohttp.ClientTimeout(total=grace_seconds + ANSWER_TIMEOUT_SECONDS)
        with self._unless_gone():
            async with self._answers() as docker:
                await self._handle(docker, container).stop(t=grace_seconds, timeout=limit)

    async def remove(self, container: str) -> None:
        """Kills what is left of it. No error when it is gone or going."""
        limit = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS)
        with self._unless_gone(GONE, CONFLICT):
            async with self._answers() as docker:
                await self._handle(docker, container).delete(force=True, v=True, timeout=limit)

    async def output(self, container: str, *, since: str, lines: int) -> str:
        """The last lines from `since` (seconds with nanoseconds) on, each behind its time. "" when it is gone."""
        limit = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_SECONDS)
        with self._unless_gone():
            async with self._answers() as docker:
                pieces = await self._handle(docker, container).log(
                    stdout=True, stderr=True, timestamps=True, since=since, tail=str(lines), timeout=limit
                )
                return "".join(pieces)
        return ""

    async def happenings(self, labels: Mapping[str, str]) -> AsyncGenerator[Happening | None, None]:
        """None at the beginning, then what changes about containers with these labels; what happens after the None is
        never missed. Raises RuntimeFailure when the engine goes away."""
        wanted = {
            "type": ["container"],
            "event": ["create", "start", "die", "destroy", "health_status", "pause", "unpause", *PODMANS_WORDS],
            "label": [f"{name}={value}" for name, value in labels.items()],
        }
        async with self._answers() as docker:
            began = int(time.time()) - 1  # The engine tells again what happened since, until it hears us.
            subscriber = docker.events.channel.subscribe()
            listening = asyncio.create_task(docker.events.run(filters=json.dumps(wanted), since=str(began)))
            try:
                yield None
                while (event := await subscriber.queue.get()) is not None:
                    actor = event["Actor"]
                    action = str(event["Action"])
                    yield Happening(PODMANS_WORDS.get(action, action), str(actor["ID"]), actor["Attributes"])
                await listening
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
        raise self.connection.unreachable(EOFError("its events have ended"))

    @staticmethod
    def _handle(docker: Docker, container: str) -> DockerContainer:
        return docker.containers.container(container)

    @contextmanager
    def _unless_gone(self, *statuses: int) -> Iterator[None]:
        try:
            yield
        except EngineRefusal as problem:
            if problem.status not in (statuses or (GONE,)):
                raise


def _having(labels: Mapping[str, str]) -> str:
    return json.dumps({"label": [f"{name}={value}" for name, value in labels.items()]})


def _hint(reason: str) -> str:
    if "HTTP request to an HTTPS server" in reason:
        return "It wants TLS: set tls_ca, tls_certificate and tls_key in [runtime]."
    return ""
