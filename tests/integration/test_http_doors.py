"""The door for tokens, with real tokens in a real file: who is let in, who is turned away, and what is written down."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from examples.system import free_port

from bluegreen.control.authentication import Authenticator
from bluegreen.domain.access import Scope
from bluegreen.domain.model import Endpoint
from bluegreen.domain.tokens import Token, digest, text_of
from bluegreen.interfaces.http.doors import with_tokens
from bluegreen.interfaces.http.server import TcpDoor
from bluegreen.spec.configuration import ApiSettings
from bluegreen.stores.tokens import TokenFile
from tests.integration.api_support import HOST, ApiWorld

SECRET = "a" * 52
PAGE = "https://console.example"


class Guarded:
    """A world behind the door for tokens. `token` makes one and gives its text."""

    def __init__(self, world: ApiWorld, directory: Path) -> None:
        self.world = world
        self.file = TokenFile(directory / "tokens.json")
        self.authenticator = Authenticator(self.file, world.clock, requests_per_second=1000, burst=1000)
        self.app = with_tokens(world.api, self.authenticator, settings=world.settings, gate=world.gate)
        transport = httpx.ASGITransport(app=self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}")
        self._made = 0

    def token(self, scope: Scope = Scope.READ, **more: object) -> str:
        self._made += 1
        token_id = f"tkn2345{'bcdfghjkmn'[self._made]}"
        now = self.world.clock.now()
        made = Token(token_id, f"name-{self._made}", digest(SECRET), scope, now, **more)  # type: ignore[arg-type]
        self.file.add(made)
        return text_of(token_id, SECRET)

    async def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        given = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
        return await self.client.get(path, headers=given)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    settings = ApiSettings(hosts=(HOST,), origins=(PAGE,))
    async with ApiWorld(settings=settings) as world:
        made = Guarded(world, tmp_path)
        yield made
        await made.client.aclose()
        made.file.close()


async def test_a_token_opens_what_its_scope_allows(guarded: Guarded) -> None:
    reader = guarded.token(Scope.READ)
    assert (await guarded.get("/v1/services", reader)).status_code == 200
    refused = await guarded.client.post("/v1/services/app/rollback", headers={"Authorization": f"Bearer {reader}"})
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert "takes scope switch" in refused.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/services", "/v1/status", "/metrics", "/mcp", "/v1/operations/services"])
async def test_nothing_that_tells_something_answers_without_a_token(guarded: Guarded, path: str) -> None:
    answer = await guarded.get(path)
    assert (answer.status_code, answer.headers["www-authenticate"][:6]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
async def test_what_tells_nothing_needs_none(guarded: Guarded, path: str) -> None:
    assert (await guarded.get(path)).status_code == 200


async def test_wrong_expired_and_revoked_tokens_are_turned_away(guarded: Guarded) -> None:
    right = guarded.token()
    wrong = right[:-1] + ("b" if right[-1] == "a" else "a")
    unknown = right.replace("tkn2345", "tkn9999")
    answers = [await guarded.get("/v1/services", token) for token in (wrong, unknown, "nonsense")]
    assert {(answer.status_code, answer.json()["detail"]) for answer in answers} == {
        (401, "authorization: this token is not known here")
    }
    expired = await guarded.get("/v1/services", guarded.token(expires_at=guarded.world.clock.now() - 1))
    assert (expired.status_code, "expired" in expired.json()["detail"]) == (401, True)
    guarded.file.revoke("name-1", guarded.world.clock.now())
    assert (await guarded.get("/v1/services", right)).status_code == 401
    assert [entry.who for entry in guarded.world.audit.entries]
    assert SECRET not in repr(guarded.world.audit.entries)


async def test_a_token_for_one_service_sees_no_other(guarded: Guarded) -> None:
    token = guarded.token(Scope.ADMIN, services=frozenset({"other"}))
    assert (await guarded.get("/v1/services", token)).json() == {"services": ["other"]}
    for path in ("/v1/services/app", "/v1/services/app/logs", "/v1/routes/app"):
        answer = await guarded.get(path, token)
        assert (answer.status_code, "may not use 'app'" in answer.text) == (403, True)


async def test_another_host_name_is_refused_whatever_the_token(guarded: Guarded) -> None:
    token = guarded.token(Scope.ADMIN)
    for host in ("evil.example", "127.0.0.1", f"{HOST}.evil.example", ""):
        assert (await guarded.get("/v1/services", token, Host=host)).status_code == 403
    assert (await guarded.get("/v1/services", token, Host=f"{HOST}:7070")).status_code == 200


async def test_web_pages_are_let_in_by_name_only(guarded: Guarded) -> None:
    token = guarded.token()
    assert (await guarded.get("/v1/services", token, Origin="https://evil.example")).status_code == 403
    listed = await guarded.get("/v1/services", token, Origin=PAGE)
    assert (listed.status_code, listed.headers["access-control-allow-origin"]) == (200, PAGE)
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    assert (await guarded.client.options("/v1/alerts", headers=asked)).status_code == 204


async def test_a_token_that_asks_too_often_is_told_when_to_come_back(guarded: Guarded) -> None:
    token = guarded.token(requests_per_second=1.0, burst=3)
    answers = [await guarded.get("/v1/services", token) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    other = guarded.token()
    assert (await guarded.get("/v1/services", other)).status_code == 200


async def test_off_loopback_the_door_speaks_tls(guarded: Guarded, tmp_path: Path) -> None:
    certificate = tmp_path / "both.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
         "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(tmp_path / "key.pem"),
         "-out", str(tmp_path / "c.pem")],
        capture_output=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    certificate.write_bytes((tmp_path / "c.pem").read_bytes() + (tmp_path / "key.pem").read_bytes())
    address = Endpoint("127.0.0.1", free_port())
    door = TcpDoor(guarded.app, address, certificate=certificate)
    await door.open()
    try:
        trusted = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        async with httpx.AsyncClient(verify=trusted, trust_env=False) as client:
            answer = await client.get(
                f"https://127.0.0.1:{address.port}/v1/services",
                headers={"Host": HOST, "Authorization": f"Bearer {guarded.token()}"},
                extensions={"sni_hostname": HOST},
            )
        assert answer.json() == {"services": ["app", "other"]}
    finally:
        await door.close()
