"""One service of a Compose file as a table of `bluegreen.toml`."""

from __future__ import annotations

import re
from typing import Any

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import ImageReference
from bluegreen.spec.compose import hosts, ports
from bluegreen.spec.compose.commands import port_in_command, translate_command
from bluegreen.spec.compose.draft import Draft
from bluegreen.spec.compose.environment import Variable, is_secret_name, read_environment, write_environment
from bluegreen.spec.compose.health import HttpTest, compare_port, translate_health
from bluegreen.spec.compose.images import known_image
from bluegreen.spec.compose.mounts import translate_mounts, translate_secrets, translate_tmpfs
from bluegreen.spec.compose.notes import Part, plain
from bluegreen.spec.compose.refusals import refuse_rest, stop_signal
from bluegreen.spec.compose.resources import translate_resources
from bluegreen.spec.compose.units import seconds, whole
from bluegreen.spec.container_values import CAPABILITY_PATTERN, USER_PATTERN
from bluegreen.spec.values import LABEL_PATTERN, NETWORK_PATTERN

_OWN_LABELS = ("deployment", "version")
_PULL = {"always": "always", "missing": "missing", "if_not_present": "missing", "never": "never"}


def translate_service(draft: Draft, top: Part) -> str:
    """Fills the draft; `top` is the whole file. Returns why the service is none for bluegreen, "" when it is one."""
    labels = _labels(draft)
    variables = read_environment(draft)
    values = draft.values = {name: variable.value for name, variable in variables.items()}
    routed = hosts.from_labels(draft, labels)
    proxied = hosts.from_environment(draft, values)
    test = translate_health(draft)
    reason = _ports(draft, routed or proxied, test, values)
    if reason:
        return reason
    compare_port(draft, test)
    _image(draft)
    translate_command(draft)
    translate_resources(draft, values.get("NVIDIA_VISIBLE_DEVICES"))
    _container(draft, top)
    write_environment(draft, variables)
    _write_labels(draft, labels)
    _ending(draft)
    _secrets_elsewhere(draft, variables)
    _without_health(draft)
    refuse_rest(draft.part)
    return ""


def _ports(draft: Draft, told: int | None, test: HttpTest | None, values: dict[str, str]) -> str:
    published = ports.published(draft)
    own = whole(values.get("PORT", ""))
    asked = test.port if test else own if own and 1 <= own <= 65535 else port_in_command(draft)
    on_host = draft.part.table.get("network_mode") == "host" and asked is not None
    checked = test is not None and any(port.port == test.port for port in published)
    reason = ports.why_not_http(
        published,
        known_http=bool(draft.named_hosts or told or checked or on_host),
        checked_port=test.port if test else None,
    )
    if not reason:
        ports.choose_port(draft, published, routed=told, asked=asked)
    return reason


def _image(draft: Draft) -> None:
    image = draft.part.text("image")
    if not image:
        draft.part.lose("image", "is missing: name the version at each deployment, bluegreen deploy --image")
        return
    try:
        tag = ImageReference.parse(image).tag
    except UsageError:
        draft.part.wrong("image", f"{image!r} is no image such as registry/model:v2.0")
        return
    draft.table["image"] = image
    if tag == "latest":
        draft.part.change("image", "has no tag of its own: versions are told apart by their tags")


def _container(draft: Draft, top: Part) -> None:
    part, container = draft.part, draft.container
    translate_mounts(draft, top.part("volumes"))
    translate_tmpfs(draft)
    translate_secrets(draft, top.part("secrets"))
    _network(draft, top.part("networks"))
    if user := part.text("user"):
        if re.fullmatch(USER_PATTERN.strip("^$"), user):
            container["user"] = user
        else:
            part.lose("user", f"{user!r} is no user, or user and group, such as 1000:1000")
    if part.flag("read_only"):
        container["read_only"] = True
    _cap_drop(draft)
    if pull := part.text("pull_policy"):
        if pull in _PULL:
            container["pull"] = _PULL[pull]
        else:
            part.lose("pull_policy", f'{pull}: pull is "always", "missing" or "never"')


def _cap_drop(draft: Draft) -> None:
    names = [plain(name).upper().removeprefix("CAP_") for name in draft.part.items("cap_drop")]
    for index, name in enumerate(names):
        if not re.fullmatch(CAPABILITY_PATTERN.strip("^$"), name):
            draft.part.notes.wrong((*draft.part.at, "cap_drop", index), f"{name!r} is no capability such as NET_RAW")
    if names:
        draft.container["cap_drop"] = list(dict.fromkeys(names))[:64]


def _network(draft: Draft, networks: Part) -> None:
    given = draft.part.take("networks")
    names = [plain(name) for name in given] if isinstance(given, (list, dict)) else []
    outside: list[str] = []
    own: list[str] = []
    for name in names:
        table = networks.take(name)
        declared: dict[str, Any] = table if isinstance(table, dict) else {}
        external = str(declared.get("external", False)).lower() != "false"
        nested = declared.get("external")
        real = plain(declared.get("name") or (nested.get("name") if isinstance(nested, dict) else ""))
        (outside if external else own).append(real or (name if external else f"{draft.project.name}_{name}"))
    at = draft.part.at
    if (
        len(outside) == 1
        and re.fullmatch(NETWORK_PATTERN.strip("^$"), outside[0])
        and outside[0] not in ("host", "none")
    ):
        draft.container["network"] = outside[0]
    elif outside:
        draft.part.notes.lose((*at, "networks"), f"{', '.join(outside)}: a service is on one network of the engine")
    if isinstance(given, dict) and any(isinstance(options, dict) and options for options in given.values()):
        draft.part.notes.lose((*at, "networks"), "aliases and addresses: replicas come and go, the router knows them")
    default = [f"{draft.project.name}_default"] if not names and "network_mode" not in draft.part.table else []
    neighbours = _neighbours(draft)
    if own or (default and neighbours):
        known = f" {', '.join(neighbours)} and others" if neighbours else " other services of the file"
        text = f"{', '.join(own or default)}: is Compose's own. To reach{known} by name, write network ="
        draft.part.notes.lose((*at, "networks"), f'{text} "{(own or default)[0]}" in [services.{draft.name}.container]')


def _neighbours(draft: Draft) -> list[str]:
    """Other services of the file that this one names in its environment or its command."""
    written = [*map(str, draft.table.get("command", ())), *draft.values.values()]
    return [
        name
        for name in draft.project.tree["services"]
        if name != draft.part.at[-1]
        and any(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text) for text in written)
    ]


def _labels(draft: Draft) -> dict[str, str]:
    given = draft.part.take("labels")
    if isinstance(given, dict):
        return {name: plain(value) for name, value in given.items() if not isinstance(value, (dict, list))}
    if given is not None and not isinstance(given, list):
        draft.part.wrong("labels", "must be a mapping or a list")
    pairs = [plain(entry).partition("=") for entry in (given if isinstance(given, list) else [])]
    return {name: value for name, _, value in pairs}


def _write_labels(draft: Draft, labels: dict[str, str]) -> None:
    kept: dict[str, str] = {}
    for name, value in labels.items():
        place = (*draft.part.at, "labels", name)
        if name.startswith(hosts.OTHER_ROUTERS):
            continue
        if name in _OWN_LABELS:
            draft.part.notes.lose(place, "is set by bluegreen for each deployment")
        elif len(name) > 253 or not re.fullmatch(LABEL_PATTERN.strip("^$"), name):
            draft.part.notes.lose(place, "a label has only letters, digits and . _ / -")
        else:
            kept[name] = value
    if kept:
        draft.table["labels"] = kept
    others = sorted({name.partition(".")[0] for name in labels if name.startswith(hosts.OTHER_ROUTERS)})
    if others:
        text = f"those of {', '.join(others)}: they would make another program route to blue and green, or replace them"
        draft.part.lose("labels", text)


def _ending(draft: Draft) -> None:
    stop_signal(draft.part)
    given = draft.part.take("stop_grace_period")
    if given is None:
        return
    grace = seconds(given)
    if grace is None:
        draft.part.wrong("stop_grace_period", 'must be a duration such as "1m30s"')
    else:
        draft.put("stop_grace_seconds", grace, 0.0, 3600.0, source="stop_grace_period")


def _secrets_elsewhere(draft: Draft, variables: dict[str, Variable]) -> None:
    """A secret that is filled in elsewhere, such as in the command, is written: nothing could stand in its place."""
    own = {variable.place for variable in variables.values()}
    for place, used in draft.project.used.items():
        if place[: len(draft.part.at)] == draft.part.at and place not in own:
            for name in sorted(filter(is_secret_name, used)):
                text = f"the value of ${name}, which looks like a secret, is written into the configuration"
                draft.part.notes.change(place, text)
                draft.holds_secrets = True


def _without_health(draft: Draft) -> None:
    if "health" in draft.table:
        return
    known = known_image(str(draft.table.get("image", "")))
    if known is not None:
        draft.table["health"] = {"path": known.health_path, "deadline_seconds": 600.0}
        text = f"GET {known.health_path} within 600 s is written: that is what this image answers when it is ready"
        draft.part.notes.change((*draft.part.at, "healthcheck"), text)
        return
    text = "there is no health check over HTTP: write health = { path = ... }, without it nothing can be deployed"
    draft.part.notes.lose((*draft.part.at, "healthcheck"), text)
    draft.comment("health", text='health = { path = "/health" } is needed before the first deployment')
