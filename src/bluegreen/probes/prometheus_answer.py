"""What a Prometheus answered, as elements or as a sentence about why there are none. Never raises, whatever came."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from bluegreen.domain.analysis import Element, QueryResult
from bluegreen.probes.health_get import MAX_BODY_BYTES
from bluegreen.probes.smoke_request import Answer, one_line

MAX_ELEMENTS = 5_000
_AGGREGATE = "aggregate it, for example with max or sum by"


def read_answer(answer: Answer, where: str) -> QueryResult:
    """`where` is what sentences call the source: `Prometheus at 10.0.0.7:9090`."""
    if not answer.complete:
        return QueryResult(problem=f"the answer is larger than {MAX_BODY_BYTES // 2**20} MiB; {_AGGREGATE}")
    document = _json_object(answer.body)
    if answer.status != 200:
        return QueryResult(problem=_refusal(answer.status, document, where))
    if document.get("status") != "success" or not isinstance(document.get("data"), dict):
        return QueryResult(
            problem=f"{where} answered HTTP 200 but not as Prometheus does; metrics.prometheus.url must be the address "
            "below which /api/v1/query is"
        )
    if incomplete := _incomplete(document):
        return QueryResult(problem=f"{where} answered only in part: {incomplete}; see what is wrong there")
    return _data(document["data"], where)


def _json_object(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _refusal(status: int, document: Mapping[str, Any], where: str) -> str:
    error = document.get("error")
    said = f": {one_line(error)}" if isinstance(error, str) and error else ""
    if status in (400, 422):
        return f"{where} refused the query with HTTP {status}{said}; try it there, and correct it"
    if status in (401, 403):
        return (
            f"{where} answered HTTP {status}{said}; "
            "check the token of metrics.prometheus.bearer_token_env or bearer_token_file"
        )
    if 300 <= status < 400:
        return f"{where} answered with a redirect (HTTP {status}); write the address it leads to"
    if status == 404:
        return f"{where} answered HTTP 404{said}; /api/v1/query is not below metrics.prometheus.url"
    return f"{where} answered HTTP {status}{said}; see whether it is well and not overloaded"


def _incomplete(document: Mapping[str, Any]) -> str:
    """`isPartial` is VictoriaMetrics', `warnings` Prometheus' and Thanos'; what is missing could be what is wrong."""
    if document.get("isPartial"):
        return "some of its storage nodes did not answer"
    warnings = document.get("warnings")
    if isinstance(warnings, list) and warnings:
        return one_line("; ".join(map(str, warnings)))
    return ""


def _data(data: Mapping[str, Any], where: str) -> QueryResult:
    kind, result = data.get("resultType"), data.get("result")
    if kind in ("matrix", "string"):
        hint = (
            "take the [range] away or put a function such as rate() around it" if kind == "matrix" else "ask a number"
        )
        return QueryResult(problem=f"the query's result is a {kind} and not a number; {hint}")
    try:
        if kind == "scalar":
            return QueryResult((_element({}, result),))
        if kind == "vector" and isinstance(result, list):
            if len(result) > MAX_ELEMENTS:
                return QueryResult(problem=f"the query found {len(result)} series; {_AGGREGATE}")
            return QueryResult(tuple(_elements(result)))
    except _NativeHistogramError:
        return QueryResult(problem="the query's result is a histogram; put histogram_quantile() around it")
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        pass
    return QueryResult(problem=f"{where} sent a result that can't be read; is it a Prometheus?")


class _NativeHistogramError(Exception):
    """A series whose value is a whole histogram."""


def _elements(result: list[Any]) -> Iterator[Element]:
    for series in result:
        if "value" not in series and "histogram" in series:
            raise _NativeHistogramError
        yield _element(series.get("metric", {}), series["value"])


def _element(metric: Mapping[str, Any], pair: Any) -> Element:
    at, value = pair
    return Element(float(value), float(at), {str(name): str(text) for name, text in metric.items()})
