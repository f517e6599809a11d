"""`[metrics.prometheus]` and `[[services.NAME.analysis]]`: what is refused, and what a reload says."""

from __future__ import annotations

import pytest

from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.service import Analysis
from bluegreen.spec.differences import differences
from bluegreen.spec.overrides import apply_overrides
from tests.domain.spec_documents import FULL, SMALL, parsed

PROMETHEUS = '[metrics.prometheus]\nurl = "http://127.0.0.1:9090"\n'
ANALYSIS = SMALL + '[[services.api.analysis]]\nname = "errors"\n'.replace("errors", "own")
QUERY = "query = 'x{service=\"{service}\"}'\n"
CONDITION = 'condition = "result < 1"\n'
AT = "services.api.analysis[0]"


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    return list(caught.value.problems)


def only_analysis(text: str) -> Analysis:
    (analysis,) = parsed(text).services["api"].analyses
    return analysis


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("", f"{AT}: needs a query or a command"),
        (QUERY + CONDITION + 'command = ["x"]', f"{AT}: has both query and command; choose one"),
        (QUERY, f'{AT}.condition: is missing: what must the result be? For example "result < 0.05"'),
        (
            'command = ["x"]\n' + CONDITION,
            f"{AT}.condition: only goes with query; a command's exit code is its answer",
        ),
        ("command = []", f"{AT}.command: must start with a program"),
        ('query = " "\n' + CONDITION, f"{AT}.query: must not be empty"),
        (
            "query = 'x{a=\"{workloat}\"}'\n" + CONDITION,
            f"{AT}.query: unknown placeholder {{workloat}}; did you mean {{workload}}?",
        ),
        (
            'query = "rate(x{service}[1m])"\n' + CONDITION,
            f'{AT}.query: {{service}} must stand in quotes, such as label="{{service}}"',
        ),
        ("query = 'x{a=\"b}'\n" + CONDITION, f'{AT}.query: has a quote " that is never closed'),
        (
            QUERY + 'condition = "< 1"',
            f"{AT}.condition: '< 1' is not understood. Write result OPERATOR NUMBER, such as result < 0.05 or "
            "result >= 99.5%; several with `and` between",
        ),
        (
            QUERY + 'condition = "result < 1 and result > 2"',
            f"{AT}.condition: 'result < 1 and result > 2' can never hold. Write result OPERATOR NUMBER, such as "
            "result < 0.05 or result >= 99.5%; several with `and` between",
        ),
        (QUERY + CONDITION + "interval_seconds = 0", f"{AT}.interval_seconds: must be ≥ 0.1, got 0"),
        (QUERY + CONDITION + "failure_limit = 0", f"{AT}.failure_limit: must be ≥ 1, got 0"),
        (
            QUERY + CONDITION + "interval_seconds = 2\ntimeout_seconds = 3",
            f"{AT}.timeout_seconds: must be ≤ interval_seconds (2), got 3",
        ),
        (QUERY + CONDITION + "timeout = 3", f"{AT}.timeout: unknown key; did you mean 'timeout_seconds'?"),
    ],
)
def test_each_mistake_is_named_by_its_key(table: str, problem: str) -> None:
    assert problems_of(ANALYSIS + table + "\n" + PROMETHEUS) == [problem]


@pytest.mark.parametrize("name", ["errors", "latency", "replicas", "health", "smoke test first"])
def test_names_of_our_own_measurements_are_taken(name: str) -> None:
    text = SMALL + f'[[services.api.analysis]]\nname = "{name}"\ncommand = ["x"]'
    assert problems_of(text) == [f'{AT}.name: "{name}" is what bluegreen\'s own measurements are called']


def test_two_analyses_of_one_name_would_be_told_apart_by_nobody() -> None:
    one = '[[services.api.analysis]]\nname = "a"\ncommand = ["x"]\n'
    assert problems_of(SMALL + one + one) == ['services.api.analysis[1].name: "a" is already the name of analysis[0]']


def test_a_name_with_a_line_break_is_none() -> None:
    text = SMALL + '[[services.api.analysis]]\nname = "a\\nb"\ncommand = ["x"]'
    assert problems_of(text) == [f"{AT}.name: must be one line of 1 to 80 characters"]


def test_a_query_needs_somebody_to_ask() -> None:
    assert problems_of(ANALYSIS + QUERY + CONDITION) == [
        f"{AT}.query: needs [metrics.prometheus] with the url of who is asked"
    ]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("", "metrics.prometheus.url: is missing"),
        ('url = "prometheus:9090"', "metrics.prometheus.url: must be an http:// or https:// address"),
        (
            'url = "https://ada:hunter2@a"',
            "metrics.prometheus.url: must have no user or password in it; name a token with bearer_token_env or "
            "bearer_token_file",
        ),
        ('url = "https://a?x=1"', "metrics.prometheus.url: must end with its path: ? and # do not belong here"),
        (
            'url = "http://a"\nbearer_token_env = "T"',
            "metrics.prometheus.url: must begin with https://, for bearer_token_env would cross the network in clear",
        ),
        (
            'url = "https://a"\nbearer_token_env = "T"\nbearer_token_file = "t"',
            "metrics.prometheus: has both bearer_token_env and bearer_token_file; choose one",
        ),
        ('url = "http://a"\nca_file = "ca.pem"', "metrics.prometheus.ca_file: only goes with an https:// address"),
        ('url = "https://a"\ntimeout_seconds = 0', "metrics.prometheus.timeout_seconds: must be ≥ 0.05, got 0"),
        ('url = "https://a"\nbearer_token = "x"', "metrics.prometheus.bearer_token: unknown key; did you mean"),
    ],
)
def test_each_mistake_about_prometheus_is_named_by_its_key(table: str, problem: str) -> None:
    (found,) = problems_of(f"[metrics.prometheus]\n{table}")
    assert found.startswith(problem)
    assert "hunter2" not in found


def test_a_token_in_clear_may_stay_on_this_machine() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        parsed(f'[metrics.prometheus]\nurl = "http://{host}:9090"\nbearer_token_env = "T"')


def test_an_answer_may_take_the_interval_but_not_for_ever() -> None:
    given = ANALYSIS + 'command = ["x"]\n'
    assert only_analysis(given).timeout_seconds == 5
    assert only_analysis(given + "interval_seconds = 2").timeout_seconds == 2
    assert only_analysis(given + "interval_seconds = 60").timeout_seconds == 10
    assert only_analysis(given + "interval_seconds = 60\ntimeout_seconds = 60").timeout_seconds == 60


def test_repeating_needs_something_to_repeat() -> None:
    assert problems_of(SMALL + "policy = { smoke_interval_seconds = 5 }") == [
        "services.api.policy.smoke_interval_seconds: has nothing to repeat: there is no smoke test"
    ]


def test_a_reload_applies_all_of_it_at_once() -> None:
    changed = FULL.replace("max_sample_age_seconds = 60", "max_sample_age_seconds = 90").replace("5%", "4%")
    result = differences(parsed(FULL), parsed(changed))
    assert result.needs_restart == ()
    assert set(result.applied) == {
        "metrics.prometheus.max_sample_age_seconds: 60 → 90",
        "services.inference-model.analysis: changed",
    }
    gone = differences(parsed(PROMETHEUS), parsed("services = {}"))
    assert gone.applied == ("metrics.prometheus: removed",)


def test_overrides_keep_the_analyses_and_change_none() -> None:
    spec = parsed(FULL).services["inference-model"]
    assert apply_overrides(spec, {"replicas": "3"}).analyses == spec.analyses
    assert apply_overrides(spec, {"policy.smoke_interval_seconds": "0"}).policy.smoke_interval_seconds == 0
    with pytest.raises(ConfigurationError, match=r"analysis: can't be changed for one deployment"):
        apply_overrides(spec, {"analysis": "[]"})
