"""`[api]` and `[policy]` of the file: what arrives, what is refused, what a reload says."""

from __future__ import annotations

import pytest

from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.model import Endpoint
from bluegreen.spec.configuration import ApiSettings, PolicySettings
from bluegreen.spec.differences import differences
from tests.domain.spec_documents import SMALL, parsed


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    return list(caught.value.problems)


def test_without_the_tables_there_is_no_door_and_no_list() -> None:
    configuration = parsed(SMALL)
    assert configuration.api == ApiSettings()
    assert configuration.api.listen is None
    assert configuration.policy == PolicySettings(images=None, orphan_seconds=3600.0)
    assert (configuration.api.requests_per_second, configuration.api.burst) == (50.0, 100)
    assert configuration.api.max_body_bytes == 1024 * 1024


@pytest.mark.parametrize(
    ("listen", "hosts"),
    [
        ("127.0.0.1:8443", ("127.0.0.1", "localhost", "::1")),
        ("127.0.0.5:8443", ("127.0.0.5", "localhost", "127.0.0.1", "::1")),
        ("localhost:8443", ("localhost", "127.0.0.1", "::1")),
        ("[::1]:8443", ("::1", "localhost", "127.0.0.1")),
    ],
)
def test_on_loopback_the_names_of_this_machine_are_allowed(listen: str, hosts: tuple[str, ...]) -> None:
    assert parsed(f'[api]\nlisten = "{listen}"').api.hosts == hosts


def test_elsewhere_only_the_address_itself_is_unless_others_are_named() -> None:
    tls = '[api]\nlisten = "10.0.0.7:8443"\ncertificate = "api.pem"\n'
    assert parsed(tls).api.listen == Endpoint("10.0.0.7", 8443)
    assert parsed(tls).api.hosts == ("10.0.0.7",)
    assert parsed(tls + 'hosts = ["Deploy.Example.com", "fe80::1"]').api.hosts == ("deploy.example.com", "fe80::1")


CLEAR = "is not on this machine alone, and tokens would cross the network in clear"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[api]\nlisten = "10.0.0.7:80"',
            f"api.listen: 10.0.0.7:80 {CLEAR}; set api.certificate, or listen on 127.0.0.1",
        ),
        (
            '[api]\nlisten = "[fe80::1]:80"',
            f"api.listen: [fe80::1]:80 {CLEAR}; set api.certificate, or listen on 127.0.0.1",
        ),
        (
            '[api]\nlisten = "0.0.0.0:80"\ncertificate = "a.pem"',
            "api.hosts: is missing: 0.0.0.0:80 is every address of this machine; "
            "name the hosts that clients may call it by",
        ),
        ('[api]\nlistne = "x"', "api.listne: unknown key; did you mean 'listen'?"),
        (
            '[api]\nlisten = "8080"',
            'api.listen: must be an address and a port from 1 to 65535, such as "127.0.0.1:8080", got "8080"',
        ),
        (
            '[api]\nhosts = ["*"]',
            'api.hosts[0]: must be a host name or address without a port, such as "deploy.example.com", got "*"',
        ),
        (
            '[api]\nhosts = ["a:80"]',
            'api.hosts[0]: must be a host name or address without a port, such as "deploy.example.com", got "a:80"',
        ),
        (
            '[api]\norigins = ["*"]',
            'api.origins[0]: must be an origin without a path, such as "https://console.example.com", got "*"',
        ),
        (
            '[api]\norigins = ["https://a/"]',
            'api.origins[0]: must be an origin without a path, such as "https://console.example.com", got "https://a/"',
        ),
        ("[api]\nrequests_per_second = 0", "api.requests_per_second: must be > 0, got 0"),
        ("[api]\nburst = 0", "api.burst: must be ≥ 1, got 0"),
        ("[api]\nmax_body_bytes = 1", "api.max_body_bytes: must be ≥ 1024, got 1"),
        ("[policy]\nimages = []", "policy.images: must not be empty"),
        (
            '[policy]\nimages = ["a b"]',
            'policy.images[0]: must be an image with * and ? in it, such as "registry/*" or "registry/model:v2*", '
            'got "a b"',
        ),
        (
            '[policy]\nimages = ["registry/../x"]',
            'policy.images[0]: must be an image with * and ? in it, such as "registry/*" or "registry/model:v2*", '
            'got "registry/../x"',
        ),
        ("[policy]\norphan_seconds = 0", "policy.orphan_seconds: must be ≥ 1, got 0"),
        (
            SMALL + '[policy]\nimages = ["registry/*"]',
            'services.api.image: "api:v1" is none of policy.images; it can never be deployed',
        ),
    ],
)
def test_what_is_wrong_is_said_behind_the_key(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_all_that_is_wrong_with_an_open_door_is_said_at_once() -> None:
    found = problems_of('[api]\nlisten = "0.0.0.0:80"\nburst = true')
    assert [line.partition(":")[0] for line in found] == ["api.burst", "api.hosts", "api.listen"]


@pytest.mark.parametrize(
    "text", ["[api]\nlisten = 3", "api = 3", "policy = 3", "[policy]\nimages = 3", "[policy]\nimages = [3]"]
)
def test_wrong_types_are_told_once(text: str) -> None:
    assert len(problems_of(text)) == 1


def test_origins_may_have_a_port_and_are_compared_in_lower_case() -> None:
    origins = parsed('[api]\norigins = ["http://Localhost:3000", "https://[::1]:8443"]').api.origins
    assert origins == ("http://localhost:3000", "https://[::1]:8443")


def test_the_policy_is_applied_by_a_reload_and_the_door_takes_a_restart() -> None:
    before = SMALL + '[api]\nlisten = "127.0.0.1:1"\n'
    after = SMALL + '[api]\nlisten = "127.0.0.1:2"\nburst = 5\n[policy]\nimages = ["api"]\norphan_seconds = 60\n'
    result = differences(parsed(before), parsed(after))
    assert set(result.applied) == {"policy.images: added", "policy.orphan_seconds: 3600 → 60"}
    assert set(result.needs_restart) == {'api.listen: "127.0.0.1:1" → "127.0.0.1:2"', "api.burst: 100 → 5"}
