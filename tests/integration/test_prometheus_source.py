"""The client of the user's Prometheus: what it sends, what it makes of every kind of answer, and the real thing."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from examples.system import free_port
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.analysis import judge_query
from bluegreen.domain.analysis_condition import parse_result_condition
from bluegreen.domain.promql import filled
from bluegreen.domain.verdict import Answer
from bluegreen.probes.prometheus import PrometheusSource
from bluegreen.probes.prometheus_answer import MAX_ELEMENTS, read_answer
from bluegreen.probes.smoke_request import Answer as HttpAnswer
from bluegreen.spec.metrics_settings import PrometheusSettings
from tests.integration.probe_servers import dripping, endless, serving, writing
from tests.support.certificates import self_signed
from tests.support.prometheus import Prometheus, prometheus, victoria_metrics
from tests.support.prometheus_api import error, prometheus_api, success

NOW = 1_800_000_000.0
WHERE = "Prometheus at somewhere"


async def problem_of(settings: PrometheusSettings, environment: dict[str, str] | None = None) -> str:
    source = PrometheusSource(settings, environment or {})
    try:
        return (await source.query("x", timeout_seconds=5)).problem
    finally:
        await source.aclose()


# -- what is sent ---------------------------------------------------------------------------------------------------


async def test_it_posts_the_query_below_the_url_with_its_limits() -> None:
    with prometheus_api() as api:
        assert await problem_of(PrometheusSettings(f"{api.url}/select/0/prometheus", max_sample_age_seconds=90)) == ""
    (asked,) = api.asked
    assert (asked.method, asked.path) == ("POST", "/select/0/prometheus/api/v1/query")
    assert asked.form == {"query": "x", "timeout": "5s", "lookback_delta": "90s", "max_lookback": "90s"}
    assert "authorization" not in asked.headers


async def test_where_no_post_is_let_through_it_asks_with_get() -> None:
    with prometheus_api() as api:
        api.allowed = ("GET",)
        assert await problem_of(PrometheusSettings(api.url)) == ""
    assert [asked.method for asked in api.asked] == ["POST", "GET"]
    assert api.asked[1].form["query"] == "x"


async def test_the_token_comes_from_the_environment_or_from_a_file_that_may_change(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with prometheus_api() as api:
        from_environment = PrometheusSettings(api.url, bearer_token_env="T")
        assert await problem_of(from_environment, {"T": "one"}) == ""
        source = PrometheusSource(PrometheusSettings(api.url, bearer_token_file=file), {})
        for token in ("two\n", "three"):
            file.write_text(token)
            assert (await source.query("x", timeout_seconds=5)).problem == ""
        await source.aclose()
    assert [asked.headers["authorization"] for asked in api.asked] == ["Bearer one", "Bearer two", "Bearer three"]


@pytest.mark.parametrize("content", [None, "", " \n", "two words", "täken", "a\nX-Evil: 1"])
async def test_without_a_token_nobody_is_asked_and_none_is_repeated(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with prometheus_api() as api:
        problem = await problem_of(PrometheusSettings(api.url, bearer_token_file=file))
        missing = await problem_of(PrometheusSettings(api.url, bearer_token_env="T"))
    assert "metrics.prometheus.bearer_token_file" in problem
    assert "Evil" not in problem and "words" not in problem
    assert missing == "metrics.prometheus.bearer_token_env: T is not set in the daemon's environment"
    assert api.asked == []


async def test_settings_may_change_while_it_runs() -> None:
    with prometheus_api() as old, prometheus_api() as new:
        source = PrometheusSource(None, {})
        assert "no [metrics.prometheus]" in (await source.query("x", timeout_seconds=5)).problem
        for api in (old, new):
            source.settings = PrometheusSettings(api.url)
            assert (await source.query("x", timeout_seconds=5)).problem == ""
        await source.aclose()
    assert len(old.asked) == len(new.asked) == 1


# -- connections ----------------------------------------------------------------------------------------------------


async def test_tls_is_checked_against_the_configured_authority(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with prometheus_api(tls=context) as api:
        assert await problem_of(PrometheusSettings(api.url, ca_file=certificate)) == ""
        problem = await problem_of(PrometheusSettings(api.url))
        assert "can't be reached" in problem and "certificate" in problem.lower()
        assert "check [metrics.prometheus]" in problem
        for content in (None, "no certificate"):
            file = tmp_path / "ca.pem"
            if content is not None:
                file.write_text(content)
            problem = await problem_of(PrometheusSettings(api.url, ca_file=file))
            assert "metrics.prometheus.ca_file" in problem and str(file) in problem


async def test_one_that_is_down_is_named() -> None:
    port = free_port()
    problem = await problem_of(PrometheusSettings(f"http://127.0.0.1:{port}"))
    assert problem.startswith(f"Prometheus at 127.0.0.1:{port} can't be reached (connect")
    assert "see whether it runs" in problem


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (writing(b"hello\r\n\r\n"), "no complete HTTP answer"),
        (writing(b""), "no complete HTTP answer"),
        (writing(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"), "no complete HTTP answer"),
        (dripping, "no complete answer within 0.5 s"),
        (endless, "larger than 1 MiB"),
    ],
    ids=["no HTTP", "nothing", "half an answer", "dripping", "endless"],
)
async def test_bad_servers_cost_no_more_than_the_time(handler: object, words: str) -> None:
    async with serving(handler) as endpoint, asyncio.timeout(30):  # type: ignore[arg-type]
        problem = await problem_of(PrometheusSettings(f"http://{endpoint}", timeout_seconds=0.5))
    assert words in problem


# -- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, error("bad_data", "1:5: parse error"), "refused the query with HTTP 400: 1:5: parse error; try it there"),
        (422, error("execution", "many-to-many"), "HTTP 422: many-to-many"),
        (401, b"", "check the token"),
        (403, b"<html>", "check the token"),
        (404, b"", "/api/v1/query is not below metrics.prometheus.url"),
        (302, b"", "answered with a redirect"),
        (429, b"", "HTTP 429; see whether it is well"),
        (503, error("timeout", "query timed out"), "HTTP 503: query timed out"),
        (500, b"\xff\x00", "HTTP 500"),
        (200, b"<html>log in</html>", "not as Prometheus does"),
        (200, b"[]", "not as Prometheus does"),
        (200, b'{"status": "error"}', "not as Prometheus does"),
        (200, b"[" * 100_000, "not as Prometheus does"),
        (200, success("matrix", []), "take the [range] away"),
        (200, success("string", [1, "x"]), "not a number"),
        (200, success("vector", {}), "can't be read"),
        (200, success("vector", [1]), "can't be read"),
        (200, success("vector", [{"metric": {}, "value": [1]}]), "can't be read"),
        (200, success("vector", [{"metric": {}, "value": [1, "x"]}]), "can't be read"),
        (200, success("vector", [{"metric": {}, "histogram": [1, {}]}]), "histogram_quantile()"),
        (200, success("scalar", None), "can't be read"),
        (200, success("vector", [], isPartial=True), "answered only in part"),
        (200, success("vector", [], warnings=["store 3 is down"]), "answered only in part: store 3 is down"),
        (200, success("vector", [{"metric": {}, "value": [1, "1"]}] * (MAX_ELEMENTS + 1)), "aggregate it"),
    ],
)
def test_what_is_no_answer_says_what_to_do(status: int, body: bytes, words: str) -> None:
    result = read_answer(HttpAnswer(status, body), WHERE)
    assert result.elements == ()
    assert words in result.problem
    assert result.problem.isprintable()


def test_infos_are_no_warnings() -> None:
    body = success("scalar", [NOW, "1"], infos=["metric might not be a counter"])
    assert read_answer(HttpAnswer(200, body), WHERE).problem == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["vector", "scalar", "matrix", "string"]) | JSON, JSON, st.integers(100, 599))
def test_whatever_it_answers_nothing_is_raised_and_nonsense_never_passes(
    kind: object, result: object, status: int
) -> None:
    body = json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()
    found = read_answer(HttpAnswer(status, body), WHERE)
    assert bool(found.problem) or found.elements or kind == "vector"
    judge_query(parse_result_condition("result < 1"), found, now=NOW)


@given(st.binary(), st.integers(100, 599))
def test_bytes_of_any_kind_are_a_problem(body: bytes, status: int) -> None:
    assert read_answer(HttpAnswer(status, body), WHERE).problem


# -- the real Prometheus --------------------------------------------------------------------------------------------

EXPOSED = """
# TYPE requests_total counter
requests_total{service="shop",version="v2.0",route="/a"} 100
requests_total{service="shop",version="v2.0",route="/b"} 100
# TYPE errors_total counter
errors_total{service="shop",version="v2.0",route="/a"} 1
errors_total{service="shop",version="v2.0",route="/b"} 40
errors_total{service="shop",version="v1\\"9"} 7
"""


@asynccontextmanager
async def scraping(directory: Path, *, by_victoria: bool = False) -> AsyncIterator[tuple[PrometheusSource, Prometheus]]:
    """A real Prometheus, or VictoriaMetrics, that has scraped what is above."""

    async def page(_request: bytes, writer: asyncio.StreamWriter) -> None:
        head = f"Content-Type: text/plain; version=0.0.4\r\nContent-Length: {len(EXPOSED)}\r\nConnection: close"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n{EXPOSED}".encode())
        await writer.drain()

    async with AsyncExitStack() as stack:
        target = str(await stack.enter_async_context(serving(page)))
        server = victoria_metrics(directory, target) if by_victoria else prometheus(directory, target, "token")
        found = await stack.enter_async_context(server)
        await found.until("errors_total == 40")
        source = PrometheusSource(PrometheusSettings(found.url), {})
        yield source, found
        await source.aclose()


async def test_debians_prometheus_is_asked_and_understood(tmp_path: Path) -> None:
    share = 'errors_total{service="{service}", version=~"{version}"} / requests_total'
    values = {"service": "shop", "version": "v2.0"}
    below = parse_result_condition("result < 5%")
    async with scraping(tmp_path) as (source, _):

        async def found(query: str, **more: str) -> tuple[Answer, str]:
            result = await source.query(filled(query, values | more), timeout_seconds=10)
            judged = judge_query(below, result, now=time.time(), max_age_seconds=source.max_sample_age_seconds)
            return judged.answer, judged.phrase

        for query, version, expected, words in [
            (share.replace("errors_total{", 'errors_total{route="/a", '), "v2.0", Answer.PASS, "is 0.01, as must be"),
            (share, "v2.0", Answer.FAIL, "is 0.4, must be: result < 0.05"),
            (share, "v2x0", Answer.INCONCLUSIVE, "found nothing"),
            ('errors_total{version="{version}"} * 0', 'v1"9', Answer.PASS, "is 0, as must be"),
        ]:
            answer, phrase = await found(query, version=version)
            assert (answer, words in phrase) == (expected, True), phrase
        for query, words in [
            ("nothing", "found nothing"),
            ("errors_total[1m]", "take the [range] away"),
            ("sum(", "refused the query with HTTP 400: "),
            ("errors_total / on () requests_total", "HTTP 422: "),
            ('"text"', "not a number"),
            ("vector(0) / 0", "NaN"),
            ("vector(1) / 0", "+Inf"),
            ("vector(1) offset", "HTTP 400"),
        ]:
            answer, phrase = await found(query)
            assert answer is Answer.INCONCLUSIVE
            assert words in phrase


async def test_debians_victoria_metrics_is_asked_and_understood(tmp_path: Path) -> None:
    """It knows MetricsQL, which forgives more than PromQL, and drops what is NaN."""
    share = 'errors_total{service="{service}", version=~"{version}"} / requests_total'
    below = parse_result_condition("result < 5%")
    async with scraping(tmp_path, by_victoria=True) as (source, _):
        for query, version, expected, words in [
            (share.replace("errors_total{", 'errors_total{route="/a", '), "v2.0", Answer.PASS, "is 0.01, as must be"),
            (share, "v2.0", Answer.FAIL, "is 0.4, must be: result < 0.05"),
            (share, "v2x0", Answer.INCONCLUSIVE, "found nothing"),
            ('errors_total{version="{version}"} * 0', 'v1"9', Answer.PASS, "is 0, as must be"),
            ("nothing", "", Answer.INCONCLUSIVE, "found nothing"),
            ("vector(0) / 0", "", Answer.INCONCLUSIVE, "found nothing"),
            ("vector(1) / 0", "", Answer.INCONCLUSIVE, "+Inf"),
            ("sum(", "", Answer.INCONCLUSIVE, "refused the query with HTTP 4"),
        ]:
            asked = filled(query, {"service": "shop", "version": version or "v2.0"})
            result = await source.query(asked, timeout_seconds=10)
            judged = judge_query(below, result, now=time.time(), max_age_seconds=source.max_sample_age_seconds)
            assert (judged.answer, words in judged.phrase) == (expected, True), judged.phrase
