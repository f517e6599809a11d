"""What NVML is asked, and what its answers mean."""

from __future__ import annotations

import sys
import threading

import pytest

from bluegreen.domain.gpu_inventory import GpuProcess, GpuReading
from bluegreen.runtimes.devices.allocator import devices_to_give
from bluegreen.runtimes.devices.patient import RETRY_SECONDS
from bluegreen.runtimes.devices.survey import GpuSurvey
from tests.support.gpus import FakeGpu, FakeNvml


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml(FakeGpu("GPU-a"), FakeGpu("GPU-b", free_mb=3000))
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


def test_memory_is_in_megabytes_and_processes_are_those_that_compute(nvml: FakeNvml) -> None:
    nvml.gpus[0].computing = {10: 900, 11: None}
    nvml.gpus[0].drawing = {12: 50}
    nvml.gpus[1].served = {13: 40}
    assert GpuSurvey().read([0, 1]) == {
        0: GpuReading("GPU-a", 8000, 8000, (GpuProcess(10, 900), GpuProcess(11, None))),
        1: GpuReading("GPU-b", 8000, 3000, (GpuProcess(13, 40),)),
    }


def test_a_device_in_mig_mode_is_told_and_a_lost_one_is_missing(nvml: FakeNvml) -> None:
    nvml.gpus[0].mig, nvml.gpus[1].mig = True, False
    readings = GpuSurvey().read([0, 1])
    assert readings is not None
    assert [reading.mig for reading in readings.values()] == [True, False]
    nvml.gpus[0].lost = True
    assert set(GpuSurvey().read([0, 1]) or ()) == {1}


def test_without_a_driver_there_is_no_survey_and_one_that_went_away_is_missed(nvml: FakeNvml) -> None:
    nvml.driver = False
    now = [0.0]
    survey = GpuSurvey(monotonic=lambda: now[0])
    assert survey.detect() == []
    assert survey.read([0]) is None
    nvml.driver = True
    now[0] += RETRY_SECONDS
    assert set(survey.read([0]) or ()) == {0}
    nvml.driver, nvml.gpus[0].lost = False, True
    for _ in range(2):
        assert survey.read([0]) == {}, "whoever was there and does not answer is not the same as nobody"


def test_a_device_that_hangs_is_not_waited_for(nvml: FakeNvml) -> None:
    survey = GpuSurvey(answer_seconds=0.05)
    assert set(survey.read([0, 1]) or ()) == {0, 1}
    nvml.hanging = 1
    before = threading.active_count()
    assert [set(survey.read([0, 1]) or ()) for _ in range(3)] == [{0}, set(), set()]
    assert threading.active_count() == before + 1
    nvml.hangs.set()


def test_the_devices_are_counted_within_what_this_process_may_see(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert GpuSurvey().detect() == [0, 1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,7")
    assert GpuSurvey().detect() == [1]


def test_the_driver_of_this_machine_is_no_error_whatever_it_is() -> None:
    survey = GpuSurvey()
    devices = survey.detect()
    assert set(survey.read(devices) or ()) <= set(devices)


def test_what_is_stated_limits_what_is_found_and_is_believed_without_a_driver() -> None:
    assert list(devices_to_give([0, 2, 3], None)) == [0, 2, 3]
    assert list(devices_to_give([0, 2, 3], 2)) == [0, 2]
    assert list(devices_to_give([0], 4)) == [0, 1, 2, 3], "pretended, as the example does"
    assert list(devices_to_give([], 3)) == [0, 1, 2]
    assert list(devices_to_give([], None)) == []
