"""One POST to an address of the user's, told apart into arrived and not arrived."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from bluegreen.domain.errors import AdapterError, UsageError

if TYPE_CHECKING:
    import ssl


class HttpPost:
    """POSTs JSON. Any answer of 200 to 299 is success.

    The address often is the secret (a token in its path, query or user part), so errors name only its host.
    It is asked directly: no proxy from the environment, no redirect is followed. Every POST has a connection of its
    own: alerts are rare, and one that was kept open may be dead by the next.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 5.0, headers: Mapping[str, str] | None = None) -> None:
        """`timeout_seconds` bounds a POST as a whole. Raises UsageError for what is no http(s) address."""
        self.url, user = _without_user(url)
        self.label = f"{self.url.scheme}://{self.url.netloc}/…"
        self._timeout_seconds = timeout_seconds
        self._headers = {"content-type": "application/json", "user-agent": "bluegreen", **(headers or {})}
        if user:
            self._headers["authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        self._trust: ssl.SSLContext | None = None

    async def send(self, body: bytes, headers: Mapping[str, str], what: str) -> None:
        """Raises AdapterError, which calls the body `what`, when it was not accepted."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status = await self._post(body, headers)
        except TimeoutError:
            raise self._failure(what, f"no answer within {self._timeout_seconds:g} s") from None
        except OSError as error:
            raise self._failure(what, error.strerror or type(error).__name__) from None
        if not 200 <= status <= 299:
            raise self._failure(what, f"HTTP {status}")

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer. Raises OSError when there is none."""
        # Imported late: most commands send no alert, and this import is a large part of a command's start.
        import httpx

        if self._trust is None and self.url.scheme == "https":
            # In a thread, because loading the certificate authorities takes long enough to be noticed.
            self._trust = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
        try:
            request = httpx.Request(
                "POST",
                self.url.geturl(),
                headers={**self._headers, **headers, "content-length": str(len(body))},
                content=body,
            )
            # The transport, not a client: a client writes the whole address to the log of httpx.
            async with httpx.AsyncHTTPTransport(
                verify=self._trust if self._trust is not None else False, trust_env=False
            ) as transport:
                response = await transport.handle_async_request(request)
                await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise OSError(0, _phrase(error)) from None
        return response.status_code

    def _failure(self, what: str, cause: str) -> AdapterError:
        return AdapterError(
            f"{what} was not delivered to {self.label}: {cause}",
            hint="Check [alerts] in the configuration; the alert is in the log too.",
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
            "alerts: an address is not an http or https address",
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
