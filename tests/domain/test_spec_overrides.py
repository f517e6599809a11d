"""`deploy --set KEY=VALUE`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.model import Resources
from bluegreen.domain.service import HealthCheck
from bluegreen.spec.overrides import apply_overrides
from tests.domain.spec_documents import FULL, parsed

SPEC = parsed(FULL).services["inference-model"]


def test_nothing_to_set_changes_nothing() -> None:
    assert apply_overrides(SPEC, {}) is SPEC
    assert apply_overrides(SPEC, {"replicas": "2"}) == SPEC


def test_values_are_toml() -> None:
    changed = apply_overrides(
        SPEC,
        {
            "replicas": "3",
            "cpus": "2",
            "stateful": "false",
            "policy.monitor_seconds": "10.5",
            "policy.auto_promote": "true",
            "health.path": '"/up"',
            "command": '["./serve", "{port}"]',
            "workdir": "/opt/app",
        },
    )
    assert changed == replace(
        SPEC,
        replicas=3,
        resources=Resources(1, 2.0, 2048),
        stateful=False,
        policy=replace(SPEC.policy, monitor_seconds=10.5, auto_promote=True),
        health=replace(SPEC.health or HealthCheck(), path="/up"),
        command=("./serve", "{port}"),
        workdir="/opt/app",
    )


def test_words_are_text_and_so_is_anything_for_a_key_of_text() -> None:
    changed = apply_overrides(
        SPEC,
        {
            "environment": "canary",
            "env.THREADS": "3",
            "env.DEBUG": "true",
            "env.QUOTED": '"3"',
            "env.LINES": "a\nb = 3",
            "env.EMPTY": "",
            "labels.app.example.com/part": "1.0",
            "state_handling": "shared, see [runbook]",
        },
    )
    assert changed.environment == "canary"
    assert changed.env == {
        **SPEC.env,
        "THREADS": "3",
        "DEBUG": "true",
        "QUOTED": "3",
        "LINES": "a\nb = 3",
        "EMPTY": "",
    }
    assert changed.labels == {"team": "vision", "app.example.com/part": "1.0"}
    assert changed.state_handling == "shared, see [runbook]"


def test_a_health_check_can_be_added() -> None:
    changed = apply_overrides(replace(SPEC, health=None), {"health.rise": "4"})
    assert changed.health == HealthCheck(rise=4)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("replicas", "many", 'replicas: must be a whole number, got "many"'),
        ("replicas", "0", "replicas: must be ≥ 1, got 0"),
        ("replicas", "1\nx = 2", 'replicas: must be a whole number, got "1\\nx = 2"'),
        ("policy.monitor_seconds", "-1", "policy.monitor_seconds: must be ≥ 0, got -1"),
        ("policy.moniter_seconds", "1", "policy.moniter_seconds: unknown key; did you mean 'monitor_seconds'?"),
        ("replcas", "1", "replcas: unknown key; did you mean 'replicas'?"),
        ("policy.a.b", "1", 'policy."a.b": unknown key'),
        ("policy", "1", "policy: name one key in it, such as policy.monitor_seconds"),
        ("env", "1", "env: name one key in it, such as env.NAME"),
        ("", "1", '"": unknown key'),
        ("image", "a:b", "image: is given with --image"),
        (
            "hosts",
            '["*"]',
            "hosts: can't be changed for one deployment; change the file and type: bluegreen reload",
        ),
        (
            "smoke",
            "[]",
            "smoke: can't be changed for one deployment; change the file and type: bluegreen reload",
        ),
        ("workdir", "here", "workdir: must be an absolute path here"),
        ("health.timeout_seconds", "31", "health.timeout_seconds: must be ≤ deadline_seconds (30), got 31"),
        ("env.A", "{prot}", "env.A: unknown placeholder {prot}; did you mean {port}?"),
    ],
)
def test_problems_carry_the_key(key: str, value: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        apply_overrides(SPEC, {key: value})
    assert caught.value.problems == (problem,)
    assert caught.value.source == "overrides (--set) for 'inference-model'"
    assert "validate" not in str(caught.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        apply_overrides(SPEC, {"replicas": "0", "hosts": "x", "health.rise": "0"})
    assert len(caught.value.problems) == 3
