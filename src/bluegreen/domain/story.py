"""What a deployment's log tells afterwards: its phases, when traffic moved, what was decided on which numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bluegreen.domain import events as e
from bluegreen.domain.deployment import Deployment, Phase, apply, replay
from bluegreen.domain.verdict import Verdict

LEAST_MARGIN_SECONDS = 20.0
MARGIN_SECONDS = 60.0
"""How much of the time before the switch and after the decision belongs into the picture, so that one sees what was
usual: twice the time between them, within these bounds."""


@dataclass(frozen=True, slots=True)
class Span:
    """A phase. `ended_at` is None while it lasts. Times are seconds since the epoch."""

    phase: Phase
    began_at: float
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Traffic moved, and the router confirmed it. `percent` is the share of the new version from then on."""

    at: float
    percent: int
    back: bool
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on measurements; `by` is empty when no person did. `what`: passed, step_passed, rollback."""

    at: float
    what: str
    reason: str
    by: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Story:
    deployment: Deployment
    spans: tuple[Span, ...]
    moves: tuple[Move, ...]
    decisions: tuple[Decision, ...]

    @property
    def switched_at(self) -> float | None:
        """When the new version got its first traffic."""
        return next((move.at for move in self.moves if not move.back), None)

    @property
    def back_at(self) -> float | None:
        """When the old version had all of it again."""
        return next((move.at for move in reversed(self.moves) if move.back), None)

    @property
    def exposed_seconds(self) -> float | None:
        """How long users were with the new version before it was rolled back; None when they were not, or are."""
        if self.switched_at is None or self.back_at is None:
            return None
        return max(0.0, self.back_at - self.switched_at)


def story_of(records: Sequence[e.Record]) -> Story:
    """Folds the log once more. Raises IllegalEvent when it is no history that could have happened."""
    state = replay(records[:1])
    spans = [Span(state.phase, state.phase_since)]
    moves: list[Move] = []
    decisions: list[Decision] = []
    for record in records[1:]:
        before, state = state, apply(state, record.at, record.event)
        if state.phase is not before.phase:
            spans[-1] = Span(before.phase, spans[-1].began_at, record.at)
            spans.append(Span(state.phase, record.at))
        if isinstance(record.event, e.TrafficSwitched):
            moves.append(_move(before, record.at, record.event))
        if (decision := _decision(record.at, record.event)) is not None:
            decisions.append(decision)
    if state.phase.terminal:
        spans.pop()
    return Story(state, tuple(spans), tuple(moves), tuple(decisions))


def _move(before: Deployment, at: float, event: e.TrafficSwitched) -> Move:
    green = before.green.id if before.green else ""
    percent = sum(target.weight for target in event.targets if target.workload_id == green)
    return Move(at, percent, before.phase is Phase.ROLLING_BACK, event.milliseconds)


def _decision(at: float, event: e.Event) -> Decision | None:
    match event:
        case e.StepPassed():
            return Decision(at, "step_passed", event.verdict, "", event.measurements)
        case e.MonitoringPassed():
            return Decision(at, "passed", event.verdict, "", event.measurements)
        case e.RollbackRequested():
            by = "" if event.automatic else event.requested_by
            return Decision(at, "rollback", event.cause, by, event.measurements)
    return None


def window_of(story: Story, now: float) -> tuple[float, float]:
    """From when to when the measurements tell something: around the time when the new version had traffic and was
    judged; all of the deployment when it never had any."""
    d = story.deployment
    until = min(now, d.ended_at if d.ended_at is not None else now)
    if story.switched_at is None:
        return d.requested_at - MARGIN_SECONDS, max(until, d.requested_at + 1.0)
    switched = story.switched_at
    decided = story.back_at or next((decision.at for decision in story.decisions if decision.what == "passed"), until)
    margin = min(MARGIN_SECONDS, max(LEAST_MARGIN_SECONDS, 2 * (decided - switched)))
    return switched - margin, max(min(now, decided + margin), switched + 1.0)


def headline(story: Story) -> str:
    """How it went in one or two sentences, for somebody who reads no further."""
    d = story.deployment
    new = d.green.version if d.green else d.image.rpartition(":")[2]
    old = d.blue.version if d.blue else ""
    kept = f"{old} has all traffic" if old else "no version has traffic"
    match d.phase:
        case Phase.COMPLETED | Phase.RETAINING:
            replaced = f"{new} replaced {old}" if old else f"{new} is the first version of {d.service}"
            return f"{replaced}. {_watched(story)}"
        case Phase.ROLLED_BACK | Phase.ROLLING_BACK:
            after = "" if story.exposed_seconds is None else f" {_seconds(story.exposed_seconds)} after it got traffic"
            is_was = "was" if d.phase is Phase.ROLLED_BACK else "is being"
            unhealthy = ", and is NOT healthy" if d.blue_healthy_after_rollback is False else ""
            return f"{new} {is_was} rolled back{after}: {d.cause}. {kept}{unhealthy}."
        case Phase.FAILED | Phase.ABORTED:
            verb = "failed" if d.phase is Phase.FAILED else "was aborted"
            untouched = f"{old} was never touched and goes on." if old else "There was no version before."
            return f"{new} {verb} before it got any traffic: {d.cause}. {untouched}"
        case Phase.MONITORING:
            return f"{new} has {d.share} % of the traffic and is being watched."
        case Phase.SWITCHING if d.switched:
            return f"{new} has {d.share} % of the traffic and is about to have {d.percent} %."
    return f"{new} is not yet in service (phase {d.phase.replace('_', ' ')}). {kept}."


def _watched(story: Story) -> str:
    passed = next((decision for decision in story.decisions if decision.what == "passed"), None)
    if passed is None:
        return "It has all traffic."
    errors = next((verdict for verdict in passed.verdicts if verdict.measurement == "errors"), None)
    if errors is None or not errors.requests:
        return f"It has all traffic: {passed.reason}."
    return f"It has all traffic; {errors.events} of {errors.requests} requests failed while it was watched."


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
