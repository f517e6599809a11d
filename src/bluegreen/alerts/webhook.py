"""Alerts as HTTP POST to an address of the user's."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from bluegreen.control.ports import Alert
from bluegreen.domain.errors import AdapterError, UsageError

if TYPE_CHECKING:
    import httpx


class WebhookSink:
    """POSTs each alert as a JSON object with the fields of `Alert`. Any answer of 200 to 299 is success.

    The address often is the secret (a token in its path, query or user part), so errors name only its host.
    It is asked directly: no proxy from the environment, no redirect is followed.
    """

    def __init__(self, url: str, timeout_seconds: float = 5.0, *, headers: Mapping[str, str] | None = None) -> None:
        """`timeout_seconds` bounds a delivery as a whole. Raises UsageError for what is no http(s) address."""
        self._url, user = _without_user(url)
        self._label = f"{self._url.scheme}://{self._url.netloc}/…"
        self._timeout_seconds = timeout_seconds
        self._headers = {"content-type": "application/json", "user-agent": "bluegreen", **(headers or {})}
        if user:
            self._headers["authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        self._transport: httpx.AsyncHTTPTransport | None = None

    async def deliver(self, alert: Alert) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status = await self._post(json.dumps(asdict(alert)).encode())
        except TimeoutError:
            raise self._failure(alert, f"no answer within {self._timeout_seconds:g} s") from None
        except OSError as error:
            raise self._failure(alert, error.strerror or type(error).__name__) from None
        if not 200 <= status <= 299:
            raise self._failure(alert, f"HTTP {status}")

    async def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.aclose()

    async def _post(self, body: bytes) -> int:
        """The status of the answer. Raises OSError when there is none."""
        # Imported late: most commands send no alert, and this import is a large part of a command's start.
        import httpx

        try:
            if self._transport is None:
                # In a thread, because loading the certificate authorities takes long enough to be noticed.
                self._transport = await asyncio.to_thread(
                    httpx.AsyncHTTPTransport, verify=self._url.scheme == "https", trust_env=False
                )
            request = httpx.Request(
                "POST",
                self._url.geturl(),
                headers={**self._headers, "content-length": str(len(body))},
                content=body,
            )
            # The transport, not a client: a client writes the whole address to the log of httpx.
            response = await self._transport.handle_async_request(request)
            await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(0, _phrase(error)) from None
        return response.status_code

    def _failure(self, alert: Alert, cause: str) -> AdapterError:
        return AdapterError(
            f"alert {alert.name!r} of {alert.service!r} was not delivered to {self._label}: {cause}",
            hint="Check alerts.webhook_url in the configuration; the alert is in the log too.",
        )


def _without_user(url: str) -> tuple[SplitResult, str]:
    """The address without its user part, and `name:password` or nothing."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise UsageError(
            "the webhook address is not an http or https address",
            hint="Write it as https://host/path (it is not shown here because it may hold a secret).",
        )
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=host), unquote(user)


def _phrase(error: Exception) -> str:
    """What went wrong in words; the messages of httpx may quote the address."""
    import httpx

    if isinstance(error, httpx.ConnectError):
        return "cannot connect"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection was closed without an answer, or the answer is not HTTP"
    return type(error).__name__
