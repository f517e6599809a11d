"""The tables `[services.NAME.policy]` and `[services.NAME.canary]`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bluegreen.domain.service import Canary, Policy
from bluegreen.spec.canary_values import Percent, RequestName, Sticky
from bluegreen.spec.table import Table

HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400
_POLICY = Policy()
_CANARY = Canary()


class PolicyTable(Table):
    """How careful the deployments of a service are."""

    monitor_seconds: float = Field(
        default=_POLICY.monitor_seconds,
        ge=0,
        le=7 * DAY_SECONDS,
        description="How long real traffic on green is watched after the switch.",
    )
    retain_seconds: float = Field(
        default=_POLICY.retain_seconds,
        ge=0,
        le=30 * DAY_SECONDS,
        description="How long the old version keeps running after that, so that rollback is instant.",
    )
    drain_timeout_seconds: float = Field(
        default=_POLICY.drain_timeout_seconds,
        ge=0,
        le=DAY_SECONDS,
        description="How long a version may finish its requests before it is stopped.",
    )
    max_error_rate: float = Field(
        default=_POLICY.max_error_rate,
        ge=0,
        le=1,
        description="Share of failed requests (status 500 and above) on green that is still accepted; what the old"
        " version surely had, when that was more (below 50 %).",
    )
    min_requests: int = Field(
        default=_POLICY.min_requests,
        ge=1,
        le=10**9,
        description="Requests green must have had before it can pass. It can fail with fewer.",
    )
    max_latency_ms: float | None = Field(
        default=_POLICY.max_latency_ms,
        gt=0,
        le=60_000,
        description="What `latency_quantile` of green's requests may take until the head of the answer, in"
        " milliseconds; rounded up to 0.5, 1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750 and so on.",
    )
    max_latency_increase: float | None = Field(
        default=_POLICY.max_latency_increase,
        ge=0,
        le=100,
        description="How much slower than the old version that quantile may be, as a share: 0.2 is 20 %."
        " `max_latency_ms` comes first.",
    )
    latency_quantile: float = Field(
        default=_POLICY.latency_quantile,
        ge=0.5,
        le=0.999,
        description="Which quantile of the latency is limited.",
    )
    false_rollback_probability: float = Field(
        default=_POLICY.false_rollback_probability,
        ge=1e-9,
        le=0.2,
        description="The chance that a good version is rolled back by luck, over the whole deployment.",
    )
    on_inconclusive: Literal["hold", "promote", "rollback"] = Field(
        default="hold",
        description="What follows when the numbers do not tell after `monitor_seconds`: hold for a person; promote,"
        " when all that is missing is traffic; or roll back.",
    )
    inconclusive_seconds: float = Field(
        default=_POLICY.inconclusive_seconds,
        ge=0,
        le=30 * DAY_SECONDS,
        description="How much longer than `monitor_seconds` to wait for the numbers before that.",
    )
    max_restarts: int = Field(
        default=_POLICY.max_restarts,
        ge=0,
        le=1000,
        description="How often replicas of green may crash while it is watched.",
    )
    auto_promote: bool = Field(
        default=_POLICY.auto_promote,
        description="Switch as soon as green is verified; false waits for `bluegreen promote`.",
    )
    approval_timeout_seconds: float = Field(
        default=_POLICY.approval_timeout_seconds,
        ge=0,
        le=30 * DAY_SECONDS,
        description="How long a verified version may wait for approval before it is stopped; 0 is for ever.",
    )
    auto_rollback: bool = Field(
        default=_POLICY.auto_rollback,
        description="Switch back by itself when green breaks its limits; false raises an alert.",
    )
    poll_seconds: float = Field(
        default=_POLICY.poll_seconds,
        ge=0.01,
        le=0.5,
        description="Time between two looks at green after the switch.",
    )
    smoke_interval_seconds: float = Field(
        default=_POLICY.smoke_interval_seconds,
        ge=0,
        le=DAY_SECONDS,
        description="How often the smoke tests are repeated on green while it is watched; two failures in a row roll"
        " back. 0 is never.",
    )


class CanaryTable(Table):
    """How `--strategy canary` moves the traffic of a service."""

    steps: list[Percent] = Field(
        default=list(_CANARY.steps),
        min_length=1,
        max_length=20,
        description="Shares of the traffic for green in percent, one after the other; growing, the last one 100.",
    )
    observe_seconds: float = Field(
        default=_CANARY.observe_seconds,
        ge=0,
        le=7 * DAY_SECONDS,
        description="How long each step but the last is watched; the last one for `policy.monitor_seconds`.",
    )
    error_threshold: float | None = Field(
        default=_CANARY.error_threshold,
        ge=0,
        le=1,
        description="`policy.max_error_rate` while both versions serve. Not set: the same.",
    )
    latency_threshold_ms: float | None = Field(
        default=_CANARY.latency_threshold_ms,
        gt=0,
        le=60_000,
        description="`policy.max_latency_ms` while both versions serve. Not set: the same.",
    )
    sticky: Sticky | None = Field(
        default=None,
        description='Keeps users on their side: "cookie:NAME" or "header:NAME", whose value tells them apart. Requests'
        " without it are spread at random.",
    )
    set_cookie: bool = Field(
        default=_CANARY.set_cookie,
        description="Gives whoever comes without the cookie of `sticky` one with a random value, until the browser is"
        " closed, while both versions serve.",
    )
    force_header: RequestName | None = Field(
        default=None,
        description="Name of a header that chooses the side, blue or green, while it has a share of the traffic."
        " Whoever can send it can choose.",
    )
    force_cookie: RequestName | None = Field(
        default=None, description="Name of a cookie that does the same; the header comes first."
    )
