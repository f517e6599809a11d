"""[runtime]: processes unless it says containers, and what each asks of the services."""

from __future__ import annotations

import pytest

from bluegreen.domain.errors import ConfigurationError
from bluegreen.spec.configuration import RuntimeSettings
from bluegreen.spec.convert import to_table
from bluegreen.spec.differences import differences
from tests.domain.spec_documents import parsed

SERVICE = '[services.api]\nhosts = ["*"]\n'
COMMAND = 'command = ["./api"]\n'
DOCKER = '[runtime]\nkind = "docker"\n'


def test_processes_are_the_default() -> None:
    assert parsed(SERVICE + COMMAND).runtime == RuntimeSettings("process", "unix:///run/docker.sock", "")


def test_containers_may_do_without_a_command() -> None:
    told = DOCKER + 'host = "unix:///run/user/1000/docker.sock"\nnetwork = "apps"\n'
    configuration = parsed(told + SERVICE)
    assert configuration.runtime == RuntimeSettings("docker", "unix:///run/user/1000/docker.sock", "apps")
    assert configuration.services["api"].command == ()
    assert "command" not in to_table(configuration.services["api"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SERVICE, "services.api.command: is missing"),
        ('[runtime]\nhost = "unix:///a"\n', 'runtime.host: only goes with kind = "docker"'),
        ('[runtime]\nnetwork = "a"\n', 'runtime.network: only goes with kind = "docker"'),
        ('[runtime]\nkind = "podman"\n', 'runtime.kind: must be "process" or "docker", got "podman"'),
        (
            DOCKER + 'host = "tcp://10.0.0.1:2376"\n',
            "runtime.host: must be a socket of this machine, such as "
            '"unix:///run/docker.sock", got "tcp://10.0.0.1:2376"',
        ),
        (
            DOCKER + 'network = "host"\n',
            'runtime.network: must be a network on which ports are published, not "host"',
        ),
        (DOCKER + 'network = "a b"\n', 'runtime.network: must be the name of a network, got "a b"'),
        (DOCKER + SERVICE + 'workdir = "app"\n', "services.api.workdir: must be an absolute path in the container"),
        (DOCKER + SERVICE + "command = []\n", "services.api.command: must start with a program"),
    ],
)
def test_what_does_not_go_together_is_said(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    assert caught.value.problems == (problem,)


def test_another_runtime_needs_a_restart() -> None:
    changed = differences(parsed(SERVICE + COMMAND), parsed(DOCKER + SERVICE + COMMAND))
    assert changed.needs_restart == ('runtime.kind: "process" → "docker"',)
