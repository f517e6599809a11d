"""Who gets which side of a canary, asked of the real HAProxy: shares, users that stay, sides that are asked for."""

from __future__ import annotations

import http.client
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from bluegreen.domain.model import Color, RouteTarget
from bluegreen.domain.service import Canary, ServiceSpec
from bluegreen.routers.haproxy.router import HaproxyRouter
from tests.support.haproxy import haproxy_place, service
from tests.support.http_backends import HttpBackend
from tests.support.shares import assert_share

USERS = [f"user-{number}" for number in range(400)]
BLUE, GREEN = RouteTarget(Color.BLUE, "app-blue-1"), RouteTarget(Color.GREEN, "app-green-2")


@dataclass
class Split:
    """A service with a server in each slot, and one connection of a user to it."""

    router: HaproxyRouter
    connection: http.client.HTTPConnection
    host: str

    async def share(self, percent: int, green: RouteTarget = GREEN) -> None:
        both = [replace(BLUE, weight=100 - percent), replace(green, weight=percent)]
        await self.router.switch({"app": [target for target in both if target.weight]})

    def side(self, headers: dict[str, str] | None = None) -> str:
        self.connection.request("GET", "/", headers={"Host": self.host, **(headers or {})})
        return self.connection.getresponse().read().decode()

    def newcomer(self) -> tuple[str, str]:
        """The side of somebody who comes without a cookie, and the cookie that he was given; "" for none."""
        self.connection.request("GET", "/", headers={"Host": self.host})
        answer = self.connection.getresponse()
        return answer.read().decode(), answer.headers.get("Set-Cookie", "")

    def on_green(self, header: Callable[[str], dict[str, str]]) -> set[str]:
        return {user for user in USERS if self.side(header(user)) == "green"}


@asynccontextmanager
async def split(canary: Canary, *, alone: bool = False) -> AsyncIterator[Split]:
    """`alone`: the only service, which takes every host."""
    app = replace(service("app", hosts=("*",) if alone else ()), canary=canary)
    others: list[ServiceSpec] = [] if alone else [service("other")]
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(haproxy_place())
        router = place.router()
        await router.start([*others, app])
        for color in Color:
            server = stack.enter_context(HttpBackend(str(color)))
            for spec in (*others, app):
                await router.set_endpoints(spec.name, color, [server.endpoint])
        for spec in others:
            await router.switch({spec.name: [replace(BLUE, weight=90), replace(GREEN, weight=10)]})
        listen = router.listen
        connection = http.client.HTTPConnection(listen.host, listen.port, timeout=10)
        stack.callback(connection.close)
        yield Split(router, connection, "anything.example" if alone else "app.example")


def by_cookie(user: str) -> dict[str, str]:
    return {"Cookie": f"theme=dark; session={user}"}


def by_header(user: str) -> dict[str, str]:
    return {"X-User": user}


@pytest.mark.parametrize("alone", [True, False], ids=["one service", "two services"])
@pytest.mark.parametrize(
    ("sticky", "header"), [("cookie:session", by_cookie), ("header:X-User", by_header)], ids=["cookie", "header"]
)
async def test_a_user_stays_on_a_side_and_who_was_on_green_stays_there_as_its_share_grows(
    sticky: str, header: Callable[[str], dict[str, str]], alone: bool
) -> None:
    async with split(Canary(sticky=sticky), alone=alone) as app:
        before: set[str] = set()
        for percent in (10, 50, 90):
            await app.share(percent)
            now = app.on_green(header)
            assert now == app.on_green(header), "the same user, the same side"
            assert before <= now, "nobody is sent back by a step forward"
            assert abs(len(now) / len(USERS) - percent / 100) < 0.08
            before = now
        await app.share(100)
        assert app.on_green(header) == set(USERS)
        await app.share(0)
        assert app.on_green(header) == set(), "a rollback moves everybody"


async def test_another_deployment_begins_with_other_users() -> None:
    async with split(Canary(sticky="cookie:session")) as app:
        await app.share(10)
        first = app.on_green(by_cookie)
        await app.share(10, RouteTarget(Color.GREEN, "app-green-3"))
        assert len(first & app.on_green(by_cookie)) < len(first) / 2


@pytest.mark.parametrize("headers", [{}, {"Cookie": "session="}, {"Cookie": "theme=dark"}], ids=str)
async def test_without_the_value_the_share_is_drawn_for_each_request(headers: dict[str, str]) -> None:
    async with split(Canary(sticky="cookie:session")) as app:
        await app.share(30)
        seen = [app.side(headers) for _ in range(600)]
        assert 0.2 < seen.count("green") / len(seen) < 0.4


@pytest.mark.parametrize("alone", [True, False], ids=["one service", "two services"])
async def test_who_comes_without_the_cookie_gets_one_and_stays_where_he_was_from_his_first_request_on(
    alone: bool,
) -> None:
    async with split(Canary(sticky="cookie:bg-user", set_cookie=True), alone=alone) as app:
        await app.share(30)
        newcomers = [app.newcomer() for _ in range(200)]
        assert_share(sum(side == "green" for side, _ in newcomers), len(newcomers), 30)
        cookies = [cookie.partition(";")[0] for _, cookie in newcomers]
        assert len(set(cookies)) == len(newcomers)
        assert all(cookie.endswith("; Path=/; HttpOnly; SameSite=Lax") for _, cookie in newcomers)
        for (side, _), cookie in zip(newcomers, cookies, strict=True):
            assert app.side({"Cookie": f"theme=dark; {cookie}"}) == side
        await app.share(70)
        for (side, _), cookie in zip(newcomers, cookies, strict=True):
            assert side == "blue" or app.side({"Cookie": cookie}) == "green"
        app.connection.request("GET", "/", headers={"Host": app.host, "Cookie": cookies[0]})
        answer = app.connection.getresponse()
        answer.read()
        assert answer.headers["Set-Cookie"] is None, "once is enough"
        for percent in (0, 100):
            await app.share(percent)
            assert app.newcomer()[1] == "", "nothing is shared, so there is nothing to stick to"
        if not alone:
            app.host = "other.example"
            assert app.newcomer()[1] == "", "another service did not ask for it"


@pytest.mark.parametrize("alone", [True, False], ids=["one service", "two services"])
async def test_a_request_may_ask_for_a_side_while_both_have_a_share(alone: bool) -> None:
    canary = Canary(sticky="header:X-User", force_header="X-Slot", force_cookie="slot")
    async with split(canary, alone=alone) as app:
        await app.share(50)
        for wanted in ("blue", "green", "Green"):
            for headers in ({"X-Slot": wanted}, {"Cookie": f"slot={wanted}"}):
                assert {app.side({**headers, **by_header(user)}) for user in USERS[:30]} == {wanted.lower()}
        both = {"X-Slot": "blue", "Cookie": "slot=green"}
        assert {app.side(both) for _ in range(30)} == {"blue"}, "the header comes first"
        odd = app.on_green(lambda user: {"X-Slot": "purple", **by_header(user)})
        assert odd == app.on_green(by_header), "what is no side changes nothing"


async def test_a_side_without_a_share_is_reached_by_no_request_whatever_it_asks_for() -> None:
    canary = Canary(sticky="header:X-User", force_header="X-Slot", force_cookie="slot")
    async with split(canary) as app:
        for percent, active, other in ((10, "", ""), (0, "blue", "green"), (100, "green", "blue")):
            await app.share(percent)
            if active:
                asking = {"X-Slot": other, "Cookie": f"slot={other}"}
                assert {app.side({**asking, **by_header(user)}) for user in USERS} == {active}


async def test_a_service_that_did_not_ask_for_it_ignores_the_header() -> None:
    async with split(Canary(sticky="header:X-User", force_header="X-Slot")) as app:
        app.host = "other.example"
        seen = [app.side({"X-Slot": "green", "X-User": "user-1"}) for _ in range(200)]
        assert seen.count("green") < 60
