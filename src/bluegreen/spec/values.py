"""The kinds of text in the file. Each refuses with a sentence that goes behind the key's path."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from bluegreen.domain.errors import UsageError
from bluegreen.domain.model import Endpoint, ImageReference
from bluegreen.spec.engine_host import ENGINE_PATTERN, engine_host, published_address
from bluegreen.spec.placeholders import problem_in
from bluegreen.spec.toml_text import toml_text

SERVICE_NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
SERVICE_NAME_MAX_LENGTH = 40
_HOST_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
HOST_PATTERN = rf"^(\*|(\*\.)?{_HOST_LABEL}(\.{_HOST_LABEL})*)$"
REQUEST_PATTERN = r"^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[!-~]*$"
PATH_PATTERN = r"^/[!-~]*$"
ENVIRONMENT_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
LABEL_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$"
NETWORK_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
HEADER_NAME_PATTERN = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
_OWN_HEADERS = ("content-length", "transfer-encoding", "connection")


def _matches(pattern: str, text: str) -> bool:
    # fullmatch, because `$` alone would let a newline at the end pass.
    return re.fullmatch(pattern.removeprefix("^").removesuffix("$"), text) is not None


def _text(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _nonempty(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return _text(value)


def _templated(value: str) -> str:
    if problem := problem_in(value):
        raise ValueError(problem)
    return _text(value)


def _with_program(value: list[str]) -> list[str]:
    if not value or not value[0].strip():
        raise ValueError("must start with a program")
    return value


def service_name(value: str) -> str:
    if len(value) > SERVICE_NAME_MAX_LENGTH:
        raise ValueError(f"a service name has at most {SERVICE_NAME_MAX_LENGTH} characters, this one has {len(value)}")
    if not _matches(SERVICE_NAME_PATTERN, value):
        raise ValueError("a service name has only a-z, 0-9 and -, and a - neither first nor last")
    return value


def _host(value: str) -> str:
    if re.search(r":\d*$", value):
        raise ValueError(f"must be a host without a port, got {toml_text(value)}")
    if len(value) > 253 or not _matches(HOST_PATTERN, value):
        raise ValueError(f'must be a host such as "api.example.com", "*.example.com" or "*", got {toml_text(value)}')
    return value


def _image(value: str) -> str:
    try:
        ImageReference.parse(value)
    except UsageError:
        raise ValueError(
            f'must be repository:tag, such as "registry/inference-model:v2.0", got {toml_text(value)}'
        ) from None
    return value


def _path(value: str) -> str:
    if not _matches(PATH_PATTERN, value):
        raise ValueError(f'must start with "/" and have no spaces, got {toml_text(value)}')
    return value


def _request(value: str) -> str:
    if not _matches(REQUEST_PATTERN, value):
        raise ValueError(f'must be a method and a path, such as "POST /predict", got {toml_text(value)}')
    return value


def _environment_name(value: str) -> str:
    if not _matches(ENVIRONMENT_NAME_PATTERN, value):
        raise ValueError("the name of an environment variable has only letters, digits and _")
    return value


def _label(value: str) -> str:
    if len(value) > 253 or not _matches(LABEL_PATTERN, value):
        raise ValueError("a label has only letters, digits and . _ / - and starts and ends with one of the first")
    return value


def _network(value: str) -> str:
    if not _matches(NETWORK_PATTERN, value):
        raise ValueError(f"must be the name of a network, got {toml_text(value)}")
    if value in ("host", "none"):
        raise ValueError(f"must be a network on which ports are published, not {toml_text(value)}")
    return value


def _header_name(value: str) -> str:
    if not _matches(HEADER_NAME_PATTERN, value):
        raise ValueError("is not the name of an HTTP header")
    if value.lower() in _OWN_HEADERS:
        raise ValueError("is set by bluegreen itself")
    return value


def _header_value(value: str) -> str:
    if not _matches(r"[\t\x20-\x7e]*", value):
        raise ValueError("must be one line of ASCII text")
    return value


def _expression(value: str) -> str:
    # Only a file with `expect_json` pays for the import.
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(value)
    except (JMESPathError, ValueError, RecursionError):
        raise ValueError("is not a JMESPath expression") from None
    return value


def _json(value: Any) -> Any:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("must be something JSON has: no dates, times, inf or nan") from None
    return value


def parse_listen(value: str) -> Endpoint:
    """`127.0.0.1:8080`, `0.0.0.0:80`, `localhost:8080` or `[::1]:8080`. Raises ValueError."""
    host, _, port = value.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    known = bare == host == "localhost"
    if not known:
        try:
            # Brackets mean IPv6 and nothing else, so that the last colon is always the port's.
            known = ipaddress.ip_address(bare).version == (4 if bare == host else 6)
        except ValueError:
            known = False
    if not known or not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(
            f'must be an address and a port from 1 to 65535, such as "127.0.0.1:8080", got {toml_text(value)}'
        )
    return Endpoint(bare, int(port))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address of `parse_listen`."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _listen(value: str) -> str:
    parse_listen(value)
    return value


def _web_address(value: str) -> str:
    # The address itself is not repeated: it often holds a secret.
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", value)
    except ValueError:
        good = False
    if not good:
        raise ValueError("must be an http:// or https:// address")
    return _text(value)


def _pattern(pattern: str, **more: Any) -> Any:
    return Field(json_schema_extra={"pattern": pattern, **more})


def _named(pattern: str) -> Any:
    return Field(json_schema_extra={"propertyNames": {"pattern": pattern}})


_NOT_EMPTY = Field(json_schema_extra={"minItems": 1})

Text = Annotated[str, AfterValidator(_text)]
NonemptyText = Annotated[str, AfterValidator(_nonempty), Field(json_schema_extra={"minLength": 1})]
TemplatedText = Annotated[str, AfterValidator(_templated)]
Command = Annotated[list[TemplatedText], AfterValidator(_with_program), _NOT_EMPTY]
SmokeCommand = Annotated[list[Text], AfterValidator(_with_program), _NOT_EMPTY]
ServiceName = Annotated[str, AfterValidator(service_name)]
Host = Annotated[str, AfterValidator(_host), _pattern(HOST_PATTERN, maxLength=253)]
Image = Annotated[str, AfterValidator(_image), Field(json_schema_extra={"examples": ["model:v2.0"]})]
UrlPath = Annotated[str, AfterValidator(_path), _pattern(PATH_PATTERN)]
Request = Annotated[str, AfterValidator(_request), _pattern(REQUEST_PATTERN)]
EnvironmentName = Annotated[str, AfterValidator(_environment_name), _pattern(ENVIRONMENT_NAME_PATTERN)]
Label = Annotated[str, AfterValidator(_label), _pattern(LABEL_PATTERN)]
HeaderName = Annotated[str, AfterValidator(_header_name), _pattern(HEADER_NAME_PATTERN)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]
Expression = Annotated[str, AfterValidator(_expression)]
JsonValue = Annotated[Any, AfterValidator(_json)]
Listen = Annotated[str, AfterValidator(_listen), Field(json_schema_extra={"examples": ["127.0.0.1:8080"]})]
Engine = Annotated[str, AfterValidator(engine_host), _pattern(ENGINE_PATTERN)]
PublishedAddress = Annotated[str, AfterValidator(published_address), Field(json_schema_extra={"format": "ipv4"})]
Network = Annotated[str, AfterValidator(_network), _pattern(NETWORK_PATTERN)]
WebAddress = Annotated[str, AfterValidator(_web_address), _pattern("^https?://")]
Environment = Annotated[dict[EnvironmentName, TemplatedText], _named(ENVIRONMENT_NAME_PATTERN)]
Labels = Annotated[dict[Label, Text], _named(LABEL_PATTERN)]
Headers = Annotated[dict[HeaderName, HeaderValue], _named(HEADER_NAME_PATTERN)]
