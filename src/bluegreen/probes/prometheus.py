"""Asks the user's Prometheus, or what speaks as one (VictoriaMetrics, Thanos, Mimir): `POST /api/v1/query`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from bluegreen.control.analysis_ports import NoSource
from bluegreen.domain.analysis import QueryResult
from bluegreen.probes.health_get import MAX_BODY_BYTES, USER_AGENT
from bluegreen.probes.prometheus_answer import read_answer
from bluegreen.probes.smoke_request import Answer, one_line
from bluegreen.spec.metrics_settings import PrometheusSettings

if TYPE_CHECKING:
    import httpx

_WANT_GET = (405, 501)
"""What a proxy says that lets no POST through."""
_MAX_TOKEN_BYTES = 64 * 1024


class _NoTokenError(Exception):
    """The message says why, and what to do."""


class PrometheusSource:
    """Implements `AnalysisSource`. A connection per query, no proxies, no redirects; a token file is read anew each
    time, so that a token may be exchanged. `settings` may be replaced at any time, None when nobody is to be asked;
    queries under way end with the old ones.
    """

    def __init__(self, settings: PrometheusSettings | None, environment: Mapping[str, str]) -> None:
        self.settings = settings
        self._environment = environment
        self._transports: dict[Path | None, httpx.AsyncHTTPTransport] = {}

    @property
    def max_sample_age_seconds(self) -> float:
        return self.settings.max_sample_age_seconds if self.settings else 0.0

    async def query(self, query: str, *, timeout_seconds: float) -> QueryResult:
        settings = self.settings
        if settings is None:
            return await NoSource().query(query, timeout_seconds=timeout_seconds)
        import httpx

        seconds = min(timeout_seconds, settings.timeout_seconds)
        where = f"Prometheus at {urlsplit(settings.url).netloc}"
        try:
            async with asyncio.timeout(seconds):
                return read_answer(await self._ask(settings, query, seconds), where)
        except _NoTokenError as error:
            return QueryResult(problem=str(error))
        except TimeoutError:
            told = f"no complete answer within {seconds:g} s from {where}; see whether it is well, or ask for less"
            return QueryResult(problem=told)
        except (httpx.ConnectError, ssl.SSLError) as error:
            told = f"{where} can't be reached ({_named(error)}); see whether it runs, and check [metrics.prometheus]"
            return QueryResult(problem=told)
        except (httpx.HTTPError, OSError) as error:
            return QueryResult(
                problem=f"no complete HTTP answer from {where} ({_named(error)}); see what is wrong there"
            )

    async def prepare(self) -> None:
        """What takes long the first time, so that it is not done right after a switch."""
        if self.settings is not None:
            import httpx  # noqa: F401

            with suppress(OSError):
                await self._transport(self.settings.ca_file)

    async def aclose(self) -> None:
        transports = list(self._transports.values())
        self._transports.clear()
        for transport in transports:
            await transport.aclose()

    async def _ask(self, settings: PrometheusSettings, query: str, seconds: float) -> Answer:
        transport = await self._transport(settings.ca_file)
        headers = {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity"}
        token = await asyncio.to_thread(_token, settings, self._environment)
        if token:
            headers["authorization"] = f"Bearer {token}"
        # How far back to look for the newest sample: newer Prometheis and VictoriaMetrics call it differently, and each
        # takes no notice of what it does not know. Prometheus 2.42 knows neither and looks back five minutes.
        age = f"{settings.max_sample_age_seconds:g}s"
        form = urlencode({"query": query, "timeout": f"{seconds:g}s", "lookback_delta": age, "max_lookback": age})
        url = f"{settings.url}/api/v1/query"
        posted = headers | {"content-type": "application/x-www-form-urlencoded"}
        answer = await _fetch(transport, "POST", url, posted, form.encode())
        if answer.status in _WANT_GET:
            answer = await _fetch(transport, "GET", f"{url}?{form}", headers, None)
        return answer

    async def _transport(self, ca_file: Path | None) -> httpx.AsyncHTTPTransport:
        if ca_file not in self._transports:
            # In a thread: it reads the machine's certificates, 20 ms during which nothing else would be decided.
            self._transports[ca_file] = await asyncio.to_thread(_new_transport, ca_file)
        return self._transports[ca_file]


async def _fetch(
    transport: httpx.AsyncHTTPTransport, method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> Answer:
    """With at most the first 1 MiB of the body. Raises httpx.HTTPError."""
    import httpx

    response = await transport.handle_async_request(httpx.Request(method, url, headers=dict(headers), content=body))
    try:
        kept = bytearray()
        async for chunk in response.aiter_raw():
            kept += chunk
            if len(kept) > MAX_BODY_BYTES:
                return Answer(response.status_code, bytes(kept[:MAX_BODY_BYTES]), complete=False)
        return Answer(response.status_code, bytes(kept))
    finally:
        await response.aclose()


def _new_transport(ca_file: Path | None) -> httpx.AsyncHTTPTransport:
    """Raises OSError when the file can't be read, ssl.SSLError when it holds no certificate."""
    import httpx

    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        reason = error.strerror or "holds no PEM certificate"
        raise ssl.SSLError(f"metrics.prometheus.ca_file: {ca_file}: {reason.lower()}") from error
    return httpx.AsyncHTTPTransport(
        verify=context, trust_env=False, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0)
    )


def _token(settings: PrometheusSettings, environment: Mapping[str, str]) -> str:
    """ "" when none is configured. Raises _NoTokenError."""
    if settings.bearer_token_env is not None:
        key, name = "bearer_token_env", settings.bearer_token_env
        token, state = environment.get(name, ""), "is not set in the daemon's environment"
    elif settings.bearer_token_file is not None:
        key, name = "bearer_token_file", str(settings.bearer_token_file)
        try:
            with settings.bearer_token_file.open("rb") as file:
                token, state = file.read(_MAX_TOKEN_BYTES).decode(errors="replace"), "is empty"
        except OSError as error:
            raise _NoTokenError(f"metrics.prometheus.{key}: {name} can't be read: {error.strerror}") from error
    else:
        return ""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise _NoTokenError(f"metrics.prometheus.{key}: {name} {'holds no token' if token else state}")
    return token


def _named(error: BaseException) -> str:
    """What the system said, where it said something: "All connection attempts failed" hides why."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        if isinstance(cause, OSError) and cause.strerror:
            return one_line(cause.strerror.lower())
        cause = cause.__cause__ or cause.__context__
    return one_line(str(error)) or type(error).__name__
