"""A changed configuration file: what can be applied without touching traffic is, the rest is said."""

from __future__ import annotations

from bluegreen.control.fleet import Fleet
from bluegreen.control.views import ReloadView
from bluegreen.domain.errors import Refused
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.differences import differences


async def apply_configuration(fleet: Fleet, old: Configuration, new: Configuration) -> ReloadView:
    """Raises Refused, having changed nothing, when that would touch the traffic of a service that runs."""
    changes = differences(old, new)
    for name in changes.services_touching_traffic:
        watcher = fleet.watchers[name]
        if watcher.live or (watcher.last and watcher.last.active):
            what = "was removed" if name in changes.services_removed else "speaks another protocol now"
            raise Refused(
                f"services.{name}: {what} in the file, and a version of it still runs",
                hint="Change it back, or make this change between: bluegreen down; bluegreen up",
            )
    await fleet.ports.router.configure(list(new.services.values()))
    for name in changes.services_removed:
        await fleet.remove(name)
    for name in (*changes.services_added, *changes.services_changed):
        fleet.add(new.services[name])
    return ReloadView(changes.applied, changes.needs_restart)
