"""The composition root: the only place where adapters are chosen.

`python -m bluegreen.main CONFIG` is the daemon in the foreground; `bluegreen up` starts it in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bluegreen.alerts.build import make_sinks
from bluegreen.control import requests as r
from bluegreen.control.alerting import AlertDesk
from bluegreen.control.clock import SystemClock
from bluegreen.control.direct import direct
from bluegreen.control.fleet import Fleet, Ports
from bluegreen.control.gate import Gate
from bluegreen.control.operations import daemon_operations
from bluegreen.control.recovery import recover
from bluegreen.control.reloading import apply_configuration
from bluegreen.control.router_keeper import RouterKeeper
from bluegreen.control.secrets import EnvironmentSecrets
from bluegreen.control.shutdown import prepare_shutdown
from bluegreen.control.views import MessageView, ReloadView, RollbackView
from bluegreen.domain.errors import BluegreenError, ConfigurationError, RuntimeFailure, UsageError
from bluegreen.doors import Doors
from bluegreen.probes.http import HttpProber
from bluegreen.probes.prometheus import PrometheusSource
from bluegreen.routers.haproxy.router import HaproxyRouter
from bluegreen.runtimes.docker.tls import tls_files
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.loading import load
from bluegreen.spec.paths import audit_log, event_log, metrics_store, run_directory
from bluegreen.stores.audit import AuditFile
from bluegreen.stores.samples import SqliteSampleStore
from bluegreen.stores.sqlite import SqliteEventStore
from bluegreen.workload_runtimes import docker_extra, make_runtime

log = logging.getLogger("bluegreen")


def make_router(configuration: Configuration) -> HaproxyRouter:
    state = configuration.daemon.state_dir
    return HaproxyRouter(directory=state / "router", run_directory=run_directory(state), settings=configuration.router)


def check_engine_files(configuration: Configuration) -> None:
    """Raises ConfigurationError when those of TLS towards the engine can't be used."""
    files = tls_files(configuration.runtime)
    if files is not None and (problems := list(files.problems())):
        raise ConfigurationError(str(configuration.path), problems)


def prepare_state_directory(configuration: Configuration) -> None:
    """Raises RuntimeFailure when the state directory can't be written."""
    state = configuration.daemon.state_dir
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = state / f".writable-{os.getpid()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise RuntimeFailure(
            f"daemon.state_dir: {state} can't be written: {error.strerror or error}",
            hint="Make it writable, or name another one in [daemon] state_dir",
        ) from error


class Daemon:
    """One controller: opens everything in order, closes it in reverse."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._stop = asyncio.Event()
        self._router_goes_too = False
        self.router = make_router(configuration)
        self.store = SqliteEventStore(event_log(configuration.daemon.state_dir))
        self.samples = SqliteSampleStore(metrics_store(configuration.daemon.state_dir))
        self.keeper = RouterKeeper(self.router, SystemClock())
        self.prober = HttpProber(command_directory=configuration.base_directory)
        self.metrics = PrometheusSource(configuration.metrics.prometheus, os.environ)
        self.runtime = make_runtime(configuration)
        self.fleet = Fleet(
            Ports(self.runtime, self.router, self.prober, self.store, SystemClock(), self.metrics),
            configuration.services,
            AlertDesk(make_sinks(configuration, os.environ), SystemClock(), self.store, self.store),
            self.samples,
            listen=str(configuration.router.listen),
        )
        state = configuration.daemon.state_dir
        self.fleet.policy = configuration.policy
        self.fleet.secrets = EnvironmentSecrets(state / "secrets")
        self.gate = Gate(
            self.fleet,
            audit=AuditFile(audit_log(state)),
            clock=SystemClock(),
            more=daemon_operations(self._reload, self._shutdown),
        )

    async def run(self) -> None:
        """Returns after `shutdown` or a signal. A signal ends the controller alone: router and workloads go on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        await self.store.open()
        try:
            doors = Doors(self.gate, self.configuration)
            await self._begin(doors)
            self.keeper.start()
            log.info("ready, listening on %s", self.configuration.router.listen)
            await self._stop.wait()
            await self.keeper.stop()
            await doors.close()
            await self.gate.close()
            await self.fleet.close()
            if self._router_goes_too:
                await self.router.stop()
        finally:
            await self.runtime.aclose()
            await self.prober.aclose()
            await self.metrics.aclose()
            await self.store.close()

    async def _begin(self, doors: Doors) -> None:
        """A daemon that can't begin leaves things as it found them: a router it has just started goes again."""
        found_running = (await self.router.health()).alive
        await self.router.start(list(self.configuration.services.values()))
        try:
            await self.metrics.prepare()
            self.fleet.alerts.start()
            await recover(self.fleet)
            await self.fleet.rules.load()
            self.fleet.usage.start()
            self.fleet.metrics.start()
            self.fleet.rules.start()
            await doors.open()
        except BaseException:
            await self.fleet.close()
            if not found_running:
                await self.router.stop()
            raise

    async def _reload(self, _fleet: Fleet, _: r.NoRequest) -> ReloadView:
        """Applies the changed configuration file without touching traffic; says what needs a restart. Refused when a
        change would touch the traffic of a version that runs."""
        changed = load(self.configuration.path)
        sinks = make_sinks(changed, os.environ)
        view = await apply_configuration(self.fleet, self.configuration, changed)
        self.fleet.alerts.sinks = sinks
        self.metrics.settings = changed.metrics.prometheus
        await self.metrics.prepare()
        self.fleet.policy = changed.policy
        self.configuration = changed
        return view

    async def _shutdown(self, _fleet: Fleet, request: r.ShutdownRequest) -> MessageView:
        """Ends the daemon; what goes with it is said by the request. Only for the owner's command line."""
        message = await prepare_shutdown(self.fleet, request)
        self._router_goes_too = not request.daemon_only
        # The answer goes out first: the door answers what is under way before it closes.
        self._stop.set()
        return message


async def _open_what_can_be_opened(path: Path) -> tuple[SqliteEventStore, bool]:
    """The log and whether it can be written: a daemon that hangs holds its lock, but reading is always possible.
    A log that can't even be read is returned closed; every question to it raises StoreError."""
    for read_only in (False, True):
        store = SqliteEventStore(path, read_only=read_only)
        with contextlib.suppress(BluegreenError):
            await store.open()
            return store, not read_only
    return store, False


def ask_prometheus(configuration: Configuration) -> str:
    """Asks it for a number: what is wrong, "" when all is well. None may be configured; then nothing is wrong."""
    settings = configuration.metrics.prometheus
    if settings is None:
        return ""

    async def ask() -> str:
        source = PrometheusSource(settings, os.environ)
        try:
            return (await source.query("vector(1)", timeout_seconds=settings.timeout_seconds)).problem
        finally:
            await source.aclose()

    return asyncio.run(ask())


def ask_engine(configuration: Configuration) -> Sequence[str]:
    """What the engine says of itself, and what to do when it is not where it is taken to be. Raises ConfigurationError
    or RuntimeFailure when it can't be asked."""
    with docker_extra():
        from bluegreen.runtimes.docker.connecting import connection_of
        from bluegreen.runtimes.docker.engine import Engine
        from bluegreen.runtimes.docker.introduction import describe, introduce
    check_engine_files(configuration)

    async def ask(directory: Path) -> Sequence[str]:
        engine = Engine(connection_of(configuration.runtime, directory))
        try:
            return describe(await introduce(engine), engine.connection.host)
        finally:
            await engine.aclose()

    with tempfile.TemporaryDirectory(prefix="bluegreen-") as directory:  # Whoever only asks leaves nothing behind.
        return asyncio.run(ask(Path(directory)))


def direct_rollback(config_path: Path, service: str, requested_by: str) -> RollbackView:
    """The way back without a daemon: moves the traffic in the router, and records it when the log is free."""

    async def run() -> RollbackView:
        configuration = load(config_path)
        if service not in configuration.services:
            raise UsageError(f"service: there is no service {service!r} in {config_path}")
        store, writable = await _open_what_can_be_opened(event_log(configuration.daemon.state_dir))
        ports = Ports(make_runtime(configuration), make_router(configuration), HttpProber(), store, SystemClock())
        try:
            return await direct(ports, service, requested_by, log_is_writable=writable)
        finally:
            await ports.runtime.aclose()
            with contextlib.suppress(BluegreenError):
                await store.close()

    return asyncio.run(run())


def main(arguments: Sequence[str] | None = None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    path = Path(given[0]) if given else Path("bluegreen.toml")
    try:
        configuration = load(path)
        logging.basicConfig(
            level=configuration.daemon.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
        for chatty in ("httpx", "uvicorn"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        check_engine_files(configuration)
        prepare_state_directory(configuration)

        async def serve() -> None:
            await Daemon(configuration).run()

        asyncio.run(serve())
    except BluegreenError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
