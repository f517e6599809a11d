"""From the file to frozen values and back."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck as Slow
from hypothesis import given, settings
from hypothesis import strategies as st

from bluegreen.domain.analysis_condition import Comparison, ResultCondition
from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.model import Endpoint, Resources
from bluegreen.domain.service import Analysis, Canary, HealthCheck, Policy, ServiceSpec, SmokeTest
from bluegreen.spec.alert_settings import SinkSettings
from bluegreen.spec.configuration import (
    AlertSettings,
    ApiSettings,
    CapacitySettings,
    DaemonSettings,
    PolicySettings,
    RouterSettings,
)
from bluegreen.spec.convert import to_table
from bluegreen.spec.keys import configuration_keys
from bluegreen.spec.loading import load
from bluegreen.spec.metrics_settings import MetricsSettings, PrometheusSettings
from tests.domain.spec_documents import BASE, FULL, SMALL, parsed, toml_document


def test_every_key_arrives() -> None:
    configuration = parsed(FULL)
    assert configuration.path == BASE / "bluegreen.toml"
    assert configuration.base_directory == BASE
    assert configuration.daemon == DaemonSettings(BASE / "state", "debug")
    assert configuration.router == RouterSettings(
        listen=Endpoint("0.0.0.0", 80),
        haproxy=BASE / "bin/haproxy",
        certificate=Path("/etc/ssl/site.pem"),
        threads=2,
    )
    assert configuration.capacity == CapacitySettings(8, 16.0, 65536)
    assert configuration.alerts == AlertSettings(
        webhook_url_env="ALERT_URL",
        sinks=(
            SinkSettings("webhook", "pager", url_env="PAGER_URL", secret_env="PAGER_SECRET", min_severity="critical"),
            SinkSettings("alertmanager", "alertmanager", url="http://alertmanager.example:9093"),
            SinkSettings("file", "file", path=BASE / "alerts.jsonl"),
        ),
    )
    assert configuration.metrics == MetricsSettings(
        PrometheusSettings(
            url="https://prometheus.example/select/0",
            bearer_token_file=BASE / "secrets/prometheus",
            ca_file=BASE / "tls/ca.pem",
            timeout_seconds=3.0,
            max_sample_age_seconds=60.0,
        )
    )
    assert configuration.api == ApiSettings(
        listen=Endpoint("0.0.0.0", 8443),
        certificate=BASE / "tls/api.pem",
        origins=("https://console.example.com",),
        hosts=("deploy.example.com", "10.0.0.7"),
        requests_per_second=20.0,
        burst=40,
        max_body_bytes=65536,
    )
    assert configuration.policy == PolicySettings(("registry/*", "api:v?"), 600.0)
    assert configuration.services == {
        "inference-model": ServiceSpec(
            name="inference-model",
            hosts=("api.example.com", "*.models.example.com", "*"),
            command=("python3", "serve.py", "--port", "{port}", "--version", "{tag}"),
            image="registry/inference-model:v1.9",
            workdir="/srv/app/versions/{repository}/{tag}",
            env={"MODEL": "{image}", "PORT": "{port}"},
            labels={"team": "vision"},
            environment="staging",
            replicas=2,
            resources=Resources(1, 1.5, 2048),
            gpu_memory_mb=8000,
            gpu_sharing=True,
            stateful=True,
            state_handling="both versions read the same database",
            protocol="h2c",
            stop_grace_seconds=5.0,
            health=HealthCheck("/ready", 1.0, 0.5, 3, 2, 30.0, 204),
            smoke=(
                SmokeTest(
                    name="smoke-1",
                    method="POST",
                    path="/predict",
                    body=b'{"inputs": [1, 2.5]}',
                    headers={"X-Trace": "smoke", "content-type": "application/json"},
                    expect_status=201,
                    expect_json={"length(outputs)": 2},
                    max_seconds=3.0,
                ),
                SmokeTest(name="script", command=("./smoke.sh", "--fast")),
            ),
            analyses=(
                Analysis(
                    name="errors by route",
                    query='sum by (route) (rate(errors{workload="{workload}"}[1m]))',
                    condition=ResultCondition((Comparison("<", 0.05),)),
                    interval_seconds=15.0,
                    timeout_seconds=2.5,
                    failure_limit=2,
                ),
                Analysis(name="accuracy", command=("./accuracy.sh", "--sample", "100")),
            ),
            policy=Policy(
                monitor_seconds=10.0,
                retain_seconds=20.0,
                drain_timeout_seconds=30.0,
                max_error_rate=0.05,
                min_requests=5,
                max_latency_ms=300.0,
                max_latency_increase=0.2,
                latency_quantile=0.95,
                false_rollback_probability=0.0001,
                on_inconclusive="rollback",
                inconclusive_seconds=60.0,
                max_restarts=1,
                auto_promote=False,
                approval_timeout_seconds=600.0,
                auto_rollback=False,
                poll_seconds=0.1,
                smoke_interval_seconds=30.0,
            ),
            canary=Canary(
                steps=(5, 25, 100),
                observe_seconds=30.0,
                error_threshold=0.02,
                latency_threshold_ms=200.0,
                sticky="cookie:session",
                set_cookie=True,
                force_header="X-Slot",
                force_cookie="slot",
            ),
        )
    }


def test_defaults_are_those_of_the_domain() -> None:
    configuration = parsed(SMALL)
    assert configuration.daemon == DaemonSettings(BASE / ".bluegreen")
    assert configuration.router == RouterSettings(Endpoint("127.0.0.1", 8080))
    assert configuration.capacity == CapacitySettings()
    assert configuration.services["api"] == ServiceSpec(
        name="api",
        hosts=("*",),
        command=("./api", "{port}"),
        image="api:v1",
        workdir=str(BASE),
        health=HealthCheck(),
    )


def test_an_empty_file_is_a_configuration_without_services() -> None:
    assert parsed("").services == {}


def test_whole_numbers_become_numbers_where_numbers_belong() -> None:
    policy = parsed(SMALL + "policy = { monitor_seconds = 3 }").services["api"].policy
    assert isinstance(policy.monitor_seconds, float)


def test_stateful_without_handling_is_left_to_preflight() -> None:
    assert parsed(SMALL + "stateful = true").services["api"].stateful


@pytest.mark.parametrize(
    ("listen", "endpoint"),
    [("[::1]:443", Endpoint("::1", 443)), ("localhost:1", Endpoint("localhost", 1))],
)
def test_listen_addresses(listen: str, endpoint: Endpoint) -> None:
    assert parsed(f'[router]\nlisten = "{listen}"').router.listen == endpoint


def test_a_bare_binary_name_is_left_for_path() -> None:
    assert parsed('[router]\nhaproxy = "haproxy-3"').router.haproxy == Path("haproxy-3")


def test_a_content_type_of_the_user_stays() -> None:
    text = SMALL + ('[[services.api.smoke]]\nrequest = "POST /"\njson = "é"\nheaders = { Content-Type = "text/x" }')
    (test,) = parsed(text).services["api"].smoke
    assert test.headers == {"Content-Type": "text/x"}
    assert test.body == '"é"'.encode()


def test_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "my.toml").write_text(SMALL)
    monkeypatch.chdir(tmp_path)
    configuration = load(Path("deep/my.toml"))
    assert configuration.path == tmp_path / "deep/my.toml"
    assert configuration.daemon.state_dir == tmp_path / "deep/.bluegreen"
    assert configuration.services["api"].workdir == str(tmp_path / "deep")


def test_the_webhook_is_read_from_the_environment_only_when_asked() -> None:
    alerts = parsed('[alerts]\nwebhook_url_env = "HOOK"').alerts
    assert alerts.resolve({"HOOK": "https://example.com/s3cret"}) == "https://example.com/s3cret"
    with pytest.raises(ConfigurationError, match="the environment variable HOOK is not set"):
        alerts.resolve({})
    with pytest.raises(ConfigurationError) as caught:
        alerts.resolve({"HOOK": "s3cret"})
    assert "s3cret" not in str(caught.value)
    assert AlertSettings().resolve({}) is None
    assert "s3cret" not in repr(AlertSettings("https://example.com/s3cret"))


KEY_NAMES = sorted({part for key in configuration_keys() for part in key.path.replace("[]", "").split(".")})
SCALARS = (
    st.none().map(lambda _: 0x10**400)
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["*", "a:b", "{port}", "{", "GET /", "127.0.0.1:80", "h2c", "haproxy", "\0"])
    | st.sampled_from([datetime.date(2026, 1, 1), datetime.time(1, 2)])
)
KEYS = st.sampled_from(KEY_NAMES) | st.text(max_size=6)
JUNK: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
SERVICE_KEYS = st.sampled_from(["hosts", "command", "env", "health", "smoke", "policy", "replicas", "gpus", "labels"])
JUNK_DOCUMENTS = st.dictionaries(KEYS, JUNK, max_size=4) | st.fixed_dictionaries(
    {"services": st.dictionaries(st.sampled_from(["api", "web", "A"]), st.dictionaries(SERVICE_KEYS, JUNK))},
    optional={"capacity": JUNK, "alerts": JUNK, "router": JUNK},
)


def only_a_configuration_error(text: str) -> None:
    try:
        parsed(text)
    except ConfigurationError as error:
        assert error.problems
        assert all(problem and len(problem) < 1500 and "\0" not in problem for problem in error.problems)


@given(JUNK_DOCUMENTS)
@settings(max_examples=300, deadline=None, suppress_health_check=[Slow.too_slow])
def test_junk_is_refused_with_problems_and_never_with_a_crash(document: dict[str, Any]) -> None:
    only_a_configuration_error(toml_document(document).replace(repr(0x10**400), hex(0x10**400)))


@given(st.text(alphabet=st.sampled_from('[]{}=".\n #,-_abc019\\\0é') | st.characters(), max_size=60))
@settings(max_examples=300, deadline=None)
def test_text_that_is_hardly_toml_never_crashes(text: str) -> None:
    only_a_configuration_error(text)


def number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0{}"), max_size=12)
NAME = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
HOST = st.from_regex(r"(\*\.)?[a-z0-9]{1,8}\.(com|org)", fullmatch=True) | st.just("*")
LINE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
REQUESTS = st.builds(
    SmokeTest,
    name=st.just(""),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.from_regex(r"/[a-z?=&]{0,10}", fullmatch=True),
    body=st.none() | WORD.map(str.encode),
    headers=st.dictionaries(st.from_regex(r"X-[A-Z]{1,5}", fullmatch=True), LINE, max_size=2),
    expect_status=st.integers(200, 599),
    expect_json=st.dictionaries(
        st.from_regex(r"[a-z]{1,5}(\[0\])?", fullmatch=True), st.integers() | WORD | st.booleans(), max_size=2
    ),
    max_seconds=number(0.01, 3600),
)
COMMANDS = st.builds(
    SmokeTest,
    name=st.just(""),
    command=st.lists(WORD, max_size=2).map(lambda rest: ("./smoke", *rest)),
    max_seconds=number(0.01, 3600),
)
HEALTH = st.builds(
    HealthCheck,
    path=st.from_regex(r"/[a-z]{0,10}", fullmatch=True),
    interval_seconds=number(0.01, 1),
    timeout_seconds=number(0.01, 20),
    rise=st.integers(1, 10),
    fall=st.integers(1, 1000),
    deadline_seconds=number(20, 86_400),
    expect_status=st.integers(200, 599),
)
POLICIES = st.builds(
    Policy,
    monitor_seconds=number(0, 1e5),
    retain_seconds=number(0, 1e6),
    drain_timeout_seconds=number(0, 1e4),
    max_error_rate=number(0, 1),
    min_requests=st.integers(1, 10**9),
    max_restarts=st.integers(0, 1000),
    poll_seconds=number(0.01, 0.5),
)


def _named(tests: list[SmokeTest]) -> tuple[SmokeTest, ...]:
    return tuple(replace(test, name=f"test {index}") for index, test in enumerate(tests))


SPECS = st.builds(
    ServiceSpec,
    name=NAME,
    hosts=st.lists(HOST, min_size=1, max_size=4, unique=True).map(tuple),
    command=st.lists(WORD | st.sampled_from(["{port}", "{{x}}", "{tag}-{color}"]), max_size=3).map(
        lambda rest: ("./serve", *rest)
    ),
    image=st.sampled_from(["", "model:v1", "registry:5000/a/b:v2"]),
    workdir=st.sampled_from(["/", "/srv/{repository}/{tag}"]),
    env=st.dictionaries(st.from_regex(r"[A-Z_]{1,8}X", fullmatch=True), WORD, max_size=3),
    labels=st.dictionaries(st.from_regex(r"[a-z]{1,5}/[a-z.]{0,4}x", fullmatch=True), WORD, max_size=2),
    environment=st.sampled_from(["production", "staging"]),
    replicas=st.integers(1, 64),
    resources=st.builds(Resources, st.integers(0, 1024), number(0, 4096), st.integers(0, 2**26)),
    gpu_memory_mb=st.integers(0, 2**26),
    gpu_sharing=st.booleans(),
    state_handling=WORD,
    protocol=st.sampled_from(["http1", "h2c"]),
    stop_grace_seconds=number(0, 3600),
    health=st.none() | HEALTH,
    smoke=st.lists(REQUESTS | COMMANDS, max_size=3).map(_named),
    policy=POLICIES,
).map(lambda spec: spec if spec.resources.gpus else replace(spec, gpu_memory_mb=0))


@given(SPECS)
@settings(max_examples=100, deadline=None, suppress_health_check=[Slow.too_slow])
def test_a_valid_service_survives_the_way_through_the_file(spec: ServiceSpec) -> None:
    text = toml_document({"services": {spec.name: to_table(spec)}})
    assert parsed(text).services == {spec.name: spec}


def test_json_bodies_are_json() -> None:
    (first, _) = parsed(FULL).services["inference-model"].smoke
    assert json.loads(first.body or b"") == {"inputs": [1, 2.5]}
