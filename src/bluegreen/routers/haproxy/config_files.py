"""haproxy.cfg and the host maps on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bluegreen.domain.errors import RouterError, UnknownName
from bluegreen.domain.model import Color, Endpoint
from bluegreen.domain.service import ServiceSpec
from bluegreen.routers.haproxy.config import (
    HOSTS_MAP,
    SUFFIXES_MAP,
    ProxySettings,
    Rendered,
    all_slots,
    described,
    protocol_of,
    render,
    slots_of,
    with_slots,
)
from bluegreen.routers.haproxy.files import CachedText, Files
from bluegreen.routers.haproxy.slots import assign, grown, slot_count
from bluegreen.routers.haproxy.supervisor import CONFIG_FILE


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """`replaced` when the slot got endpoints and none of them was there before."""

    rendered: Rendered
    replaced: bool
    needs_reload: bool


class ConfigFiles:
    """Written whole, not synced: after a loss of power the replicas are gone too, and it is rendered again."""

    def __init__(self, directory: Path, settings: ProxySettings, files: Files) -> None:
        self._settings = settings
        self._files = files
        self._config = CachedText(directory / CONFIG_FILE)
        self._hosts = CachedText(directory / HOSTS_MAP)
        self._suffixes = CachedText(directory / SUFFIXES_MAP)

    def current(self) -> Rendered:
        """Empty texts when nothing was written yet."""
        try:
            return Rendered(self._config.read()[0], self._hosts.read()[0], self._suffixes.read()[0])
        except OSError as error:
            raise RouterError(f"the router's configuration can't be read: {error}") from error

    def planned(self, services: Sequence[ServiceSpec]) -> Rendered:
        """The configuration for `services`, with the endpoints that are there now."""
        return render(services, all_slots(self.current().config), self._settings)

    def with_endpoints(self, service: str, color: Color, endpoints: Sequence[Endpoint]) -> EndpointChange:
        """Raises UnknownName."""
        now = self.current()
        before = slots_of(now.config, service, color)
        if before is None:
            raise UnknownName(f"router: there is no service {service!r}", hint="See: bluegreen services")
        after = assign(before, endpoints)
        needs_reload = after is None
        if after is None:
            after = assign(grown(before, slot_count(len(endpoints))), endpoints)
            assert after is not None
        config = with_slots(now.config, service, color, after)
        if needs_reload:
            config = described(config, now.hosts, now.suffixes)
        replaced = bool(endpoints) and not set(endpoints) & set(before)
        return EndpointChange(Rendered(config, now.hosts, now.suffixes), replaced, needs_reload)

    def replicas(self, service: str, color: Color) -> tuple[tuple[Endpoint, ...], str]:
        """The endpoints that a slot should have now, and the protocol they speak."""
        config = self.current().config
        slots = slots_of(config, service, color) or ()
        return tuple(endpoint for endpoint in slots if endpoint is not None), protocol_of(config, service)

    def write(self, wanted: Rendered) -> None:
        """Only what differs. Raises RouterError."""
        pairs = ((self._hosts, wanted.hosts), (self._suffixes, wanted.suffixes), (self._config, wanted.config))
        for file, text in pairs:
            try:
                if file.path.exists() and file.read()[0] == text:
                    continue
                self._files.replace(file.path, text.encode(), durable=False)
                file.remember(text)
            except OSError as error:
                raise RouterError(
                    f"the router's configuration can't be written to {file.path}: {error.strerror or error}",
                    hint="Make room on the disk or make the directory writable, then try again",
                ) from error
