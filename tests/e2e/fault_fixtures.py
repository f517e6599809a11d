"""Fixtures of the tests of faults: systems of their own, or one that lives through a whole module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from examples.system import System

from tests.e2e.faults import CONFIGURATION, begin, finish, new_system


@pytest.fixture(scope="module")
def configuration() -> str:
    """A module of tests may have another one."""
    return CONFIGURATION


@pytest.fixture
def new(request: pytest.FixtureRequest, configuration: str) -> Iterator[System]:
    """A system of the test's own, not started."""
    system = new_system(configuration)
    yield system
    finish(system, request)


@pytest.fixture
def own(new: System) -> System:
    """A system of the test's own, up with v1."""
    return begin(new)


@pytest.fixture(scope="module")
def shelf() -> Iterator[list[System]]:
    kept: list[System] = []
    yield kept
    for system in kept:
        system.close()
        shutil.rmtree(system.directory, ignore_errors=True)


@pytest.fixture
def shared(shelf: list[System], request: pytest.FixtureRequest, configuration: str) -> Iterator[System]:
    """Up, with one version alone; the next test of the module gets the same system if this one passed, so that the
    tests are also one long life of a system."""
    if not shelf:
        system = new_system(configuration)
        shelf.append(system)
        begin(system)
    system = shelf[0]
    yield system
    report = getattr(request.node, "rep_call", None)
    if report is None or not report.passed:
        shelf.clear()
        finish(system, request)
