"""Events as sentences, and the phases that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bluegreen.control.views import EventView
from bluegreen.domain.deployment import TRANSITIONS, Phase
from bluegreen.domain.text import size_text
from bluegreen.interfaces.cli.output import duration, milliseconds, printable

Data = Mapping[str, Any]


def _joined(items: Any, before: str = ": ") -> str:
    return f"{before}{'; '.join(map(str, items))}" if items else ""


def _after(text: Any, before: str = ": ") -> str:
    return f"{before}{text}" if text else ""


def _requested(data: Data) -> str:
    return f"{data['requested_by']} asked for {data['image']} ({data['strategy']}){_after(data.get('note'))}"


def _preflight(data: Data) -> str:
    found = str(data.get("blue_found") or "")
    before = "" if found.startswith("first deployment") else "the version before: "
    return f"all {len(data['checks'])} requirements are met{_after(found, f'; {before}')}"


def _pulling(data: Data) -> str:
    total = data["total_bytes"]
    share = f"{100 * data['received_bytes'] // total} % of " if total else ""
    return f"pulling {data['image']}: {share}{size_text(total)}"


def _switched(data: Data) -> str:
    targets = ", ".join(f"{target['weight']} % to {target['color']}" for target in data["targets"])
    return f"traffic moved: {targets}, acknowledged in {milliseconds(data['milliseconds'])}"


def _monitored(data: Data) -> str:
    return f"monitoring passed: {data['requests']} requests, {data['errors']} errors{_after(data['verdict'], ' - ')}"


def _rollback(data: Data) -> str:
    who = "by itself" if data.get("automatic") else f"for {data['requested_by']}"
    return f"rolling back {who}: {data['cause']}"


def _drained(data: Data) -> str:
    cut = f"; {data['cut']} requests were cut at the deadline" if data["cut"] else ""
    return f"{data['color']} drained in {duration(data['seconds'])}{cut}"


def _collected(data: Data) -> str:
    return f"kept the new version's last {len(data['lines'])} log lines{_joined(data.get('exit_codes'), '; exit: ')}"


def _verified_blue(data: Data) -> str:
    state = "healthy" if data["healthy"] else "NOT healthy"
    return f"the version with the traffic is {state}{_after(data.get('detail'))}"


def _baseline(data: Data) -> str:
    windows = [
        f"{window['errors']} of {window['requests']} requests failed in {window['name']}"
        for window in data["baseline"]["windows"]
    ]
    worst = next((moment for moment in data["baseline"].get("worst", ()) if moment["errors"]), None)
    windows += [f"{worst['errors']} of {worst['requests']} in {worst['name']}"] if worst else []
    return f"the old version's record: {', '.join(windows) or 'nothing was measured'}"


_SENTENCES: dict[str, Callable[[Data], str]] = {
    "deployment_requested": _requested,
    "preflight_passed": _preflight,
    "image_pulling": _pulling,
    "green_prepared": lambda data: f"the image is here{_after(data.get('detail'))}",
    "action_started": lambda data: f"{data['action']} begins{_after(data.get('detail'))}",
    "action_succeeded": lambda data: f"{data['action']} done{_after(data.get('detail'))}",
    "action_failed": lambda data: f"{data['action']} did not work: {data['error']}",
    "green_started": lambda data: f"the new version is started{_joined(data.get('endpoints'), ' on ')}",
    "health_passed": lambda data: f"the new version is healthy{_after(data.get('detail'))}",
    "smoke_passed": lambda data: f"smoke tests passed{_joined(data.get('results'))}",
    "approval_needed": lambda _: "the new version is verified and waits for a person to promote it",
    "verified": lambda _: "the new version is verified",
    "promoted": lambda data: f"promoted{_after(data.get('requested_by'), ' by ')}{_after(data.get('reason'))}",
    "baseline_recorded": _baseline,
    "traffic_switched": _switched,
    "step_passed": lambda data: f"this share of the traffic went well{_after(data.get('verdict'))}",
    "green_grown": lambda data: f"the new version has {data['replicas']} replicas now; the new ones are verified next",
    "monitoring_passed": _monitored,
    "attention_needed": lambda data: f"NEEDS ATTENTION: {data['reason']}",
    "retention_ended": lambda data: f"the version before is retired{_after(data.get('reason'))}",
    "deployment_failing": lambda data: f"failing: {data['cause']}",
    "abort_requested": lambda data: f"abort asked for by {data['requested_by']}{_after(data.get('reason'))}",
    "rollback_requested": _rollback,
    "blue_verified": _verified_blue,
    "logs_collected": _collected,
    "drained": _drained,
    "workload_stopped": lambda data: f"{data['workload_id']} is stopped",
    "alert_raised": lambda data: f"alert {data['name']} ({data['severity']}): {data['message']}",
    "controller_restarted": lambda data: f"the daemon was restarted and goes on{_after(data.get('detail'))}",
    "deployment_completed": lambda _: "completed",
    "deployment_rolled_back": lambda _: "rolled back",
    "deployment_failed": lambda _: "failed",
    "deployment_aborted": lambda _: "aborted",
}

ROUTINE = frozenset({"action_started", "action_succeeded", "alert_raised"})
"""Kinds that a spectator of a deployment need not see; `bluegreen events` shows them."""


def sentence(event: EventView) -> str:
    """What happened. A kind that we don't know, of a newer daemon, by its name."""
    try:
        text = _SENTENCES[event.kind](event.data)
    except (KeyError, TypeError):
        text = event.kind.replace("_", " ")
    return printable(text).replace("\n", " ")


@dataclass(slots=True)
class PhaseSpan:
    """A phase that was entered. Times are seconds since the epoch."""

    phase: str
    began_at: float
    ended_at: float | None = None
    share: int | None = None
    """Of a canary: the new version's part of the traffic in percent, while it was watched."""


@dataclass(slots=True)
class Timeline:
    """The phases of one deployment, found by the same table that the daemon goes by."""

    spans: list[PhaseSpan] = field(default_factory=list)
    in_steps: bool = False

    @property
    def phase(self) -> str:
        return self.spans[-1].phase if self.spans else str(Phase.PREFLIGHT)

    def add(self, event: EventView) -> None:
        if not self.spans:
            self.spans.append(PhaseSpan(str(Phase.PREFLIGHT), event.at))
            self.in_steps = len(event.data.get("steps", ())) > 1
            return
        try:
            target = TRANSITIONS.get((Phase(self.phase), event.kind))
        except ValueError:
            return
        if target is not None and target != self.phase:
            self.spans[-1].ended_at = event.at
            share = event.data["targets"][-1]["weight"] if self.in_steps and target == Phase.MONITORING else None
            self.spans.append(PhaseSpan(str(target), event.at, share=share))
