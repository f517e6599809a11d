"""Standing alert rules: kept in the store, looked at every second, fired once and resolved once, over restarts too.

A firing is written down before people are told, an ending after: whatever is told again after a crash has the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from bluegreen.control.alerting import AlertDesk
from bluegreen.control.metrics import MetricsRecorder
from bluegreen.control.ports import Alert, Clock, DocumentStore
from bluegreen.domain.alert_rules import Change, Condition, RuleState, Standing, advance, parse_condition
from bluegreen.domain.errors import BluegreenError, StoreError
from bluegreen.domain.model import Workload
from bluegreen.domain.series import METRICS, summary
from bluegreen.domain.window import Window

log = logging.getLogger(__name__)

KIND = "alert_rule"
LOOK_SECONDS = 1.0
WINDOW_SECONDS = 10.0
"""A rule is held against what was measured in the last seconds."""
MAX_UNTOLD = 20


@dataclass(frozen=True, slots=True)
class Rule:
    """`standing` goes by the monotonic clock. `fired_at` (epoch seconds) is 0 while it does not fire."""

    name: str
    severity: str
    message: str
    condition: str
    labels: Mapping[str, str]
    created_by: str
    created_at: float
    standing: Standing = Standing()
    fired_at: float = 0.0

    @property
    def parsed(self) -> Condition:
        return _parsed(self.condition)

    @property
    def service(self) -> str:
        return self.labels.get("app", "")

    @property
    def firing(self) -> bool:
        return self.standing.state is RuleState.FIRING


@lru_cache(maxsize=1024)
def _parsed(condition: str) -> Condition:
    return parse_condition(condition, METRICS)


class RuleBook:
    """`rules` are all that stand, by name."""

    def __init__(self, metrics: MetricsRecorder, desk: AlertDesk, documents: DocumentStore, clock: Clock) -> None:
        self.rules: dict[str, Rule] = {}
        self._metrics = metrics
        self._desk = desk
        self._documents = documents
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._unwritten: set[str] = set()
        """Names of rules that began or ceased to fire, which is not on disk yet."""
        self._untold: dict[str, list[Alert]] = {}
        """By rule, in order: what is not in the outbox yet."""

    async def load(self) -> None:
        """The rules that a former daemon kept. Raises StoreError."""
        for name, document in (await self._documents.all(KIND)).items():
            try:
                rule = self._from_document(name, document)
            except (KeyError, ValueError, TypeError, AttributeError, BluegreenError):
                log.error("the alert rule %s can't be read and is left alone", name)
                continue
            self.rules[name] = rule
            if rule.firing:
                # It may have died between writing this down and telling it; the outbox knows what it has.
                self._untold[name] = [_alert(rule, at=rule.fired_at)]

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="alert rules")

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def since(self, rule: Rule) -> float | None:
        """When it came to stand as it does, in epoch seconds; None before the first look."""
        if rule.firing:
            return rule.fired_at
        if rule.standing.state is RuleState.UNKNOWN:
            return None
        return self._clock.now() - (self._clock.monotonic() - rule.standing.since)

    async def put(self, rule: Rule) -> None:
        """A rule of the same name is replaced; one with the same condition goes on where that stood. Raises StoreError;
        then nothing changed."""
        async with self._lock:
            old = self.rules.get(rule.name)
            if old is not None and (old.condition, old.labels) == (rule.condition, rule.labels):
                rule = replace(rule, standing=old.standing, fired_at=old.fired_at)
            await self._documents.put(KIND, rule.name, _to_document(rule))
            self.rules[rule.name] = rule
            self._unwritten.discard(rule.name)
            if old is not None and old.firing and not rule.firing:
                self._end(old, "the rule was replaced")

    async def remove(self, name: str) -> None:
        """No error when there is none. Raises StoreError; then nothing changed."""
        async with self._lock:
            await self._documents.remove(KIND, name)
            old = self.rules.pop(name, None)
            self._unwritten.discard(name)
            if old is not None and old.firing:
                self._end(old, "the rule was removed")

    async def look(self) -> None:
        """Holds every rule against what is measured now, and tells people what changed."""
        if self.rules:
            await self._metrics.refresh({w.service for rule in self.rules.values() for w in self._chosen(rule)})
        async with self._lock:
            now = self._clock.now()
            for rule in list(self.rules.values()):
                self._advance(rule, now)
            for name in {*self._unwritten, *self._untold}:
                try:
                    await self._settle(name)
                except StoreError as error:
                    log.error("alert rule %s could not be written: %s", name, error.message)
                    # People hear of it all the same; each alert is taken only once.
                    self._desk.deliver_unrecorded(self._untold.get(name, ()))

    def _chosen(self, rule: Rule) -> list[Workload]:
        return self._metrics.matching(rule.labels)

    def _advance(self, rule: Rule, now: float) -> None:
        over = Window(now - WINDOW_SECONDS, now)
        found = self._metrics.points([w.id for w in self._chosen(rule)], METRICS[rule.parsed.metric], over)
        standing, change = advance(rule.parsed, rule.standing, summary(found).latest, self._clock.monotonic())
        changed = replace(rule, standing=standing)
        if change is Change.FIRED:
            changed = replace(changed, fired_at=now)
            self._tell(_alert(changed, at=now))
            self._unwritten.add(rule.name)
        elif change is Change.RESOLVED:
            changed = replace(changed, fired_at=0.0)
            self._end(replace(rule, standing=replace(rule.standing, value=standing.value)), "it is over")
            self._unwritten.add(rule.name)
        self.rules[rule.name] = changed

    def _end(self, fired: Rule, why: str) -> None:
        self._tell(_alert(fired, at=self._clock.now(), ended=why))

    def _tell(self, alert: Alert) -> None:
        """Bounded: while nothing can be written for long, the oldest are given up."""
        untold = self._untold.setdefault(alert.name, [])
        untold.append(alert)
        del untold[:-MAX_UNTOLD]

    async def _settle(self, name: str) -> None:
        """Brings to disk how a rule stands and what people must be told, in the order that survives a crash."""
        rule, untold = self.rules.get(name), self._untold.get(name, [])
        if rule is not None and rule.firing:
            await self._write(rule)
        while untold:
            await self._desk.create(untold[0])
            del untold[0]
        self._untold.pop(name, None)
        if rule is not None:
            await self._write(rule)

    async def _write(self, rule: Rule) -> None:
        if rule.name in self._unwritten:
            await self._documents.put(KIND, rule.name, _to_document(rule))
            self._unwritten.discard(rule.name)

    def _from_document(self, name: str, document: Mapping[str, Any]) -> Rule:
        """What a rule was waiting for is not kept: nobody measured while there was no daemon."""
        fired_at = float(document["fired_at"])
        began = self._clock.monotonic() - max(0.0, self._clock.now() - fired_at)
        rule = Rule(
            name=name,
            severity=str(document["severity"]),
            message=str(document["message"]),
            condition=str(document["condition"]),
            labels={str(key): str(value) for key, value in document["labels"].items()},
            created_by=str(document["created_by"]),
            created_at=float(document["created_at"]),
            standing=Standing(RuleState.FIRING, began) if fired_at else Standing(),
            fired_at=fired_at,
        )
        _parsed(rule.condition)
        return rule

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("alert rules could not be looked at")
            await self._clock.sleep(LOOK_SECONDS)


def _alert(rule: Rule, *, at: float, ended: str = "") -> Alert:
    """Of a rule that fires; with `ended` of its end, which has the same id with `:resolved`."""
    value = rule.standing.value
    now = "" if value is None else f"{METRICS[rule.parsed.metric].name} is {value:g}"
    details = ", ".join(part for part in (ended, now) if part)
    return Alert(
        id=f"rule:{rule.name}:{rule.fired_at * 1000:.0f}{':resolved' if ended else ''}",
        name=rule.name,
        severity=rule.severity,
        message=f"{rule.message} ({rule.condition}{': ' if details else ''}{details})",
        at=at,
        service=rule.service,
        labels=dict(rule.labels),
        version=rule.labels.get("version", ""),
        cause=f"{rule.condition}{': ' if details else ''}{details}",
        next_command=f"bluegreen status {rule.service}".strip(),
        resolved=bool(ended),
    )


def _to_document(rule: Rule) -> dict[str, Any]:
    return {
        "severity": rule.severity,
        "message": rule.message,
        "condition": rule.condition,
        "labels": dict(rule.labels),
        "created_by": rule.created_by,
        "created_at": rule.created_at,
        "fired_at": rule.fired_at,
    }
