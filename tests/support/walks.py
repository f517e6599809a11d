"""Deployments on fakes with traffic that flows while time passes, so that there is something to measure."""

from __future__ import annotations

from dataclasses import dataclass

from bluegreen.domain.deployment import Phase
from bluegreen.domain.model import SlotTraffic
from tests.simulation.world import World

STEP_SECONDS = 0.5


@dataclass(slots=True)
class Traffic:
    """Requests per second to whoever has the traffic; of those to an image in `bad` that share fails."""

    world: World
    rate: int = 100
    bad: dict[str, float] | None = None

    async def flow(self, seconds: float, *until: Phase) -> None:
        """Ends early when the newest deployment is in one of these phases."""
        passed = 0.0
        while passed < seconds and self.world.last().phase not in until:
            self._count(STEP_SECONDS)
            await self.world.clock.advance(STEP_SECONDS, until=lambda: self.world.last().phase in until)
            passed += STEP_SECONDS

    def _count(self, seconds: float) -> None:
        last = self.world.last()
        image = self.world.active_image()
        for workload in (last.blue, last.green):
            if workload is None or workload.image != image:
                continue
            before = self.world.router.counters.get(workload.id, SlotTraffic())
            more = round(self.rate * seconds)
            failed = round(more * (self.bad or {}).get(image, 0.0))
            self.world.router.counters[workload.id] = SlotTraffic(before.requests + more, before.errors + failed)


async def completed(world: World) -> Traffic:
    """v1, and v2 after it, all the way."""
    traffic = Traffic(world)
    await world.first_version()
    await traffic.flow(90)
    await world.deploy("app:v2")
    await traffic.flow(4000, Phase.COMPLETED)
    return traffic


async def rolled_back(world: World, *, share: float = 0.05) -> Traffic:
    """v2 fails for some of its users."""
    traffic = Traffic(world, bad={"app:v1": 0.0, "app:v2": share})
    await world.first_version()
    await traffic.flow(90)
    await world.deploy("app:v2")
    await traffic.flow(4000, Phase.ROLLED_BACK)
    await traffic.flow(30)
    return traffic
