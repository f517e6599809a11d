"""What people are told about a deployment: a full sentence, the version, the cause, and the command to type next."""

from __future__ import annotations

from bluegreen.domain.actions import RaiseAlert
from bluegreen.domain.deployment import Deployment, Phase
from bluegreen.domain.model import ImageReference

COMPLETE = "deploy-complete"
ROLLBACK = "deploy-rollback"
FAILED = "deploy-failed"
ABORTED = "deploy-aborted"
AWAITING_APPROVAL = "deploy-awaiting-approval"
NEEDS_ATTENTION = "deploy-needs-attention"


def ending_alert(d: Deployment) -> RaiseAlert:
    """For a deployment that is about to end as its `ending` says."""
    details = f"bluegreen events {d.id}"
    match d.ending:
        case Phase.COMPLETED:
            return _alert(d, COMPLETE, "info", f"{d.service} runs {d.image}", f"bluegreen status {d.service}")
        case Phase.ROLLED_BACK:
            target = f" to {d.blue.image}" if d.blue is not None else ""
            text = f"{d.service} was rolled back from {d.image}{target}: {d.cause}"
            return _alert(d, ROLLBACK, "warning", text, details)
        case Phase.ABORTED:
            return _alert(d, ABORTED, "info", f"{d.service}: deployment of {d.image} aborted: {d.cause}", details)
        case _:
            return _alert(d, FAILED, "warning", f"{d.service}: deployment of {d.image} failed: {d.cause}", details)


def needs_attention(d: Deployment, trouble: str, *, topic: str, way_back: bool = True) -> RaiseAlert:
    """For trouble that only a person can end. One alert per `topic`; the sentence may hold changing numbers.

    The command is the way back, as long as there is one (`way_back`: nothing known speaks against it).
    """
    command = f"bluegreen rollback {d.service}" if way_back and d.can_roll_back else f"bluegreen events {d.id}"
    return RaiseAlert(
        NEEDS_ATTENTION,
        "critical",
        _with_command(f"{d.service}: {trouble}", command),
        version=version_of(d),
        cause=trouble,
        next_command=command,
        topic=topic,
    )


def awaiting_approval(d: Deployment, expires_after_seconds: float) -> RaiseAlert:
    """For the person without whom it does not go on; `expires_after_seconds` 0 is never."""
    command = f"bluegreen approve {d.service}"
    until = f"; nobody within {expires_after_seconds:g} s means no" if expires_after_seconds else ""
    text = f"{d.service}: {d.image} of {d.requested_by} is verified and waits for a person{until}"
    return RaiseAlert(
        AWAITING_APPROVAL,
        "info",
        _with_command(text, command),
        version=version_of(d),
        cause=f"{d.requested_by} may not move the traffic, or auto_promote is off",
        next_command=command,
    )


def version_of(d: Deployment) -> str:
    """The tag of the image that the deployment brings."""
    return d.green.version if d.green is not None else ImageReference.parse(d.image).tag


def _alert(d: Deployment, name: str, severity: str, text: str, command: str) -> RaiseAlert:
    return RaiseAlert(
        name,
        severity,
        _with_command(text, command),
        version=version_of(d),
        cause=d.verdict if d.ending is Phase.COMPLETED else d.cause,
        next_command=command,
    )


def _with_command(text: str, command: str) -> str:
    if command in text:
        return text
    return f"{text.rstrip().rstrip('.')}. Next: {command}"
