"""What the name and the labels of a submitted workload say, checked: labels decide what a submit means, so one that
contradicts another is refused rather than passed over."""

from __future__ import annotations

import re
from dataclasses import fields

from bluegreen.control import tool_requests as t
from bluegreen.control.fleet import Fleet
from bluegreen.control.workload_lookup import SERVICE_SUFFIX
from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import Color
from bluegreen.domain.service import ServiceSpec
from bluegreen.domain.text import require_plain_text

MAX_NAME_LENGTH = 80
MAX_LABEL_LENGTH = 256
MAX_LABELS = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def require_texts(request: t.WorkloadSubmitRequest) -> None:
    """Raises UsageError for a name or labels that must not end up in lists and on terminals."""
    require_plain_text("name", request.name, max_length=MAX_NAME_LENGTH, empty=False)
    if not _NAME.fullmatch(request.name):
        raise UsageError(
            "name: takes letters, digits, dots, dashes and underscores, and begins with a letter or digit",
            hint="For example: inference-model-green, or inference-model-service for the switch",
        )
    if len(request.labels) > MAX_LABELS:
        raise UsageError(f"labels: at most {MAX_LABELS}, got {len(request.labels)}")
    for key, value in request.labels.items():
        require_plain_text("labels", key, max_length=MAX_NAME_LENGTH, empty=False)
        require_plain_text(f"labels.{key}", value, max_length=MAX_LABEL_LENGTH)


def is_switch(request: t.WorkloadSubmitRequest) -> bool:
    return "activeDeployment" in request.labels or (
        request.name.endswith(SERVICE_SUFFIX) and "deployment" not in request.labels
    )


def spec_meant(fleet: Fleet, request: t.WorkloadSubmitRequest) -> ServiceSpec:
    """The service of the label `app`, else of the name. Raises UnknownName, UsageError, Forbidden."""
    if app := request.labels.get("app"):
        spec = fleet.spec(app, parameter="labels.app")
    else:
        spec = fleet.spec(_service_in(request.name), parameter="name")
    env = request.labels.get("env")
    if env is not None and env != spec.environment:
        raise UsageError(
            f"labels.env: {spec.name!r} is of environment {spec.environment!r}, not {env!r}",
            hint=f"Give {spec.environment!r}, or leave the label out",
        )
    return spec


def _service_in(name: str) -> str:
    for ending in (SERVICE_SUFFIX, *(f"-{color}" for color in Color)):
        if name.endswith(ending):
            return name.removesuffix(ending)
    raise UsageError(
        "labels.app: is missing, so nobody knows which service this belongs to",
        hint='For a new version: labels {"app": SERVICE, "deployment": "green"}; '
        'for the switch: name SERVICE-service, labels {"app": SERVICE, "activeDeployment": "green"}',
    )


def color_of(request: t.WorkloadSubmitRequest, key: str) -> Color:
    """The color that the label says, `deployment` or `activeDeployment`. Raises UsageError."""
    color, hint = request.labels.get(key), f'For example labels {{"{key}": "green"}}'
    if color is None:
        raise UsageError(f"labels.{key}: is missing, it must be blue or green", hint=hint)
    if color not in tuple(Color):
        raise UsageError(f"labels.{key}: must be blue or green, got {color!r}", hint=hint)
    return Color(color)


def require_slot_name(request: t.WorkloadSubmitRequest, color: Color) -> None:
    """Raises UsageError for a name that would say something else in every list than what the workload is."""
    for ending in (f"-{color.other}", SERVICE_SUFFIX):
        if request.name.endswith(ending):
            raise UsageError(
                f"name: {request.name!r} is not what a version in the {color} slot is called",
                hint=f"Call it {request.name.removesuffix(ending)}-{color}, or change labels.deployment",
            )


def require_switch_name(request: t.WorkloadSubmitRequest, service: str) -> None:
    """Raises UsageError for a name that does not belong to the service whose traffic the labels would move."""
    if request.name not in (f"{service}{SERVICE_SUFFIX}", service):
        raise UsageError(
            f"name: {request.name!r} is not the switch of {service!r}, so its traffic stays where it is",
            hint=f"Submit it with name {service}{SERVICE_SUFFIX}, or correct labels.app",
        )


def require_switch_alone(request: t.WorkloadSubmitRequest, color: Color) -> None:
    """A switch starts nothing: whoever gives more than name and labels means something else. Raises UsageError."""
    for name in (field.name for field in fields(request)):
        if name not in ("name", "labels") and getattr(request, name):
            raise UsageError(
                f"{name}: a switch takes name and labels only; it starts nothing",
                hint='Leave it out; for a new version use labels {"deployment": "green"} instead of activeDeployment',
            )
    slot = request.labels.get("deployment")
    if slot is not None and slot != color:
        raise UsageError(
            f"labels.deployment: is {slot!r}, and labels.activeDeployment {str(color)!r}",
            hint="For the switch give activeDeployment alone, for a new version deployment alone",
        )


def require_version(request: t.WorkloadSubmitRequest, version: str, what: str) -> None:
    """Raises UsageError when the label `version` is there and says another one."""
    label = request.labels.get("version")
    if label is not None and label.removeprefix("v") != version.removeprefix("v"):
        raise UsageError(
            f"labels.version: is {label!r}, and {what}",
            hint="Give both the same version, or leave the label out",
        )
