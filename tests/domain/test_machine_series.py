"""What workloads use of the machine, over time: of several together, and where nothing was measured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.sample import Sample, thinned
from bluegreen.domain.series import METRICS, described, points
from bluegreen.domain.window import Window


def values(name: str, *workloads: list[Sample], over: Window) -> list[float | None]:
    return [point.value for point in points(METRICS[name], workloads, over)]


def burned(at: float, cores: float, *, seconds: float = 5.0) -> Sample:
    return Sample.of(at, usage_milliseconds=seconds * 1000, cpu_milliseconds=cores * seconds * 1000)


def test_processor_time_is_spread_over_the_time_in_which_it_was_consumed() -> None:
    samples = [burned(10.0, 1.0), Sample.of(11.0, requests=1), burned(15.0, 3.0)]
    assert values("cpu_usage", samples, over=Window(0.0, 20.0, 5.0)) == pytest.approx([None, 1.0, 3.0, None])
    assert values("cpu_usage", samples, over=Window(8.0, 12.0, 1.0)) == pytest.approx([1.0, 1.0, 3.0, 3.0])


def test_cores_of_several_workloads_are_added_and_one_that_was_measured_for_a_part_of_the_step_counts_whole() -> None:
    long, short = [burned(5.0, 1.0), burned(10.0, 1.0)], [burned(10.0, 2.0)]
    assert values("cpu_usage", long, short, over=Window(0.0, 10.0)) == pytest.approx([3.0])


@given(st.lists(st.floats(0, 64), min_size=1, max_size=100), st.sampled_from([10.0, 60.0]))
def test_coarser_samples_have_the_same_mean(cores: list[float], width: float) -> None:
    samples = [burned(5.0 * number, used) for number, used in enumerate(cores, 1)]
    over = Window(0.0, 5.0 * len(cores))
    mean = sum(cores) / len(cores)
    assert values("cpu_usage", thinned(samples, width), over=over) == pytest.approx([mean], abs=1e-6)


def test_memory_is_added_and_held_until_the_next_reading() -> None:
    one = [Sample.of(5.0, memory_bytes=100.0), Sample.of(6.0), Sample.of(10.0, memory_bytes=300.0)]
    other = [Sample.of(10.0, memory_bytes=50.0)]
    assert values("memory_used", one, other, over=Window(0.0, 12.0, 3.0)) == [None, 100.0, 100.0, 350.0]


def test_gpus_are_averaged_by_device_and_the_hottest_tells() -> None:
    one = [Sample.of(5.0, gpus=1.0, gpus_busy=1.0, gpu_celsius=50.0, gpu_memory_bytes=10.0)]
    other = [Sample.of(5.0, gpus=3.0, gpus_busy=0.6, gpu_celsius=71.0, gpu_memory_bytes=30.0)]
    over = Window(0.0, 5.0)
    assert values("gpu_utilization", one, other, over=over) == pytest.approx([0.4])
    assert values("gpu_temperature", one, other, over=over) == [71.0]
    assert values("gpu_memory_used", one, other, over=over) == [40.0]


def test_a_machine_without_gpus_has_no_numbers_of_them() -> None:
    samples = [Sample.of(5.0, memory_bytes=1.0)]
    for name in ("gpu_utilization", "gpu_temperature", "gpu_memory_used"):
        found, told = described(METRICS[name], [samples], Window(0.0, 10.0, 5.0))
        assert [point.value for point in found] == [None, None]
        assert told.latest is None


def test_the_duration_is_that_of_the_oldest() -> None:
    samples = [[Sample.of(5.0, age_seconds=age)] for age in (30.0, 400.0)]
    assert values("workload_duration", *samples, over=Window(0.0, 5.0)) == [400.0]
