"""What every router must do, the real HAProxy and the fake alike."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Protocol

import httpx
import pytest

from bluegreen.control.ports import TrafficRouter
from bluegreen.domain.errors import RouterError, StaleRoute, UsageError
from bluegreen.domain.latency import EDGES_MILLISECONDS, slower_than
from bluegreen.domain.model import Color, Endpoint, Route, RouteTarget, SlotTraffic
from bluegreen.domain.service import ServiceSpec
from bluegreen.routers.fake import FakeRouter
from bluegreen.routers.haproxy.router import HaproxyRouter
from tests.support.haproxy import Place, haproxy_place, service
from tests.support.http_backends import HttpBackend, until

BLUE, GREEN = Color.BLUE, Color.GREEN


class World(Protocol):
    """A router, requests through it, and a way to restart its controller."""

    @property
    def router(self) -> TrafficRouter: ...

    async def get(self, name: str, path: str = "/") -> tuple[int, str]: ...

    async def broken_off(self, name: str) -> int:
        """Asks for an answer that its backend breaks off; the status it had begun with."""
        ...

    async def hang_up(self, name: str, path: str, arrived: Callable[[], bool]) -> None:
        """Asks, and goes away without the answer when the request has arrived."""
        ...

    async def restart(self, services: Sequence[ServiceSpec]) -> None: ...


class HaproxyWorld:
    def __init__(self, place: Place, router: HaproxyRouter) -> None:
        self.place = place
        self.router = router
        self.client = httpx.AsyncClient(timeout=20)

    async def get(self, name: str, path: str = "/") -> tuple[int, str]:
        answer = await self.client.get(f"http://{self.router.listen}{path}", headers={"Host": f"{name}.example"})
        return answer.status_code, answer.text

    async def broken_off(self, name: str) -> int:
        return await begun(self.client, f"http://{self.router.listen}/break", {"Host": f"{name}.example"})

    async def hang_up(self, name: str, path: str, arrived: Callable[[], bool]) -> None:
        _, writer = await asyncio.open_connection(self.router.listen.host, self.router.listen.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {name}.example\r\n\r\n".encode())
        await until(arrived, "the request at its backend")
        writer.close()

    async def restart(self, services: Sequence[ServiceSpec]) -> None:
        self.router = self.place.router()
        await self.router.start(services)


class FakeWorld:
    """Sends requests where the fake router's routes and endpoints say, and counts them as a router would."""

    def __init__(self) -> None:
        self.router = FakeRouter()
        self.random = random.Random(1)
        self.client = httpx.AsyncClient(timeout=20)

    async def get(self, name: str, path: str = "/") -> tuple[int, str]:
        route = (await self.router.routes()).get(name)
        if route is None:
            return 404, ""
        if not route.targets:
            return 503, ""
        (target,) = self.random.choices(route.targets, [target.weight for target in route.targets])
        endpoints = self.random.sample(known := self.router.endpoints[(name, target.color)], len(known))
        began = time.monotonic()
        for tried, endpoint in enumerate(endpoints):
            try:
                answer = await self.client.get(f"http://{endpoint}{path}")
            except httpx.ConnectError:
                continue
            except httpx.RemoteProtocolError:
                return self._in_place(target.workload_id, 502, began, tried)
            took = (time.monotonic() - began) * 1000
            self.router.count_answer(target.workload_id, answer.status_code, took, retries=tried)
            return answer.status_code, answer.text
        return self._in_place(target.workload_id, 503, began, len(endpoints))

    def _in_place(self, workload_id: str, status: int, began: float, retries: int) -> tuple[int, str]:
        took = (time.monotonic() - began) * 1000
        self.router.count_answer(workload_id, status, took, in_place=True, retries=retries)
        return status, ""

    async def broken_off(self, name: str) -> int:
        (target,) = (await self.router.routes())[name].targets
        (endpoint,) = self.router.endpoints[(name, target.color)]
        status = await begun(self.client, f"http://{endpoint}/break", {})
        self.router.count_answer(target.workload_id, status, 1.0)
        self.router.count_truncated(target.workload_id)
        return status

    async def hang_up(self, name: str, path: str, arrived: Callable[[], bool]) -> None:
        (target,) = (await self.router.routes())[name].targets
        self.router.count_hang_up(target.workload_id)

    async def restart(self, services: Sequence[ServiceSpec]) -> None:
        await self.router.configure(services)


async def begun(client: httpx.AsyncClient, url: str, headers: dict[str, str]) -> int:
    """The status of an answer that must not come to its end."""
    async with client.stream("GET", url, headers=headers) as answer:
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.aread()
        return answer.status_code


@pytest.fixture(params=["fake", "haproxy"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """It knows the services `app`, `other` and `unchecked`, which has no health check."""
    known = [service("app"), service("other"), service("unchecked", checked=False)]
    if request.param == "fake":
        fake = FakeWorld()
        await fake.router.configure(known)
        async with fake.client:
            yield fake
        return
    async with haproxy_place() as place:
        real = HaproxyWorld(place, place.router())
        await real.router.start(known)
        async with real.client:
            yield real


@pytest.fixture
def backends() -> Iterator[list[HttpBackend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(HttpBackend(name)) for name in ("one", "two", "three")]


async def connect(world: World, name: str, blue: HttpBackend, green: HttpBackend) -> None:
    await world.router.set_endpoints(name, BLUE, [blue.endpoint])
    await world.router.set_endpoints(name, GREEN, [green.endpoint])


def all_to(color: Color, workload_id: str) -> list[RouteTarget]:
    return [RouteTarget(color, workload_id)]


async def test_a_service_without_a_version_answers_503(world: World) -> None:
    assert (await world.get("app"))[0] == 503
    assert (await world.router.routes())["app"] == Route("app")


async def test_an_unknown_host_answers_404(world: World) -> None:
    assert (await world.get("stranger"))[0] == 404


async def test_a_switch_moves_the_next_request_and_grows_the_generation(
    world: World, backends: list[HttpBackend]
) -> None:
    await connect(world, "app", backends[0], backends[1])
    first = await world.router.switch({"app": all_to(BLUE, "w1")})
    assert first["app"] == Route("app", 1, (RouteTarget(BLUE, "w1"),))
    assert await world.get("app") == (200, "one")
    second = await world.router.switch({"app": all_to(GREEN, "w2")}, expected_generation={"app": 1})
    assert second["app"].generation == 2
    assert await world.get("app") == (200, "two")
    assert (await world.router.routes())["app"] == second["app"]


async def test_a_decision_for_an_older_route_is_refused_and_changes_nothing(
    world: World, backends: list[HttpBackend]
) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    before = await world.router.switch({"app": all_to(GREEN, "w2")})
    await world.router.switch({"app": all_to(BLUE, "w1")})
    with pytest.raises(StaleRoute, match=r"'app' has generation 3, not 2"):
        await world.router.switch({"app": all_to(GREEN, "w2")}, expected_generation={"app": before["app"].generation})
    assert (await world.router.routes())["app"] == Route("app", 3, (RouteTarget(BLUE, "w1"),))
    assert await world.get("app") == (200, "one")


async def test_one_stale_service_keeps_the_whole_group_where_it_is(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    await connect(world, "other", backends[0], backends[1])
    await world.router.switch({"other": all_to(BLUE, "o1")})
    with pytest.raises(StaleRoute):
        await world.router.switch(
            {"app": all_to(GREEN, "a2"), "other": all_to(GREEN, "o2")}, expected_generation={"app": 0, "other": 0}
        )
    assert (await world.router.routes())["app"] == Route("app")
    assert await world.get("other") == (200, "one")


async def test_a_switch_asked_for_again_with_the_same_expectation_is_done_once(
    world: World, backends: list[HttpBackend]
) -> None:
    await connect(world, "app", backends[0], backends[1])
    once = await world.router.switch({"app": all_to(BLUE, "w1")}, expected_generation={"app": 0})
    again = await world.router.switch({"app": all_to(BLUE, "w1")}, expected_generation={"app": 0})
    assert again == once


async def test_a_group_switches_together(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    await connect(world, "other", backends[0], backends[1])
    routes = await world.router.switch({"app": all_to(GREEN, "a"), "other": all_to(BLUE, "o")})
    assert {name: route.active for name, route in routes.items()} == {"app": GREEN, "other": BLUE}
    assert (await world.get("app"), await world.get("other")) == ((200, "two"), (200, "one"))


async def test_weights_share_the_traffic(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    route = await world.router.switch({"app": [RouteTarget(BLUE, "w1", 70), RouteTarget(GREEN, "w2", 30)]})
    assert route["app"].weights == {BLUE: 70, GREEN: 30}
    assert (await world.router.routes())["app"] == route["app"]
    answers = Counter([(await world.get("app"))[1] for _ in range(600)])
    assert 130 <= answers["two"] <= 230, answers
    counted = (await world.router.traffic(["app"]))["app"]
    assert (counted[BLUE].requests, counted[GREEN].requests) == (answers["one"], answers["two"])


async def test_a_service_can_lose_its_version(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    assert (await world.router.switch({"app": []}))["app"] == Route("app", 2)
    assert (await world.get("app"))[0] == 503


async def test_endpoints_come_and_go_without_a_failed_request(world: World, backends: list[HttpBackend]) -> None:
    await world.router.set_endpoints("app", BLUE, [backends[0].endpoint])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    answers: list[tuple[int, str]] = []
    done = asyncio.Event()

    async def ask() -> None:
        while not done.is_set():
            answers.append(await world.get("app"))

    askers = [asyncio.create_task(ask()) for _ in range(3)]
    sets = [[1], [1, 2], [0, 1, 2], [2], [0]]
    for chosen in sets * 3:
        seen = len(answers)
        await world.router.set_endpoints("app", BLUE, [backends[index].endpoint for index in chosen])
        while len(answers) < seen + 10:
            await asyncio.sleep(0.001)
    done.set()
    await asyncio.gather(*askers)
    assert {status for status, _ in answers} == {200}
    assert {name for _, name in answers} == {"one", "two", "three"}
    assert await world.get("app") == (200, "one")


async def test_more_endpoints_than_there_were_replicas_declared(world: World, backends: list[HttpBackend]) -> None:
    await world.router.switch({"app": all_to(BLUE, "w1")})
    nobody = [Endpoint("127.0.0.1", port) for port in range(1, 7)]
    await world.router.set_endpoints("app", BLUE, [backend.endpoint for backend in backends] + nobody)
    await world.router.set_endpoints("app", BLUE, [backend.endpoint for backend in backends])
    seen = {(await world.get("app"))[1] for _ in range(60)}
    assert seen == {"one", "two", "three"}


async def counted(world: World, name: str, color: Color = BLUE) -> SlotTraffic:
    return (await world.router.traffic([name]))[name][color]


async def test_traffic_is_counted_by_workload(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    for path in ("/", "/", "/status?code=500"):
        await world.get("app", path)
    await world.router.switch({"app": all_to(GREEN, "w2")})
    await world.get("app")
    blue, green = await counted(world, "app"), await counted(world, "app", GREEN)
    assert (blue.requests, blue.errors, blue.in_flight) == (3, 1, 0)
    assert (green.requests, green.errors, green.in_flight) == (1, 0, 0)


async def test_answers_are_counted_by_class(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    for code in (200, 201, 301, 404, 418, 500, 502, 599):
        assert (await world.get("app", f"/status?code={code}"))[0] == code
    traffic = await counted(world, "app")
    assert traffic.statuses == (0, 2, 1, 2, 3)
    assert (traffic.errors, traffic.connection_errors) == (3, 0)


async def test_the_histogram_has_every_request_and_a_slow_answer_in_its_bucket(
    world: World, backends: list[HttpBackend]
) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    for path in ("/", "/wait?seconds=0.04", "/wait?seconds=0.22", "/wait?seconds=1.1", "/status?code=503"):
        await world.get("app", path)
    traffic = await counted(world, "app")
    assert len(traffic.latency) == len(EDGES_MILLISECONDS) + 1
    assert (traffic.requests, sum(traffic.latency)) == (5, 5)
    # Not faster than they were; how much slower is the machine's business.
    assert [slower_than(traffic.latency, limit) >= least for limit, least in ((30, 3), (200, 2), (1000, 1))] == [
        True
    ] * 3
    assert sum(traffic.latency[:6]) <= 2


async def test_answers_in_the_place_of_replicas_are_connection_errors(
    world: World, backends: list[HttpBackend]
) -> None:
    nobody = Endpoint("127.0.0.1", 1)
    await world.router.set_endpoints("app", BLUE, [backends[0].endpoint])
    await world.router.set_endpoints("app", GREEN, [nobody])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    assert (await world.get("app", "/close"))[0] == 502
    assert (await world.get("app", "/status?code=502"))[0] == 502
    blue = await counted(world, "app")
    assert (blue.requests, blue.errors, blue.connection_errors, blue.statuses) == (2, 2, 1, (0, 0, 0, 0, 2))
    await world.router.switch({"app": all_to(GREEN, "w2")})
    assert (await world.get("app"))[0] == 503
    green = await counted(world, "app", GREEN)
    assert (green.requests, green.errors, green.connection_errors) == (1, 1, 1)


async def test_a_client_that_hangs_up_is_counted_and_nothing_else_of_it(
    world: World, backends: list[HttpBackend]
) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    await world.get("app")
    before = await counted(world, "app")
    await world.hang_up("app", "/slow", lambda: len(backends[0].begun) == 2)

    async def noticed() -> bool:
        return (await counted(world, "app")).aborted == 1

    await until(noticed, "the router to notice")
    assert await counted(world, "app") == replace(before, aborted=1)


async def test_an_answer_that_its_workload_breaks_off_is_an_error_whatever_it_began_with(
    world: World, backends: list[HttpBackend]
) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1")})
    await world.get("app")
    await counted(world, "app")
    assert await world.broken_off("app") == 200

    async def noticed() -> bool:
        return (await counted(world, "app")).truncated == 1

    await until(noticed, "the router to notice")
    traffic = await counted(world, "app")
    assert (traffic.requests, traffic.errors, traffic.connection_errors, traffic.aborted) == (2, 1, 0, 0)
    assert (traffic.statuses[1], sum(traffic.latency)) == (2, 2)


async def test_attempts_that_users_did_not_see_fail_are_retries(world: World, backends: list[HttpBackend]) -> None:
    await world.router.set_endpoints("unchecked", BLUE, [backends[0].endpoint, Endpoint("127.0.0.1", 1)])
    await world.router.switch({"unchecked": all_to(BLUE, "w1")})
    await counted(world, "unchecked")
    answers = {(await world.get("unchecked"))[0] for _ in range(12)}
    traffic = await counted(world, "unchecked")
    assert (answers, traffic.errors, traffic.retries > 0) == ({200}, 0, True)


async def test_the_next_workload_in_a_slot_does_not_inherit_its_errors(
    world: World, backends: list[HttpBackend]
) -> None:
    await connect(world, "app", backends[0], backends[1])
    await world.router.switch({"app": all_to(GREEN, "w2")})
    await world.get("app", "/status?code=500")
    await world.router.switch({"app": all_to(BLUE, "w1")})
    assert (await world.router.traffic(["app"]))["app"][GREEN].errors == 1
    await world.router.set_endpoints("app", GREEN, [backends[2].endpoint])
    assert (await world.router.traffic(["app"]))["app"][GREEN] == SlotTraffic()
    await world.router.switch({"app": all_to(GREEN, "w3")})
    assert await world.get("app") == (200, "three")
    green = await counted(world, "app", GREEN)
    assert (green.requests, green.errors, green.in_flight) == (1, 0, 0)


async def test_an_unknown_service_has_no_numbers(world: World) -> None:
    assert set(await world.router.traffic(["app", "stranger"])) == {"app"}


async def test_an_unknown_service_can_be_neither_switched_nor_filled(world: World) -> None:
    for attempt in (
        world.router.switch({"stranger": all_to(BLUE, "w1")}),
        world.router.set_endpoints("stranger", BLUE, []),
    ):
        with pytest.raises((RouterError, UsageError), match="stranger"):
            await attempt


async def test_configure_keeps_what_stays_and_forgets_what_goes(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    await connect(world, "other", backends[0], backends[1])
    await world.router.switch({"app": all_to(BLUE, "w1"), "other": all_to(GREEN, "o1")})
    await world.get("app")
    await world.router.configure([service("app"), service("third")])
    assert await world.router.routes() == {"app": Route("app", 1, (RouteTarget(BLUE, "w1"),)), "third": Route("third")}
    assert [(await world.get(name))[0] for name in ("app", "other", "third")] == [200, 404, 503]
    # The second request may have been the last of a HAProxy process, which takes what was not read to its grave.
    assert (await world.router.traffic(["app"]))["app"][BLUE].requests in (1, 2)
    await world.router.set_endpoints("third", BLUE, [backends[2].endpoint])
    await world.router.switch({"third": all_to(BLUE, "t1")})
    assert await world.get("third") == (200, "three")


async def test_routes_survive_a_new_controller(world: World, backends: list[HttpBackend]) -> None:
    await connect(world, "app", backends[0], backends[1])
    routes = await world.router.switch({"app": all_to(GREEN, "w2")})
    await world.restart([service("app"), service("other")])
    assert (await world.router.routes())["app"] == routes["app"]
    assert await world.get("app") == (200, "two")
    assert (await world.router.health()).alive
