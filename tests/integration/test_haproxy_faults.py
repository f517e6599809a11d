"""HAProxy killed, its shim killed, the disk full, the port taken."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bluegreen.domain.errors import ConfigurationError, RouterError, StaleRoute
from bluegreen.domain.model import Color, Endpoint, RouteTarget
from bluegreen.domain.service import HealthCheck
from bluegreen.routers.haproxy.binary import find_binary, read_version
from bluegreen.routers.haproxy.files import Files
from bluegreen.routers.haproxy.runtime import HaproxyRuntime
from bluegreen.routers.haproxy.supervisor import HaproxySupervisor, ShimStatus
from tests.support.haproxy import Place, haproxy_place, service
from tests.support.http_backends import HttpBackend, until

TO_BLUE = {"app": [RouteTarget(Color.BLUE, "w1")]}
TO_GREEN = {"app": [RouteTarget(Color.GREEN, "w2")]}


class FullDisk(Files):
    """`no_new_files` as a full disk; `no_overwriting` as one mounted read-only."""

    def __init__(self) -> None:
        self.no_new_files = False
        self.no_overwriting = False

    def replace(self, path: Path, data: bytes, *, durable: bool) -> None:
        if self.no_new_files:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().replace(path, data, durable=durable)

    def overwrite(self, path: Path, data: bytes) -> None:
        if self.no_overwriting:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        super().overwrite(path, data)


class World:
    def __init__(self, place: Place, files: FullDisk) -> None:
        self.place = place
        self.disk = files
        self.router = place.router(files)
        self.supervisor = HaproxySupervisor(
            directory=place.directory, run_directory=place.run_directory, listen=place.settings.listen
        )
        self.haproxy = HaproxyRuntime(place.run_directory)

    @property
    def status(self) -> ShimStatus:
        status = self.supervisor.status()
        assert status is not None
        return status

    async def get(self) -> str:
        """On a new connection."""
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.get(f"http://{self.router.listen}/", headers={"Host": "app.example"})
        assert answer.status_code == 200, answer.text
        return answer.text

    async def worker(self) -> int:
        return (await self.haproxy.workers())[0].pid

    async def replaced(self, pid: int) -> bool:
        try:
            return await self.worker() != pid
        except RouterError:
            return False


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """All traffic of `app` is on `one`; `two` is ready."""
    with HttpBackend("one") as one, HttpBackend("two") as two:
        async with haproxy_place() as place:
            world = World(place, FullDisk())
            await world.router.start([service("app")])
            await world.router.set_endpoints("app", Color.BLUE, [one.endpoint])
            await world.router.set_endpoints("app", Color.GREEN, [two.endpoint])
            await world.router.switch(TO_BLUE)
            yield world


async def test_a_switch_to_replicas_that_haproxy_still_holds_for_down_finds_them_up() -> None:
    """They came back a moment ago: our probes know, HAProxy's own checks (here fifty in a row) do not yet."""
    patient = replace(service("app"), health=HealthCheck(interval_seconds=0.1, timeout_seconds=1, rise=50, fall=2))
    with HttpBackend("one") as one, HttpBackend("two") as two:
        async with haproxy_place() as place:
            world = World(place, FullDisk())
            await world.router.start([patient])
            await world.router.set_endpoints("app", Color.BLUE, [one.endpoint])
            await world.router.set_endpoints("app", Color.GREEN, [two.endpoint])
            await world.router.switch(TO_GREEN)
            assert await world.get() == "two"
            two.healthy = False

            async def down() -> bool:
                async with httpx.AsyncClient() as client:
                    answer = await client.get(f"http://{world.router.listen}/", headers={"Host": "app.example"})
                return answer.status_code == 503

            await until(down, "HAProxy holds it for down")
            two.healthy = True
            await world.router.switch(TO_BLUE)
            await world.router.switch(TO_GREEN)
            assert await world.get() == "two"


@pytest.mark.parametrize("victim", ["master", "worker"])
async def test_a_killed_haproxy_is_back_at_once_with_its_routes(world: World, victim: str) -> None:
    await world.router.switch(TO_GREEN)
    await world.get()
    worker = await world.worker()
    master = world.status.haproxy
    assert master is not None
    os.kill(master.pid if victim == "master" else worker, signal.SIGKILL)
    # New connections wait in the kernel's queue: refused or failed is none of these.
    assert await asyncio.gather(*(world.get() for _ in range(5))) == ["two"] * 5
    await until(lambda: world.replaced(worker), "another worker")
    routes = await world.router.switch(TO_BLUE, expected_generation={"app": 2})
    assert routes["app"].generation == 3
    assert await world.get() == "one"
    assert (await world.router.traffic(["app"]))["app"][Color.BLUE].requests == 1
    assert world.status.restarts == 1


async def test_counters_do_not_fall_when_haproxy_is_killed(world: World) -> None:
    for _ in range(3):
        await world.get()
    assert (await world.router.traffic(["app"]))["app"][Color.BLUE].requests == 3
    worker = await world.worker()
    os.kill(worker, signal.SIGKILL)
    await until(lambda: world.replaced(worker), "another worker")
    await world.get()
    assert (await world.router.traffic(["app"]))["app"][Color.BLUE].requests == 4


async def test_a_switch_while_haproxy_is_being_restarted_waits_for_it(world: World) -> None:
    os.kill(await world.worker(), signal.SIGKILL)
    routes = await world.router.switch(TO_GREEN)
    assert routes["app"].active is Color.GREEN
    assert await world.get() == "two"


async def test_without_haproxy_a_switch_is_not_left_behind_but_a_rollback_is(world: World) -> None:
    await world.router.stop()
    assert not (await world.router.health()).alive
    assert await world.router.traffic(["app"]) == {}
    with pytest.raises(RouterError, match="the old route was put back"):
        await world.router.switch(TO_GREEN)
    assert (await world.router.routes())["app"].active is Color.BLUE
    with pytest.raises(RouterError, match="takes effect as soon as HAProxy runs"):
        await world.router.switch(TO_GREEN, durable=False)
    assert (await world.router.routes())["app"].active is Color.GREEN
    await world.router.start([service("app")])
    assert await world.get() == "two"


async def test_a_new_controller_takes_over_what_runs(world: World) -> None:
    before = world.status
    other = world.place.router()
    await other.start([service("app")])
    assert world.status == before
    assert await world.get() == "one"


async def test_a_killed_shim_is_replaced_without_touching_haproxy(world: World) -> None:
    before = world.status
    worker = await world.worker()
    os.kill(before.shim.pid, signal.SIGKILL)
    await until(lambda: not world.supervisor.supervised, "the shim's end")
    assert "its shim is gone" in (await world.router.health()).detail
    assert await world.get() == "one"
    other = world.place.router()
    await other.start([service("app")])
    assert (world.status.haproxy, await world.worker()) == (before.haproxy, worker)
    assert world.status.shim != before.shim
    os.kill(worker, signal.SIGKILL)
    assert await world.get() == "one"
    await until(lambda: world.replaced(worker), "another worker, started by the new shim")


async def test_a_full_disk_refuses_a_switch_and_lets_a_rollback_through(world: World) -> None:
    world.disk.no_new_files = True
    with pytest.raises(RouterError, match="No space left on device; nothing was changed"):
        await world.router.switch(TO_GREEN)
    assert await world.get() == "one"
    await world.router.switch(TO_GREEN, durable=False)
    assert await world.get() == "two"
    # Written over in place: a restarted HAProxy has it.
    os.kill(await world.worker(), signal.SIGKILL)
    assert await world.get() == "two"


async def test_a_rollback_that_cannot_be_written_at_all_is_written_later(world: World) -> None:
    world.disk.no_new_files = world.disk.no_overwriting = True
    await world.router.switch(TO_GREEN, durable=False)
    assert await world.get() == "two"
    assert "could not be written" in (await world.router.health()).detail
    with pytest.raises(StaleRoute):
        await world.place.router().switch(TO_BLUE, expected_generation={"app": 1})
    # A HAProxy that is restarted now reads the old file, until the routes are put in force again.
    worker = await world.worker()
    os.kill(worker, signal.SIGKILL)
    await until(lambda: world.replaced(worker), "another worker")

    async def moved_again() -> bool:
        await world.router.health()
        return await world.get() == "two"

    await until(moved_again, "the rollback to be in force again")
    world.disk.no_new_files = world.disk.no_overwriting = False

    async def written() -> bool:
        return "could not be written" not in (await world.router.health()).detail

    await until(written, "the routes to be written")
    assert "app app.green/w2/2/" in (world.place.directory / "routes.map").read_text()


async def test_an_interrupted_switch_is_undone_or_finished(world: World) -> None:
    """Killed between file and HAProxy: what is in force wins, unless the same switch is asked for again."""
    path = world.place.directory / "routes.map"
    before = path.read_text()
    path.write_text("app app.green/w2/2/w1/w2\n")
    finished = await world.place.router().switch(TO_GREEN, expected_generation={"app": 1})
    assert finished["app"].generation == 2
    assert await world.get() == "two"
    path.write_text("app app.blue/w1/3/w1/w2\n")
    await world.place.router().start([service("app")])
    assert path.read_text() == "app app.green/w2/2/w1/w2\n" != before
    assert await world.get() == "two"


async def test_two_controllers_never_acknowledge_the_same_generation(world: World) -> None:
    routers = [world.place.router() for _ in range(4)]
    moves = [router.switch(TO_GREEN if n % 2 else TO_BLUE) for n, router in enumerate(routers * 5)]
    generations = [routes["app"].generation for routes in await asyncio.gather(*moves)]
    assert sorted(generations) == list(range(2, 22))


async def test_a_configuration_that_haproxy_refuses_changes_nothing(world: World, tmp_path: Path) -> None:
    before = (world.place.directory / "haproxy.cfg").read_text()
    broken = Place.__new__(Place)
    broken.__dict__.update(world.place.__dict__)
    broken.settings = replace(world.place.settings, certificate=tmp_path / "missing.pem")
    with pytest.raises(RouterError, match=r"refused the configuration.*missing\.pem"):
        await broken.router().configure([service("app"), service("third")])
    assert (world.place.directory / "haproxy.cfg").read_text() == before
    assert set(await world.router.routes()) == {"app"}
    assert await world.get() == "one"
    await world.router.configure([service("app"), service("third")])
    assert set(await world.router.routes()) == {"app", "third"}


async def test_a_taken_port_is_named_with_the_process_that_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with haproxy_place() as place:
            place.settings = replace(place.settings, listen=Endpoint("127.0.0.1", port))
            with pytest.raises(RouterError, match=rf"127\.0\.0\.1:{port} can't be bound: .* \(pid {os.getpid()}\)"):
                await place.router().start([service("app")])
            assert not HaproxySupervisor(
                directory=place.directory, run_directory=place.run_directory, listen=place.settings.listen
            ).supervised


async def test_another_listen_address_needs_a_restart(world: World) -> None:
    world.place.settings = replace(world.place.settings, listen=Endpoint("127.0.0.2", 0))
    with pytest.raises(RouterError, match=r"listens on 127\.0\.0\.1:0, the configuration says 127\.0\.0\.2:0"):
        await world.place.router().start([service("app")])
    assert await world.get() == "one"


async def test_stop_leaves_no_process_and_start_finds_the_routes(world: World) -> None:
    await world.router.switch(TO_GREEN)
    status, worker = world.status, await world.worker()
    await world.router.stop()
    await world.router.stop()
    assert status.haproxy is not None
    assert not status.shim.alive
    assert not status.haproxy.alive
    assert not Path(f"/proc/{worker}").exists()
    await world.router.start([service("app")])
    assert await world.get() == "two"


async def test_two_services_with_one_host_are_refused(world: World) -> None:
    with pytest.raises(ConfigurationError, match=r"app\.example"):
        await world.router.configure([service("app"), service("copy", hosts=("APP.example",))])


async def test_a_missing_or_foreign_binary_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match=r"router\.haproxy: .*nowhere"):
        find_binary(tmp_path / "nowhere")
    for text, problem in (("HAProxy version 2.4.22-1", "2.8 is the oldest"), ("hello", "does not answer like")):
        program = tmp_path / "haproxy"
        program.write_text(f"#!/bin/sh\necho '{text}'\n")
        program.chmod(0o755)
        with pytest.raises(RouterError, match=problem):
            await read_version(find_binary(program))


@pytest.fixture(autouse=True)
def no_descriptor_leaks() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before + 5
