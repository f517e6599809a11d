"""The configuration without its secrets: the same shape, the same values, and nothing that was hidden."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluegreen.domain.errors import UsageError
from bluegreen.interfaces.mcp.configuration_text import masked_configuration, read_masked, toml

SECRET = "hunter2"

keys = st.text(st.characters(codec="utf-8"), max_size=6)
plain = (
    st.text(st.characters(codec="utf-8"), max_size=12)
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.datetimes()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.dates()
    | st.times()
)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


@given(st.dictionaries(keys, values, max_size=5))
def test_what_is_written_reads_back_the_same(document: dict[str, Any]) -> None:
    assert tomllib.loads(toml(document)) == document


@pytest.mark.parametrize(
    "line",
    [
        f'[services.app]\nenv = {{ PASSWORD = "{SECRET}" }}',
        f'[services.app.env]\nPASSWORD = "{SECRET}"',
        f'[services.env]\nenv = {{ A = "{SECRET}" }}',
        f'[[services.app.smoke]]\nrequest = "GET /"\nheaders = {{ Authorization = "Bearer {SECRET}" }}',
        f'[alerts]\nwebhook_url = "https://example.com/{SECRET}"',
        f'[[alerts.sink]]\nkind = "apprise"\nurl = "mailto://a:{SECRET}@example.com"',
        f'[[alerts.sink]]\nkind = "apprise"\nurls = ["slack://{SECRET}", "b"]',
        f'[daemon]\ndatabase = "postgresql://ada:{SECRET}@db/events"',
        f'[later]\ntoken = "{SECRET}"\npassword = "{SECRET}"\nsigning_secret = "{SECRET}"\napi_key = "{SECRET}"',
        f"# a comment about {SECRET}\n[daemon]\n",
    ],
)
def test_secrets_are_masked_and_every_key_stays(line: str) -> None:
    shown = masked_configuration(line)
    assert SECRET not in shown
    assert _keys(tomllib.loads(shown)) == _keys(tomllib.loads(line))


@pytest.mark.parametrize(
    "text",
    [
        '[services.env]\nimage = "env:v1"\nhosts = ["*"]\n',
        '[services.token]\nimage = "registry.example:5000/token:v1"\n',
        '[alerts]\nwebhook_url_env = "ALERT_URL"\n\n[[alerts.sink]]\nsecret_env = "SIGNING"\n',
        '[services.app]\nlabels = { team = "a" }\n\n[services.app.health]\npath = "/health"\ninterval_seconds = 0.5\n',
    ],
)
def test_what_is_no_secret_is_shown(text: str) -> None:
    assert tomllib.loads(masked_configuration(text)) == tomllib.loads(text)


def test_other_services_are_left_out() -> None:
    text = '[daemon]\nlog_level = "info"\n[services.a]\nimage = "a:1"\n[services.b]\nimage = "b:1"\n'
    shown = tomllib.loads(masked_configuration(text, services=frozenset({"b", "c"})))
    assert shown == {"daemon": {"log_level": "info"}, "services": {"b": {"image": "b:1"}}}


def test_a_file_that_cannot_be_read_is_an_error_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "bluegreen.toml"
    with pytest.raises(UsageError, match=r"bluegreen\.toml can't be read"):
        read_masked(path)
    path.write_text(f"[services\npassword = {SECRET}")
    with pytest.raises(UsageError, match="is not TOML at the moment") as caught:
        read_masked(path)
    assert SECRET not in str(caught.value)


def _keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _keys(item) for key, item in value.items()}
    if isinstance(value, list):
        tables = [_keys(item) for item in value if isinstance(item, dict)]
        return tables or None
    return None
