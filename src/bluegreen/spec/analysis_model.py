"""The tables `[metrics.prometheus]` and `[[services.NAME.analysis]]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field

from bluegreen.domain import promql
from bluegreen.domain.analysis_condition import parse_result_condition
from bluegreen.domain.errors import UsageError
from bluegreen.domain.service import Analysis
from bluegreen.spec import values
from bluegreen.spec.metrics_settings import PrometheusSettings
from bluegreen.spec.policy_model import DAY_SECONDS, HOUR_SECONDS
from bluegreen.spec.table import Table

NAME_MAX_LENGTH = 80
_ANALYSIS = Analysis(name="")
_PROMETHEUS = PrometheusSettings(url="")


def _name(value: str) -> str:
    if not value.strip() or len(value) > NAME_MAX_LENGTH or not value.isprintable():
        raise ValueError(f"must be one line of 1 to {NAME_MAX_LENGTH} characters")
    return value


def _query(value: str) -> str:
    if problem := promql.problem_in(value):
        raise ValueError(problem)
    return value


def _condition(value: str) -> str:
    try:
        parse_result_condition(value)
    except UsageError as error:
        raise ValueError(f"{error.message}. {error.hint}") from None
    return value


AnalysisName = Annotated[
    str, AfterValidator(_name), Field(json_schema_extra={"minLength": 1, "maxLength": NAME_MAX_LENGTH})
]
Query = Annotated[str, AfterValidator(_query), Field(json_schema_extra={"minLength": 1})]
Condition = Annotated[
    str, AfterValidator(_condition), Field(json_schema_extra={"minLength": 1, "examples": ["result < 0.05"]})
]


class PrometheusTable(Table):
    """The Prometheus, or what answers as one, that analyses ask."""

    url: values.WebAddress = Field(
        description="Its address; /api/v1/query is below it. VictoriaMetrics, Thanos and Mimir answer alike."
    )
    bearer_token_env: values.EnvironmentName | None = Field(
        default=None, description="Name of the environment variable of the daemon that holds the token."
    )
    bearer_token_file: values.NonemptyText | None = Field(
        default=None,
        description="File that holds the token, read at every query; relative to the configuration.",
    )
    ca_file: values.NonemptyText | None = Field(
        default=None,
        description="PEM file with the authorities that may have signed its certificate. Not set: the system's.",
    )
    timeout_seconds: float = Field(
        default=_PROMETHEUS.timeout_seconds,
        ge=0.05,
        le=HOUR_SECONDS,
        description="The longest that is waited for an answer, whatever an analysis allows.",
    )
    max_sample_age_seconds: float = Field(
        default=_PROMETHEUS.max_sample_age_seconds,
        ge=1,
        le=DAY_SECONDS,
        description="Samples older than this tell nothing. At least twice the scrape interval.",
    )


class MetricsTable(Table):
    """Where metrics come from."""

    prometheus: PrometheusTable | None = Field(
        default=None, description="The Prometheus, or what answers as one, that analyses ask."
    )


class AnalysisTable(Table):
    """One question about green while it is watched: PromQL, or a command."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["query", "condition"]}, {"required": ["command"]}],
        }
    )

    name: AnalysisName = Field(description="What the analysis is called in verdicts.")
    query: Query | None = Field(
        default=None,
        description='PromQL for a number or for series of them, with placeholders in quotes, such as "{workload}".',
    )
    condition: Condition | None = Field(
        default=None, description="What each result of the query must be, such as result < 0.05."
    )
    command: values.SmokeCommand | None = Field(
        default=None,
        description="Program and arguments; 0 passes, 1 fails, anything else does not tell. It gets GREEN_URL, SERVICE"
        " and VERSION.",
    )
    interval_seconds: float = Field(
        default=_ANALYSIS.interval_seconds, ge=0.1, le=DAY_SECONDS, description="Time between two questions."
    )
    timeout_seconds: float | None = Field(
        default=None,
        ge=0.05,
        le=HOUR_SECONDS,
        description="How long an answer may take. Not set: the interval, at most 10 s.",
    )
    failure_limit: int = Field(
        default=_ANALYSIS.failure_limit,
        ge=1,
        le=1000,
        description="How many failing answers in a row are a failure.",
    )
