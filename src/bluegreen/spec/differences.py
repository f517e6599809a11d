"""What changed between two configurations, for `bluegreen reload`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bluegreen.spec.configuration import Configuration
from bluegreen.spec.convert import to_table
from bluegreen.spec.problems import Location, dotted, is_secret
from bluegreen.spec.toml_text import toml_text

_AT_NEXT_DEPLOYMENT = (
    "image",
    "command",
    "workdir",
    "env",
    "labels",
    "environment",
    "replicas",
    "gpus",
    "gpu_memory_mb",
    "gpu_sharing",
    "cpus",
    "memory_mb",
    "stop_grace_seconds",
    "runtime",
    "container",
)


@dataclass(frozen=True, slots=True)
class Differences:
    """`applied` and `needs_restart` are sentences for people, one for each key that changed; the rest are names.

    `services_touching_traffic` were removed or speak another protocol: not while a version of them runs.
    """

    applied: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    services_added: tuple[str, ...] = ()
    services_removed: tuple[str, ...] = ()
    services_changed: tuple[str, ...] = ()
    services_touching_traffic: tuple[str, ...] = ()

    @property
    def none(self) -> bool:
        return not (self.applied or self.needs_restart)


def differences(old: Configuration, new: Configuration) -> Differences:
    """What a daemon that runs `old` has to do for `new`."""
    added = tuple(name for name in new.services if name not in old.services)
    removed = tuple(name for name in old.services if name not in new.services)
    both = [name for name in new.services if name in old.services]
    changed = tuple(name for name in both if old.services[name] != new.services[name])
    protocol = (name for name in changed if old.services[name].protocol != new.services[name].protocol)
    applied = [
        *(f"services.{name}: added" for name in added),
        *(f"services.{name}: removed" for name in removed),
        *_changes(_alerts(old), _alerts(new)),
        *_changes(_metrics(old), _metrics(new)),
        *_changes({"policy": asdict(old.policy)}, {"policy": asdict(new.policy)}),
    ]
    for name in changed:
        before, after = to_table(old.services[name]), to_table(new.services[name])
        applied += _changes(before, after, ("services", name))
    return Differences(
        applied=tuple(applied),
        needs_restart=tuple(_changes(_fixed(old), _fixed(new))),
        services_added=added,
        services_removed=removed,
        services_changed=changed,
        services_touching_traffic=(*removed, *protocol),
    )


def _alerts(configuration: Configuration) -> dict[str, Any]:
    table = asdict(configuration.alerts)
    sinks = {sink["name"]: sink | {"path": sink["path"] and str(sink["path"])} for sink in table.pop("sinks")}
    return {"alerts": table | ({"sink": sinks} if sinks else {})}


def _metrics(configuration: Configuration) -> dict[str, Any]:
    prometheus = configuration.metrics.prometheus
    if prometheus is None:
        return {"metrics": {}}
    paths = {key: value and str(value) for key, value in asdict(prometheus).items() if key.endswith("_file")}
    return {"metrics": {"prometheus": asdict(prometheus) | paths}}


def _fixed(configuration: Configuration) -> dict[str, Any]:
    """What a running daemon can't change: it holds the lock on the directory, the router holds the port."""
    router = asdict(configuration.router) | {"listen": str(configuration.router.listen)}
    tables = {"daemon": asdict(configuration.daemon), "router": router}
    tables |= {"runtime": asdict(configuration.runtime), "capacity": asdict(configuration.capacity)}
    listen = configuration.api.listen
    tables["api"] = asdict(configuration.api) | {"listen": None if listen is None else str(listen)}
    return tables


def _changes(before: Any, after: Any, at: Location = ()) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*before, *after)):
            yield from _changes(before.get(key), after.get(key), (*at, key))
        return
    yield f"{dotted(at)}: {_arrow(before, after, at)}{_when(at)}"


def _arrow(before: Any, after: Any, at: Location) -> str:
    plain = all(value is None or isinstance(value, (str, int, float)) for value in (before, after))
    if is_secret(at) or not plain:
        return "removed" if after is None else "added" if before is None else "changed"
    return f"{_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    return "not set" if value is None else toml_text(value)


def _when(at: Location) -> str:
    later = len(at) > 2 and at[0] == "services" and at[2] in _AT_NEXT_DEPLOYMENT
    return " (from the next deployment on)" if later else ""
