"""What an agent is told: how to use this server, how to deploy, how to roll back."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass

import mcp_types as types

from bluegreen.control.fleet import unknown
from bluegreen.domain.errors import UsageError
from bluegreen.domain.text import require_plain_text

MAX_ARGUMENT_LENGTH = 500

INSTRUCTIONS = """\
bluegreen deploys new versions of services without losing a request: the new version (green) starts beside the \
running one (blue), is verified, and then gets all traffic in one instant; while blue is kept, going back is one \
instant too.

Start with bluegreen_status. For a new version use the tools that do the whole walk: bluegreen_plan, \
bluegreen_deploy, then bluegreen_wait (it reports progress) until the phase is completed, rolled_back, failed or \
aborted. bluegreen_rollback moves the traffic back. bluegreen_history and bluegreen_events tell what happened and \
why.

The same walk by hand, for those who must take each step themselves: workload_list, workload_submit (the new \
version), workload_get until it is running, metrics_query (health_check_success), workload_submit (<app>-service, \
the switch), metrics_query (request_error_rate), workload_stop (the old version), alert_create. Don't mix both on \
one deployment.

An error says what to change or what to do next: read it, and don't repeat the same call unchanged. Ask a person \
before a tool that is marked destructive, when a deployment is awaiting_approval, when `attention` is not empty, \
when a token may not do what is needed, and when measurements are missing: no data is no proof that a version works."""


@dataclass(frozen=True, slots=True)
class Guide:
    """A prompt: `text` has ${argument} where the arguments go."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    """Name → description. All are required."""
    text: str


_DEPLOY = Guide(
    "deploy",
    "Deploy a version",
    "Bring a new version of a service into production with blue-green, and prove that it works.",
    {"service": "Name of the service.", "version": "Version to deploy: a tag such as v2.0, or repository:tag."},
    """\
Deploy version ${version} of the service ${service}, blue-green, with the tools of bluegreen.

1. Look: bluegreen_status(service "${service}"). Note which version has the traffic: that is what a rollback returns \
to. If another deployment is under way, stop here and tell the person.
2. Plan: bluegreen_plan(service "${service}", image "${version}"). If `possible` is false, stop, and report the \
requirements that are not met, word for word.
3. Deploy: bluegreen_deploy(service "${service}", image "${version}", note: who asked for it). Keep the id in the \
answer.
4. Wait: bluegreen_wait(deployment: that id, until "retaining"). If it comes back before that because time was up, \
call it again. If the phase is awaiting_approval, stop: tell the person what was verified, and that bluegreen \
approve ${service} lets it through. Approve it yourself only when you were told so.
5. Check what users see: metrics_query(metric "request_error_rate", labels {"app": "${service}"}, startTime "-5m", \
step "10s") and metrics_query(metric "health_check_success", labels {"app": "${service}"}, startTime "-5m"). Compare \
with before; a null means that nothing was measured, not that all is well.
6. Report: the version that has the traffic now, the version before, how long it took, requests and errors since the \
switch, and until when a rollback is one instant (`rollback_until`).

Stop conditions. If the phase becomes failed, rolled_back or aborted: don't deploy again. Read bluegreen_events and \
bluegreen_logs, and report the cause; the version before still has the traffic. If errors are clearly above what \
they were before the switch, call bluegreen_rollback(service "${service}", reason: what you saw) at once, then tell \
the person. If `attention` is not empty, report it and let the person decide.""",
)

_ROLL_BACK = Guide(
    "roll-back",
    "Roll back a service",
    "Move the traffic back to the version before, and make sure that it has arrived.",
    {"service": "Name of the service.", "reason": "Why: what was seen, and where. It is kept in the history."},
    """\
Roll back the service ${service} with the tools of bluegreen. The reason: ${reason}

1. Look: bluegreen_status(service "${service}"). Note the version that has the traffic and the one before. If \
`can_roll_back` is true, going back is one instant. If it is false, the version before no longer runs: a rollback \
then starts it anew, which takes as long as a deployment. Say so to the person before you go on.
2. Go back: bluegreen_rollback(service "${service}", reason "${reason}"). Do this once. `how` in the answer tells \
what happened: switch (the traffic is back), abort (it had never moved), deploy (a new walk began: follow it with \
bluegreen_wait).
3. Make sure: bluegreen_status(service "${service}") shows the version before as active and healthy, and \
metrics_query(metric "request_error_rate", labels {"app": "${service}"}, startTime "-1m") comes down.
4. Report: which version has the traffic now, since when, how long the switch took, the reason, and the lines of \
bluegreen_events or bluegreen_logs that show the cause.

Stop conditions. If the rollback is refused, don't try other tools to force it: report the message and its next \
step. If errors stay high on the version before as well, the cause is elsewhere: leave the traffic where it is and \
call the person. Deploy nothing new until the person has agreed.""",
)

_GUIDES = {guide.name: guide for guide in (_DEPLOY, _ROLL_BACK)}


def prompts() -> list[types.Prompt]:
    return [
        types.Prompt(
            name=guide.name,
            title=guide.title,
            description=guide.description,
            arguments=[
                types.PromptArgument(name=name, description=description, required=True)
                for name, description in guide.arguments.items()
            ],
        )
        for guide in _GUIDES.values()
    ]


def filled(name: str, arguments: Mapping[str, str]) -> types.GetPromptResult:
    """Raises UnknownName, UsageError for arguments that are missing, unknown or no plain text."""
    guide = _GUIDES.get(name)
    if guide is None:
        raise unknown("prompt", name, list(_GUIDES))
    listing = ", ".join(guide.arguments)
    for argument in arguments:
        if argument not in guide.arguments:
            raise UsageError(f"{name}: unknown argument {argument!r}", hint=f"It takes: {listing}")
    for argument in guide.arguments:
        if not arguments.get(argument, "").strip():
            raise UsageError(f"{argument}: must be given for the prompt {name}", hint=f"It takes: {listing}")
        require_plain_text(argument, arguments[argument], max_length=MAX_ARGUMENT_LENGTH)
    text = string.Template(guide.text).substitute(arguments)
    return types.GetPromptResult(
        description=guide.description,
        messages=[types.PromptMessage(role="user", content=types.TextContent(text=text))],
    )
