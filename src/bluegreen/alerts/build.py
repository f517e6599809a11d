"""From the configuration to the sinks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bluegreen.alerts.alertmanager import AlertmanagerSink
from bluegreen.alerts.apprise import AppriseSink
from bluegreen.alerts.file import FileSink
from bluegreen.alerts.log import LogSink
from bluegreen.alerts.threshold import SEVERITIES, Threshold
from bluegreen.alerts.webhook import WebhookSink
from bluegreen.control.ports import AlertSink
from bluegreen.domain.errors import ConfigurationError
from bluegreen.spec.alert_settings import SinkSettings
from bluegreen.spec.configuration import Configuration


def make_sinks(configuration: Configuration, environment: Mapping[str, str]) -> Sequence[AlertSink]:
    """The log, and what `[alerts]` names. Raises ConfigurationError when a variable is not set or holds no address,
    UsageError when an extra is not installed."""
    alerts = configuration.alerts
    sinks: list[AlertSink] = [LogSink()]
    problems: list[str] = []
    try:
        if url := alerts.resolve(environment):
            sinks.append(WebhookSink(url))
    except ConfigurationError as error:
        problems += error.problems
    for number, settings in enumerate(alerts.sinks):
        try:
            sinks.append(_sink(settings, environment, f"alerts.sink[{number}]"))
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError("the daemon's environment", problems)
    return sinks


def _sink(settings: SinkSettings, environment: Mapping[str, str], at: str) -> AlertSink:
    sink = _of_kind(settings, environment, at)
    return sink if settings.min_severity == SEVERITIES[0] else Threshold(sink, settings.min_severity)


def _of_kind(settings: SinkSettings, environment: Mapping[str, str], at: str) -> AlertSink:
    if settings.path is not None:
        return FileSink(settings.path, name=settings.name)
    url = settings.resolve_url(environment, at)
    match settings.kind:
        case "alertmanager":
            return AlertmanagerSink(url, name=settings.name)
        case "apprise":
            return AppriseSink(url, name=settings.name)
        case _:
            return WebhookSink(url, name=settings.name, secret=settings.resolve_secret(environment, at))
