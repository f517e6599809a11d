"""Which runtimes a daemon opens: those that services are to run on, and those that it has run something on before."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from bluegreen.control.ports import WorkloadRuntime
from bluegreen.domain.errors import RuntimeFailure
from bluegreen.runtimes.devices.allocator import DeviceAllocator, devices_to_give
from bluegreen.runtimes.devices.survey import GpuSurvey
from bluegreen.runtimes.process.machine import detect_resources
from bluegreen.runtimes.process.runtime import ProcessRuntime
from bluegreen.runtimes.several import SeveralRuntimes
from bluegreen.spec.configuration import Configuration

log = logging.getLogger(__name__)

DIRECTORIES = {"process": "runtime", "docker": "docker"}
"""Of each runtime, within the state directory."""


def make_runtime(configuration: Configuration) -> WorkloadRuntime:
    """Raises RuntimeFailure when what a service's runtime takes is not installed."""
    needed = dict.fromkeys([configuration.runtime.kind, *(spec.runtime for spec in configuration.services.values())])
    devices = make_allocator(configuration)
    opened = {kind: MAKERS[kind](configuration, devices) for kind in needed}
    for kind, directory in DIRECTORIES.items():
        if kind not in opened and (configuration.daemon.state_dir / directory).is_dir():
            # A service was moved to another runtime; its old version may still run, and be what a rollback needs.
            try:
                opened[kind] = MAKERS[kind](configuration, devices)
            except RuntimeFailure as problem:
                log.warning("what may still run on %s is out of reach: %s", kind, problem.message)
    return SeveralRuntimes(opened, elsewhere={"docker"} if configuration.runtime.is_elsewhere else ())


def make_allocator(configuration: Configuration) -> DeviceAllocator:
    """What gives out GPUs: one for the machine, whatever runs the workloads."""
    survey, stated = GpuSurvey(), configuration.capacity.gpus
    found = survey.detect()
    pretended = stated is not None and stated > len(found)
    if found and pretended:
        log.warning("[capacity] gpus is %s, and NVML finds %d: nobody looks who else uses them", stated, len(found))
    return DeviceAllocator(devices_to_give(found, stated), None if pretended else survey)


def _processes(configuration: Configuration, devices: DeviceAllocator) -> WorkloadRuntime:
    found = detect_resources(gpus=len(devices.devices))
    return ProcessRuntime(
        configuration.daemon.state_dir / DIRECTORIES["process"],
        base_directory=configuration.base_directory,
        capacity=replace(configuration.capacity.over(found), gpus=found.gpus),
        devices=devices,
    )


def _containers(configuration: Configuration, devices: DeviceAllocator) -> WorkloadRuntime:
    with docker_extra():
        from bluegreen.runtimes.docker.connecting import connection_of
        from bluegreen.runtimes.docker.runtime import DockerRuntime
    return DockerRuntime(
        configuration.daemon.state_dir / DIRECTORIES["docker"],
        host=connection_of(configuration.runtime, configuration.daemon.state_dir),
        network=configuration.runtime.network,
        base_directory=configuration.base_directory,
        capacity=configuration.capacity,
        devices=devices,
    )


@contextlib.contextmanager
def docker_extra() -> Iterator[None]:
    """Around imports: it need not be installed, and takes its time. Raises RuntimeFailure when it is not."""
    try:
        yield
    except ImportError as error:
        raise RuntimeFailure(
            f'runtime: "docker" needs a package that is not installed: {error.name}',
            hint="Install it: pip install 'bluegreen[docker]'",
        ) from error


MAKERS: Mapping[str, Callable[[Configuration, DeviceAllocator], WorkloadRuntime]] = {
    "process": _processes,
    "docker": _containers,
}
