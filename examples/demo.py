"""The main job, to watch: `make demo`; in containers, `make demo RUNTIME=docker`. About half a minute, in a directory
and on a port of its own.

v2.0 takes over from v1.9 and gives back, the broken v2.1 never gets a request, and v2.2, which only breaks under
real traffic, is rolled back by itself, while 300 requests a second go on all the time. Exits with 1 when a number
that must be zero is not.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.text import Text

from examples.reckoning import Move, figures, table
from examples.stage import SERVICE, DemoFailed, Stage
from examples.system import monotonic_of
from examples.timeline import Mark, strip
from examples.traffic import SteadyTraffic, TrafficReport

REQUESTS_PER_SECOND = 300
CALM_SECONDS = 1.5
"""How long traffic is shown after an act, for everybody to see where it goes."""
BROKEN_DEADLINE_SECONDS = 3
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

console = Console(highlight=False)


@dataclass(slots=True)
class Demo:
    stage: Stage
    moves: list[Move] = field(default_factory=list)
    command_seconds: dict[str, float] = field(default_factory=dict)

    async def play(self) -> bool:
        """True when every promise held."""
        self._act("v1.9 runs, and people use it")
        await self._type("up", "--deploy")
        load = self.stage.traffic(REQUESTS_PER_SECOND)
        await load.start()
        begin = time.monotonic()
        await self.stage.ended("completed")
        self._strip(load, begin)
        await self._deploy_good(load)
        await self._roll_back(load)
        await self._deploy_broken(load)
        await self._deploy_treacherous(load)
        await asyncio.sleep(CALM_SECONDS)
        report = await load.stop()
        return self._reckon(report)

    # -- the acts ------------------------------------------------------------------------------------------------

    async def _deploy_good(self, load: SteadyTraffic) -> None:
        self._act("v2.0 takes over: blue-green, under traffic")
        begin = time.monotonic()
        await self._type("deploy", SERVICE, "--image", f"{self.stage.repository}:v2.0", "--yes")
        self._strip(load, begin, await self._moved(await self.stage.newest(), "v1.9", "v2.0"))

    async def _roll_back(self, load: SteadyTraffic) -> None:
        self._act("and back, in one command")
        begin = time.monotonic()
        await asyncio.sleep(CALM_SECONDS)
        await self._type("rollback", SERVICE)
        moved = await self._moved(await self.stage.newest(), "v2.0", "v1.9")
        await asyncio.sleep(CALM_SECONDS)
        self._strip(load, begin, moved)
        await self.stage.ended("rolled_back")

    async def _deploy_broken(self, load: SteadyTraffic) -> None:
        self._act("v2.1 is broken: it never gets a request")
        begin = time.monotonic()
        deadline = f"health.deadline_seconds={BROKEN_DEADLINE_SECONDS}"
        image = f"{self.stage.repository}:v2.1"
        await self._type("deploy", SERVICE, "--image", image, "--set", deadline, "--yes", expected=1)
        await self.stage.ended("failed")
        self._strip(load, begin)

    async def _deploy_treacherous(self, load: SteadyTraffic) -> None:
        self._act("v2.2 looks healthy and fails under real traffic: rolled back by itself")
        begin = time.monotonic()
        await self._type("deploy", SERVICE, "--image", f"{self.stage.repository}:v2.2", "--yes", expected=1)
        view = await self.stage.ended("rolled_back")
        await asyncio.sleep(CALM_SECONDS)
        there = await self._moved(view, "v1.9", "v2.2")
        self._strip(load, begin, there, await self._moved(view, "v2.2", "v1.9", occurrence=1))

    # -- what all of them do -------------------------------------------------------------------------------------

    def _act(self, title: str) -> None:
        console.print()
        console.rule(f"[bold]{title}[/]", align="left", style="dim")

    async def _type(self, *arguments: str, expected: int = 0) -> None:
        """Runs the command line where the audience sees it. Raises DemoFailed for another exit code."""
        console.print(Text.assemble(("$ ", "dim"), (f"bluegreen {' '.join(arguments)}", "bold")), soft_wrap=True)
        began = time.monotonic()
        exit_code = await self.stage.bluegreen(*arguments)
        self.command_seconds[arguments[0]] = time.monotonic() - began
        if exit_code != expected:
            raise DemoFailed(f"bluegreen {arguments[0]} ended with {exit_code}, not with {expected}")

    async def _moved(self, deployment: Any, old: str, new: str, *, occurrence: int | None = None) -> Move:
        """The deployment's last move of the traffic, or the one asked for: from the event log, where it has
        wall-clock time."""
        events = (await self.stage.call("events", deployment=deployment["id"]))["events"]
        found = [event for event in events if event["kind"] == "traffic_switched"]
        if occurrence is None:
            occurrence = 0 if new == deployment["version"] else len(found) - 1
        event = found[occurrence]
        move = Move(old, new, monotonic_of(event["at"]), event["data"]["milliseconds"])
        self.moves.append(move)
        return move

    def _strip(self, load: SteadyTraffic, begin: float, *moves: Move) -> None:
        marks = [Mark(move.at, f"all traffic to {move.new}: {move.milliseconds:.1f} ms") for move in moves]
        console.print("\n[dim]answers, a block each half second[/]")
        for line in strip(load.report(), begin, time.monotonic(), marks):
            console.print(line, soft_wrap=True)

    def _reckon(self, report: TrafficReport) -> bool:
        rows = figures(report, self.moves, self.command_seconds["rollback"])
        self._act("the reckoning")
        console.print(table(rows))
        for failure in report.failures if any(row.missed for row in rows) else ():
            console.print(f"  {failure}", style="red", markup=False)
        return not any(row.missed for row in rows)


async def perform(runtime: str) -> int:
    """On processes, or on a Docker Engine (`docker`). Plays, and leaves nothing behind, also when a signal ends it.
    Returns the exit code."""
    loop, playing = asyncio.get_running_loop(), asyncio.current_task()
    assert playing is not None
    signals: list[int] = []

    def end(number: int) -> None:
        if not signals:  # One is enough: what comes while it cleans up changes nothing.
            playing.cancel()
        signals.append(number)

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, end, number)
    try:
        stage = Stage(runtime)
    except DemoFailed as error:
        console.print(f"[red bold]the demonstration can't begin:[/] {error}")
        return 1
    try:
        kept = await Demo(stage).play()
    except asyncio.CancelledError:
        if not signals:
            raise
        console.print("\n[yellow]ended early; cleaning up[/]")
        return 128 + signals[0]
    except DemoFailed as error:
        console.print(f"\n[red bold]the demonstration failed:[/] {error}")
        console.print(stage.system.daemon_log(), style="dim", markup=False)
        return 1
    finally:
        signals.append(0)
        await asyncio.to_thread(stage.close)
    console.print(
        'Everything that was started is stopped again. Your turn: README.md, "Five minutes with your own service".',
        soft_wrap=True,
    )
    return 0 if kept else 1


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    parser = argparse.ArgumentParser(description="Shows the main job.")
    parser.add_argument("--runtime", choices=("process", "docker"), default="process", help="what runs the versions")
    sys.exit(asyncio.run(perform(parser.parse_args().runtime)))
