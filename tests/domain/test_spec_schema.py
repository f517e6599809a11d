"""The published JSON Schema and the list of keys say what the code does."""

from __future__ import annotations

import tomllib

import jsonschema
import pytest

from bluegreen.domain.errors import ConfigurationError
from bluegreen.spec.keys import NOT_SET, REQUIRED, configuration_keys
from bluegreen.spec.schema import PUBLISHED, json_schema, published_text
from tests.domain.spec_documents import CONTAINERS, FULL, SMALL, parsed


def test_the_published_schema_is_the_generated_one() -> None:
    assert PUBLISHED.read_text() == published_text(), "type: python -m bluegreen.spec.schema"


def test_it_is_a_schema_of_the_draft_it_names() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("text", ["", SMALL, FULL, CONTAINERS])
def test_it_accepts_what_the_code_accepts(text: str) -> None:
    parsed(text)
    jsonschema.Draft202012Validator(json_schema()).validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "change",
    [
        "polcy = {}",
        "replicas = 0",
        "replicas = true",
        'replicas = "3"',
        "health = { rise = 0 }",
        'protocol = "h3"',
        'image = ["a"]',
        "env = { A-B = 'x' }",
        "env = { A = 1 }",
        "policy = { max_error_rate = 1.5 }",
        "smoke = [{ max_seconds = 1 }]",
        "smoke = [{ request = 'GET /', command = ['x'] }]",
        "smoke = [{ request = 'GET /', json = 1, body = 'x' }]",
        "smoke = [{ request = '/predict' }]",
        "smoke = [{ command = [] }]",
    ],
)
def test_it_refuses_what_the_code_refuses(change: str) -> None:
    text = '[services.api]\nhosts = ["*"]\ncommand = ["x"]\n' + change
    with pytest.raises(ConfigurationError):
        parsed(text)
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(tomllib.loads(text))


@pytest.mark.parametrize("name", ["Api", "-a", "a" * 41])
def test_it_refuses_bad_service_names(name: str) -> None:
    document = {"services": {name: {"hosts": ["*"], "command": ["x"]}}}
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(document)


def test_every_key_is_listed_with_type_default_and_description() -> None:
    keys = {key.path: key for key in configuration_keys()}
    assert [key for key in keys.values() if not (key.default and key.description.endswith("."))] == []
    assert (keys["services.NAME.health.rise"].type, keys["services.NAME.health.rise"].default) == (
        "whole number",
        "2",
    )
    assert keys["services.NAME.hosts"].default == REQUIRED
    assert keys["services.NAME.command"].default == NOT_SET
    assert keys["services.NAME.command"].type == "list of text"
    assert keys["services.NAME.policy.auto_promote"].default == "true"
    assert keys["services.NAME.smoke[].json"].type == "any value"
    assert keys["services.NAME.protocol"].type == '"http1" or "h2c"'
    assert keys["capacity.gpus"].default == NOT_SET
    assert keys["daemon.state_dir"].default == '".bluegreen"'


def test_the_full_example_of_these_tests_has_every_key() -> None:
    def paths(value: object, at: str) -> set[str]:
        if isinstance(value, dict) and not at.endswith((".env", ".labels", ".headers", ".secrets", "json")):
            return set().union(*(paths(item, f"{at}.{key}") for key, item in value.items()))
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return set().union(*(paths(item, f"{at}[]") for item in value))
        return {at.lstrip(".").replace(".inference-model", ".NAME")}

    alternatives = {"alerts.webhook_url", "services.NAME.smoke[].body", "metrics.prometheus.bearer_token_env"}
    alternatives |= {f"runtime.{key}" for key in ("address", "tls_ca", "tls_certificate", "tls_key")}
    found = paths(tomllib.loads(FULL), "") | paths(tomllib.loads(CONTAINERS), "")
    assert found | alternatives == {key.path for key in configuration_keys()}
