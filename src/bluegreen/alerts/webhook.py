"""Alerts as HTTP POST to an address of the user's."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict

from bluegreen.alerts.http_post import HttpPost
from bluegreen.control.ports import Alert


class WebhookSink:
    """POSTs each alert as a JSON object with the fields of `Alert`. Any answer of 200 to 299 is success.

    `Idempotency-Key` is the alert's id, the same at every repetition. With a secret, `X-Bluegreen-Signature` is
    `sha256=` and the HMAC of `<X-Bluegreen-Timestamp>.<body>` in hex; the timestamp is in seconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        timeout_seconds: float = 5.0,
        *,
        name: str = "webhook",
        secret: str = "",
        headers: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`timeout_seconds` bounds a delivery as a whole. Raises UsageError for what is no http(s) address."""
        self.name = name
        self._post = HttpPost(url, timeout_seconds=timeout_seconds, headers=headers)
        self._secret = secret.encode()
        self._now = now

    async def deliver(self, alert: Alert) -> None:
        body = json.dumps(asdict(alert)).encode()
        timestamp = str(int(self._now()))
        headers = {"idempotency-key": _ascii(alert.id), "x-bluegreen-timestamp": timestamp}
        if self._secret:
            headers["x-bluegreen-signature"] = signature(self._secret, timestamp, body)
        await self._post.send(body, headers, f"alert {alert.name!r} of {alert.service!r}")


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What a receiver computes too and compares, in constant time, with the header."""
    return f"sha256={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def _ascii(text: str) -> str:
    """Ids are plain words; whatever else comes here must not break a header."""
    return "".join(letter if "!" <= letter <= "~" else "_" for letter in text)
