"""Alerts through Apprise, which knows some hundred chat, mail and paging services (extra `alerts`)."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from typing import Any

from bluegreen.control.ports import Alert
from bluegreen.domain.errors import AdapterError, UsageError

DELIVERY_SECONDS = 30.0
_TYPES = {"info": "info", "warning": "warning", "critical": "failure"}


class AppriseSink:
    """One address of Apprise's, such as `slack://…` or `mailto://…`. It holds a secret, so no error quotes it."""

    def __init__(self, url: str, *, name: str = "apprise") -> None:
        """Raises UsageError when Apprise is not installed. The address is read at the first delivery: the import
        takes as long as a deployment's switch must not."""
        if importlib.util.find_spec("apprise") is None:
            raise UsageError(
                f"alerts.sink: {name!r} is of the kind apprise, which is not installed",
                hint="Install it with: pip install 'bluegreen[alerts]'",
            )
        self.name = name
        self._url = url
        self._notifier: Any = None

    async def deliver(self, alert: Alert) -> None:
        if self._notifier is None:
            self._notifier = await asyncio.to_thread(_notifier, self._url)
        if self._notifier is None:
            raise self._failure(alert, "Apprise does not understand the address")
        try:
            async with asyncio.timeout(DELIVERY_SECONDS):
                arrived = await self._notifier.async_notify(
                    title=title(alert), body=body(alert), notify_type=_TYPES.get(alert.severity, "warning")
                )
        except TimeoutError:
            raise self._failure(alert, f"no answer within {DELIVERY_SECONDS:g} s") from None
        except Exception as error:
            raise self._failure(alert, type(error).__name__) from None
        if not arrived:
            raise self._failure(alert, "the service did not take it")

    def _failure(self, alert: Alert, cause: str) -> AdapterError:
        return AdapterError(
            f"alert {alert.name!r} of {alert.service!r} was not delivered to {self.name!r}: {cause}",
            hint=f"Check the address of the alerts.sink {self.name!r}; the alert is in the log too.",
        )


def title(alert: Alert) -> str:
    """`[warning] deploy-rollback: inference-model v2.0`."""
    about = " ".join(part for part in (alert.service, alert.version) if part)
    state = "resolved" if alert.resolved else alert.severity
    return f"[{state}] {alert.name}{f': {about}' if about else ''}"


def body(alert: Alert) -> str:
    """The sentence, how long it took, and the id by which people recognise a repetition."""
    took = [] if alert.duration_seconds is None else [f"After {alert.duration_seconds:.0f} s."]
    return "\n".join([alert.message, *took, f"Alert {alert.id}"])


def _notifier(url: str) -> Any:
    """None for an address that Apprise does not understand."""
    # They write addresses to the log, and an address holds a secret.
    for name in ("apprise", "urllib3", "requests"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    import apprise

    notifier = apprise.Apprise()
    return notifier if notifier.add(url) else None
