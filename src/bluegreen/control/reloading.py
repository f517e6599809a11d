"""A changed configuration file: what can be applied without touching traffic is, the rest is said."""

from __future__ import annotations

from bluegreen.control.fleet import Fleet
from bluegreen.control.views import ReloadView
from bluegreen.domain.errors import Refused
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.differences import differences


async def apply_configuration(fleet: Fleet, old: Configuration, new: Configuration) -> ReloadView:
    """Raises Refused, having changed nothing, when a service that still runs was taken out of the file."""
    changes = differences(old, new)
    for name in changes.services_removed:
        watcher = fleet.watchers[name]
        if watcher.live or (watcher.last and watcher.last.active):
            raise Refused(
                f"services.{name}: was removed from the file but still runs",
                hint="Put it back; a service that runs can leave the file only after: bluegreen down",
            )
    await fleet.ports.router.configure(list(new.services.values()))
    for name in changes.services_removed:
        await fleet.remove(name)
    for name in (*changes.services_added, *changes.services_changed):
        fleet.add(new.services[name])
    return ReloadView(changes.applied, changes.needs_restart)
