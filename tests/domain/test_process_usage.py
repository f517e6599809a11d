"""What is made of a table of processes: who belongs to whom, what was used before, and readings that are missing."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.usage import GpuUsage, Usage
from bluegreen.runtimes.devices.patient import RETRY_SECONDS
from bluegreen.runtimes.process.gpu_readings import GpuReadings, NvmlDriver
from bluegreen.runtimes.process.identity import ProcessIdentity
from bluegreen.runtimes.process.process_table import (
    PAGE_BYTES,
    TICKS_PER_SECOND,
    ProcessRow,
    ProcessTable,
    read_process_table,
)
from bluegreen.runtimes.process.usage import CpuTally, Remembered

SHIM, OTHER = ProcessIdentity(100, 7, "boot"), ProcessIdentity(100, 8, "boot")


def row(parent: int, *, own: int = 0, reaped: int = 0, pages: int = 0, start: int = 7) -> ProcessRow:
    return ProcessRow(parent, start, own, reaped, pages)


def test_a_tree_is_everything_below_its_root_without_the_root() -> None:
    table = ProcessTable(
        {
            1: row(0, own=99, pages=99),
            100: row(1, own=5, reaped=3, pages=50),
            200: row(100, own=10, reaped=2, pages=4),
            201: row(200, own=20, pages=5),
            202: row(100, own=30, pages=6),  # An orphan that the shim adopted.
            300: row(1, own=1000, pages=1000),
        }
    )
    used = table.below(100, 7)
    assert used is not None
    assert used.cpu_seconds == pytest.approx((3 + 12 + 20 + 30) / TICKS_PER_SECOND)
    assert used.memory_bytes == 15 * PAGE_BYTES


def test_another_process_with_the_same_pid_is_not_meant() -> None:
    table = ProcessTable({100: row(1, start=8), 200: row(100, own=10)})
    assert table.below(100, 7) is None
    assert table.below(4, 7) is None


def test_a_loop_of_reused_pids_ends() -> None:
    table = ProcessTable({100: row(201), 200: row(100, own=1), 201: row(200, own=2)})
    used = table.below(100, 7)
    assert used is not None
    assert used.cpu_seconds == pytest.approx(3 / TICKS_PER_SECOND)


def test_names_with_spaces_and_parentheses_are_no_fields(tmp_path: Path) -> None:
    for pid, text in (
        ("41", "41 (a) b) (c) S 7 1 1 0 -1 0 0 0 0 0 11 12 13 14 20 0 1 0 555 9 77 0"),
        ("42", "42 (cut off) S 7"),
        ("43", ""),
        ("self", "44 (x) S 7 1 1 0 -1 0 0 0 0 0 11 12 13 14 20 0 1 0 555 9 77 0"),
    ):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(text)
    (tmp_path / "45").mkdir()
    assert read_process_table(tmp_path).rows == {41: ProcessRow(7, 555, 23, 27, 77)}


@pytest.mark.parametrize(
    ("readings", "total"),
    [
        ([(SHIM, 2.0), (SHIM, 5.0)], 5.0),
        ([(SHIM, 2.0), (OTHER, 1.0), (OTHER, 1.5)], 3.5),
        ([(SHIM, 5.0), (SHIM, 4.0), (SHIM, 5.5)], 5.5),
        ([(SHIM, 5.0), (SHIM, 1.0), (SHIM, 1.5), (SHIM, 2.5)], 6.0),
        ([(SHIM, 5.0), (OTHER, 0.0)], 5.0),
    ],
    ids=["grows", "begins anew", "missed once", "lost for good", "has done nothing yet"],
)
def test_what_was_consumed_over_all_lives(readings: list[tuple[ProcessIdentity, float]], total: float) -> None:
    tally = CpuTally()
    for identity, seconds in readings:
        tally.add(identity, seconds)
    assert tally.total_seconds == pytest.approx(total)


@given(st.lists(st.tuples(st.sampled_from([SHIM, OTHER]), st.floats(0, 1e9)), max_size=30))
def test_it_never_shrinks(readings: list[tuple[ProcessIdentity, float]]) -> None:
    tally, before = CpuTally(), 0.0
    for identity, seconds in readings:
        tally.add(identity, seconds)
        assert tally.total_seconds >= before
        before = tally.total_seconds


def test_a_file_is_read_again_only_when_it_is_another_one(tmp_path: Path) -> None:
    path, remembered = tmp_path / "file", Remembered[str]()
    assert remembered.read(path, path.read_text) is None
    for text in ("one", "two"):
        replacement = tmp_path / text
        replacement.write_text(text)
        replacement.replace(path)
        assert remembered.read(path, path.read_text) == text
        assert remembered.read(path, lambda: "read again") == text
    remembered.forget_all_but([])
    assert remembered.read(path, lambda: "read again") == "read again"


def test_several_devices_taken_together() -> None:
    usage = Usage(1.0, 1, (GpuUsage(0, 0.5, 100, 60.0), GpuUsage(1, 1.0, 200, None), GpuUsage(2)))
    assert usage.gpu_utilization == pytest.approx(0.75)
    assert usage.gpu_memory_bytes == 300
    assert usage.gpu_temperature_celsius == 60.0
    nothing = Usage(1.0, 1)
    assert (nothing.gpu_utilization, nothing.gpu_memory_bytes, nothing.gpu_temperature_celsius) == (None, None, None)


class ScriptedDriver:
    """`known` devices answer; `hangs` holds the driver until it is set."""

    def __init__(self, known: set[int]) -> None:
        self.known = known
        self.hangs: threading.Event | None = None
        self.closed = False

    def read(self, index: int) -> GpuUsage | None:
        if self.hangs is not None:
            self.hangs.wait(30)
        return GpuUsage(index, 0.5) if index in self.known else None

    def close(self) -> None:
        self.closed = True


def test_a_machine_without_a_driver_has_no_readings_and_is_asked_again_only_later() -> None:
    now, opened = [0.0], 0

    def open_driver() -> ScriptedDriver:
        nonlocal opened
        opened += 1
        if opened == 1:
            raise OSError("no driver")
        return ScriptedDriver({0})

    readings = GpuReadings(open_driver, monotonic=lambda: now[0])
    assert [readings.read([0]), readings.read([0])] == [{}, {}]
    assert opened == 1
    now[0] += RETRY_SECONDS
    assert readings.read([0]) == {0: GpuUsage(0, 0.5)}


def test_the_driver_of_this_machine_is_no_error_whatever_it_is() -> None:
    assert set(GpuReadings().read([0, 1])) <= {0, 1}


def test_a_lost_device_does_not_hide_the_others_and_a_lost_driver_is_opened_again() -> None:
    now, drivers = [0.0], [ScriptedDriver({1}), ScriptedDriver({0, 1})]
    first = drivers[0]
    readings = GpuReadings(lambda: drivers.pop(0), monotonic=lambda: now[0])
    assert set(readings.read([0, 1])) == {1}
    first.known = set()
    assert readings.read([0, 1]) == {}
    assert first.closed
    now[0] += RETRY_SECONDS
    assert set(readings.read([0, 1])) == {0, 1}


def test_a_driver_that_hangs_is_not_waited_for_and_not_asked_twice() -> None:
    driver = ScriptedDriver({0})
    driver.hangs = threading.Event()
    readings = GpuReadings(lambda: driver, answer_seconds=0.01)
    before = threading.active_count()
    assert [readings.read([0]) for _ in range(3)] == [{}, {}, {}]
    assert threading.active_count() == before + 1
    driver.hangs.set()


class NotSupported(Exception):
    """In the place of pynvml.NVMLError."""


def test_nvml_speaks_of_percent_and_not_every_device_knows_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def temperature(device: int, _sensor: int) -> int:
        if device != 0:
            raise NotSupported
        return 61

    def handle(index: int) -> int:
        if index > 1:
            raise NotSupported
        return index

    nvml = SimpleNamespace(
        NVMLError=NotSupported,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetUtilizationRates=lambda device: SimpleNamespace(gpu=25 * (device + 1)),
        nvmlDeviceGetMemoryInfo=lambda device: SimpleNamespace(used=2**30),
        nvmlDeviceGetTemperature=temperature,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    driver = NvmlDriver()
    assert driver.read(0) == GpuUsage(0, 0.25, 2**30, 61)
    assert driver.read(1) == GpuUsage(1, 0.5, 2**30, None)
    assert driver.read(2) is None
