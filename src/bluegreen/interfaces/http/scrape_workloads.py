"""What is told of each workload: requests, health, and what it uses of the machine. docs/metrics.md lists the names."""

from __future__ import annotations

from collections.abc import Iterator

from bluegreen.control.fleet import Fleet
from bluegreen.control.workload_monitor import WorkloadMonitor
from bluegreen.domain.health import Health
from bluegreen.domain.latency import EDGES_MILLISECONDS
from bluegreen.domain.model import SlotTraffic, Workload
from bluegreen.domain.usage import Usage
from bluegreen.interfaces.http.prometheus import Family, label_text

EDGES_SECONDS = tuple(edge / 1000 for edge in EDGES_MILLISECONDS)
STATUS_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
NO_SUM = "The router counts requests per bucket, not their time, so there is no _sum; quantiles need none."

STATUS_LABELS = tuple(label_text(status=status) for status in STATUS_CLASSES)
PASSED, FAILED = label_text(result="passed"), label_text(result="failed")


class WorkloadFamilies:
    """Filled service by service, then rendered in this order."""

    def __init__(self) -> None:
        # fmt: off
        self.requests = Family("bluegreen_requests_total", "counter", "Requests that the router sent to a workload.")
        self.errors = Family("bluegreen_errors_total", "counter",
            "Requests that failed: answers of 500 and above, the router's own included, and answers that broke off.")
        self.responses = Family("bluegreen_responses_total", "counter", "Answers by status class.")
        self.duration = Family("bluegreen_request_duration_seconds", "histogram",
            f"From a request's arrival at the router to the head of its answer. {NO_SUM}")
        self.connection_errors = Family("bluegreen_connection_errors_total", "counter",
            "Of the errors: no replica could be reached, or none answered.")
        self.aborted = Family("bluegreen_aborted_requests_total", "counter",
            "Requests whose client hung up before the answer was complete.")
        self.retries = Family("bluegreen_retries_total", "counter",
            "Attempts to connect that failed and were repeated on another replica; users did not see them.")
        self.truncated = Family("bluegreen_truncated_responses_total", "counter",
            "Of the errors: answers that the workload broke off in the middle.")
        self.in_flight = Family("bluegreen_requests_in_flight", "gauge", "Requests a workload works on now.")
        self.checks = Family("bluegreen_health_checks_total", "counter", "Health checks of replicas by result.")
        self.healthy = Family("bluegreen_workload_healthy", "gauge",
            "1 when every replica passes its health checks, else 0.")
        self.replicas = Family("bluegreen_workload_replicas", "gauge", "Replicas that were asked for.")
        self.restarts = Family("bluegreen_workload_restarts_total", "counter",
            "How often replicas ended by themselves and were started again.")
        self.started = Family("bluegreen_workload_start_time_seconds", "gauge",
            "When the workload was started, since the epoch.")
        self.cpu = Family("bluegreen_workload_cpu_seconds_total", "counter",
            "Processor time of all processes of a workload; its rate are cores.")
        self.memory = Family("bluegreen_workload_memory_bytes", "gauge",
            "Resident memory of all processes of a workload; shared pages count for each process.")
        self.gpu_utilization = Family("bluegreen_gpu_utilization_ratio", "gauge",
            "Share of the time in which a GPU of a workload was busy, 0 to 1.")
        self.gpu_memory = Family("bluegreen_gpu_memory_used_bytes", "gauge", "Memory in use on a GPU of a workload.")
        self.gpu_temperature = Family("bluegreen_gpu_temperature_celsius", "gauge",
            "Temperature of a GPU of a workload.")
        # fmt: on

    def __iter__(self) -> Iterator[Family]:
        return iter(vars(self).values())

    def add(self, fleet: Fleet, service: str, fresh_since: float) -> None:
        """Everything that runs for this service. Counters that were read before `fresh_since` (monotonic) are old."""
        for workload, _ in fleet.watchers[service].held():
            labels = _labels(workload)
            self.replicas.add(workload.replicas, labels)
            monitor = fleet.observers[service].monitors.get(workload.id)
            if monitor is None:
                continue
            self._add_health(monitor, labels)
            if (counted := _traffic(fleet, monitor, fresh_since)) is not None:
                self._add_traffic(counted, labels)
            if (reading := fleet.usage.reading(workload.id)) is not None:
                self._add_usage(reading.usage, labels)

    def _add_health(self, monitor: WorkloadMonitor, labels: str) -> None:
        replicas = monitor.health.replicas
        failed = sum(replica.failures for replica in replicas)
        self.checks.add(sum(replica.checks for replica in replicas) - failed, labels, PASSED)
        self.checks.add(failed, labels, FAILED)
        if (verdict := monitor.health.verdict) is not Health.UNKNOWN:
            self.healthy.add(float(verdict is Health.HEALTHY), labels)
        if monitor.status is not None:
            self.restarts.add(monitor.status.restarts, labels)
            self.started.add(monitor.status.created_at, labels)

    def _add_traffic(self, counted: SlotTraffic, labels: str) -> None:
        self.requests.add(counted.requests, labels)
        self.errors.add(counted.errors, labels)
        self.connection_errors.add(counted.connection_errors, labels)
        self.aborted.add(counted.aborted, labels)
        self.retries.add(counted.retries, labels)
        self.truncated.add(counted.truncated, labels)
        self.in_flight.add(counted.in_flight, labels)
        for status, count in zip(STATUS_LABELS, counted.statuses, strict=False):
            self.responses.add(count, labels, status)
        if counted.latency:
            self.duration.add_histogram(EDGES_SECONDS, counted.latency, labels)

    def _add_usage(self, usage: Usage, labels: str) -> None:
        self.cpu.add(usage.cpu_seconds, labels)
        self.memory.add(usage.memory_bytes, labels)
        for gpu in usage.gpus:
            device = label_text(gpu=str(gpu.index))
            for family, value in (
                (self.gpu_utilization, gpu.utilization),
                (self.gpu_memory, gpu.memory_bytes),
                (self.gpu_temperature, gpu.temperature_celsius),
            ):
                if value is not None:
                    family.add(value, labels, device)


def _labels(workload: Workload) -> str:
    return label_text(
        service=workload.service, slot=str(workload.color), version=workload.version, workload=workload.id
    )


def _traffic(fleet: Fleet, monitor: WorkloadMonitor, fresh_since: float) -> SlotTraffic | None:
    """The slot's counters, when they were read since it has had this workload: before, they were another's."""
    workload, endpoints = monitor.workload, monitor.status.endpoints if monitor.status else ()
    connected_at = fleet.view.connected_at(workload.service, workload.color, endpoints)
    if connected_at is None:
        return None
    traffic = fleet.view.traffic(workload.service, since=max(connected_at, fresh_since))
    return traffic.get(workload.color) if traffic else None
