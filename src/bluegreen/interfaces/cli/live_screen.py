"""Progress on a terminal, drawn again four times a second."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bluegreen.domain.deployment import TERMINAL_PHASES, Phase
from bluegreen.interfaces.cli.follower import Progress
from bluegreen.interfaces.cli.location import command_line
from bluegreen.interfaces.cli.output import console, duration, printable
from bluegreen.interfaces.cli.plain_screen import hold_notice
from bluegreen.interfaces.cli.sentences import PhaseSpan
from bluegreen.interfaces.cli.tables import slots_table

REFRESH_PER_SECOND = 4

GOOD_WAY: tuple[Phase, ...] = (
    Phase.PREFLIGHT,
    Phase.STARTING,
    Phase.VERIFYING,
    Phase.SWITCHING,
    Phase.MONITORING,
    Phase.RETAINING,
)
BAD_PHASES = (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.FAILED, Phase.ABORTED)


class LiveScreen:
    """The phases with their times, both slots, the reason, and the way back."""

    look_seconds = 1 / REFRESH_PER_SECOND

    def __init__(self, config_path: Path) -> None:
        self._config_path = config_path
        self._spinner = Spinner("dots", style="cyan")
        self._live = Live(console=console(), refresh_per_second=REFRESH_PER_SECOND, vertical_overflow="crop")

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, progress: Progress) -> None:
        self._live.update(self._screen(progress), refresh=progress.finished)

    def _screen(self, progress: Progress) -> RenderableType:
        view = progress.deployment
        before = (view.previous_image or "nothing").rpartition(":")[2]
        total = (view.ended_at or time.time()) - view.requested_at
        parts: list[RenderableType] = [
            Text.assemble(
                (view.service, "bold"), f"  {before} → ", (view.version, "bold"), (f"   {view.id}  ", "dim"),
                duration(total),
            ),
            self._phases(progress),
        ]  # fmt: skip
        if progress.service is not None:
            parts += [Text(), slots_table(progress.service)]
        if progress.trouble:
            parts.append(Text(f"\n{progress.trouble}", style="red"))
        elif progress.holds:
            parts.append(Text(f"\n{hold_notice(view, self._config_path)}", style="yellow bold"))
        if not progress.finished:
            back = command_line(f"rollback {view.service}", self._config_path)
            parts.append(Text(f"\nRoll back: {back}     Ctrl-C leaves; the deployment goes on", style="dim"))
        return Group(*parts)

    def _phases(self, progress: Progress) -> Table:
        rows = Table.grid(padding=(0, 1))
        rows.add_column(width=1)
        rows.add_column(min_width=14, no_wrap=True)
        rows.add_column(justify="right", min_width=8, no_wrap=True)
        rows.add_column(overflow="fold")
        spans = progress.timeline.spans
        for span in spans[:-1]:
            self._row(rows, span, done=True, reason="")
        if spans:
            reason = "" if progress.finished else progress.deployment.reason
            self._row(rows, spans[-1], done=progress.finished, reason=reason)
        for name in _still_to_come(spans, progress.deployment.steps):
            rows.add_row(Text("○", style="dim"), Text(name, style="dim"), "", "")
        return rows

    def _row(self, rows: Table, span: PhaseSpan, *, done: bool, reason: str) -> None:
        bad = span.phase in BAD_PHASES
        name = Text(_name(span.phase, span.share), style="red bold" if bad else ("" if done else "bold"))
        mark: RenderableType = self._spinner
        if done:
            mark = Text("✗", style="red") if bad else Text("✓", style="green")
        ended = Phase(span.phase) in TERMINAL_PHASES
        took = "" if ended else duration((span.ended_at or time.time()) - span.began_at)
        rows.add_row(mark, name, took, Text(printable(reason)))


def _name(phase: str, share: int | None = None) -> str:
    return phase.replace("_", " ") + ("" if share is None else f" at {share} %")


def _still_to_come(spans: list[PhaseSpan], steps: Sequence[int]) -> list[str]:
    """The rest of the way, as long as it goes well; of a canary each share that is still to come."""
    now = spans[-1].phase if spans else Phase.PREFLIGHT
    if now == Phase.AWAITING_APPROVAL:
        now = Phase.VERIFYING
    if now not in GOOD_WAY:
        return []
    rest = list(GOOD_WAY[GOOD_WAY.index(Phase(now)) + (1 if spans else 0) :])
    if len(steps) < 2:
        return [_name(phase) for phase in rest]
    had = max((span.share for span in spans if span.share is not None), default=0)
    shares = [_name(Phase.MONITORING, percent) for percent in steps if percent > had]
    before = [_name(phase) for phase in rest if phase not in (Phase.MONITORING, Phase.RETAINING)]
    return [*before, *shares, *([_name(Phase.RETAINING)] if Phase.RETAINING in rest else [])]
