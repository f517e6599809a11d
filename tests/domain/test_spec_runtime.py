"""[runtime]: processes unless it says containers, and what each asks of the services."""

from __future__ import annotations

from pathlib import Path

import pytest

from bluegreen.domain.capacity import requirements
from bluegreen.domain.container import ContainerSettings, Mount
from bluegreen.domain.errors import ConfigurationError
from bluegreen.domain.observation import Observation
from bluegreen.spec.configuration import RuntimeSettings
from bluegreen.spec.convert import to_table
from bluegreen.spec.differences import differences
from bluegreen.spec.engine_host import EngineHost, parse_engine_host
from tests.domain.spec_documents import CONTAINERS, parsed, toml_document

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
        (
            '[runtime]\nhost = "unix:///a"\n',
            'runtime.host: only goes with kind = "docker", or with a service that has it as runtime',
        ),
        (
            '[runtime]\nnetwork = "a"\n',
            'runtime.network: only goes with kind = "docker", or with a service that has it as runtime',
        ),
        ('[runtime]\nkind = "podman"\n', 'runtime.kind: must be "process" or "docker", got "podman"'),
        (
            DOCKER + 'host = "tcp://10.0.0.1:2375"\n',
            "runtime.host: is without TLS: whoever reaches that port is root on the engine's machine; "
            "set tls_ca, tls_certificate, tls_key, or use ssh://",
        ),
        (
            DOCKER + 'host = "tcp://10.0.0.1:2376"\ntls_ca = "ca.pem"\ntls_certificate = "own.pem"\n',
            "runtime.tls_key: is missing: tls_ca is set, and TLS takes tls_ca, tls_certificate, tls_key",
        ),
        (DOCKER + 'tls_ca = "ca.pem"\n', "runtime.tls_ca: only goes with a tcp:// host"),
        (DOCKER + 'host = "ssh://a@b"\ntls_key = "k.pem"\n', "runtime.tls_key: only goes with a tcp:// host"),
        (
            '[runtime]\naddress = "10.0.0.5"\n',
            'runtime.address: only goes with kind = "docker", or with a service that has it as runtime',
        ),
        (
            DOCKER + 'address = "engine.local"\n',
            'runtime.address: must be an IPv4 address of the engine\'s machine, such as "10.0.0.5", got "engine.local"',
        ),
        (
            DOCKER + 'address = "0.0.0.0"\n',
            'runtime.address: must be one address, under which this machine reaches the engine\'s, not "0.0.0.0"',
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


def test_everything_that_is_declared_of_containers_is_taken() -> None:
    configuration = parsed(CONTAINERS)
    spec = configuration.services["inference-model"]
    assert spec.runtime == "docker"
    assert spec.container == ContainerSettings(
        pull="always",
        port=8000,
        network="models",
        publish=False,
        healthcheck=False,
        shm_mb=1024,
        pids=512,
        read_only=True,
        cap_drop=("ALL", "NET_RAW"),
        user="1000:1000",
        tmpfs=("/tmp",),
        mounts=(Mount("/srv/app/models", "/models", read_only=True), Mount("cache", "/cache")),
        secrets={"token": "/srv/app/secrets/token"},
    )
    document = {"services": {spec.name: to_table(spec)}}
    assert parsed(toml_document(document)).services == {spec.name: spec}


CONTAINER = DOCKER + SERVICE + "[services.api.container]\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            SERVICE + COMMAND + "container = { port = 1 }\n",
            'services.api.container: only goes with containers: runtime = "docker"',
        ),
        (
            CONTAINER + "publish = false\n",
            "services.api.container.publish: needs a network when it is false; name it in network",
        ),
        (
            CONTAINER + 'tmpfs = ["/a"]\nmounts = [{ source = "a1", target = "/a/" }]\n',
            'services.api.container.tmpfs[0]: "/a" is already taken by mounts.0',
        ),
        (
            CONTAINER + 'secrets = { key = "k" }\nmounts = [{ source = "a1", target = "/run/secrets/key" }]\n',
            'services.api.container.secrets.key: "/run/secrets/key" is already taken by mounts.0',
        ),
        (
            CONTAINER + 'mounts = [{ source = "-", target = "/a" }]\n',
            'services.api.container.mounts[0].source: must be a path ("/srv/models", "./models") or the name of a '
            'volume ("models"), got "-"',
        ),
        (
            CONTAINER + 'mounts = [{ source = "/a", target = "../b" }]\n',
            'services.api.container.mounts[0].target: must be an absolute path in the container, such as "/data", '
            'got "../b"',
        ),
        (
            CONTAINER + 'cap_drop = ["everything"]\n',
            'services.api.container.cap_drop[0]: must be "ALL" or a capability such as "NET_RAW", got "everything"',
        ),
        (
            CONTAINER + 'user = "-1"\n',
            'services.api.container.user: must be a user, or user and group, such as "1000:1000", got "-1"',
        ),
        (
            CONTAINER + 'pull = "sometimes"\n',
            'services.api.container.pull: must be "always", "missing" or "never", got "sometimes"',
        ),
        (CONTAINER + "port = 0\n", "services.api.container.port: must be ≥ 1, got 0"),
    ],
)
def test_what_is_wrong_about_containers_is_said(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    assert caught.value.problems == (problem,)


def test_a_service_may_run_in_containers_beside_processes() -> None:
    configuration = parsed(SERVICE + 'runtime = "docker"\n[services.other]\nhosts = ["o.example"]\n' + COMMAND)
    assert {name: spec.runtime for name, spec in configuration.services.items()} == {
        "api": "docker",
        "other": "process",
    }


def test_what_both_versions_can_write_to_is_state_to_be_declared() -> None:
    told = (
        CONTAINER
        + 'mounts = [{ source = "/a", target = "/data" }, { source = "/b", target = "/b", read_only = true }]\n'
    )
    spec = parsed(told).services["api"]
    assert spec.keeps_state == "both versions can write to /data"
    (check,) = [each for each in requirements(spec, None, Observation()) if each.name.startswith("stateless")]
    assert not check.met
    assert check.detail == (
        "api: both versions can write to /data; say in services.api.state_handling how two versions share that"
    )


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("unix:///run/user/1000/prod.sock", EngineHost("unix", "/run/user/1000/prod.sock")),
        ("tcp://127.0.0.1:2375", EngineHost("tcp", "", "127.0.0.1", 2375)),
        ("tcp://[::1]:2376", EngineHost("tcp", "", "::1", 2376)),
        (
            "ssh://deploy@engine.example:2222",
            EngineHost("ssh", "/var/run/docker.sock", "engine.example", 2222, "deploy"),
        ),
        ("ssh://production", EngineHost("ssh", "/var/run/docker.sock", "production")),
        ("ssh://production/run/podman/podman.sock", EngineHost("ssh", "/run/podman/podman.sock", "production")),
    ],
)
def test_engines_are_named_in_three_ways(text: str, host: EngineHost) -> None:
    assert parse_engine_host(text) == host
    assert host.is_elsewhere == (host.kind == "ssh")


def test_a_port_of_another_machine_is_elsewhere() -> None:
    assert parse_engine_host("tcp://10.0.0.5:2376").is_elsewhere


@pytest.mark.parametrize(
    "text",
    [
        "ssh://-oProxyCommand=x@host",
        "ssh://user@-oProxyCommand=x",
        "ssh://user:secret@host",
        "ssh://user@host -v",
        "ssh://user@host/a:b",
        "ssh://user@host:0",
        "ssh://",
        "tcp://10.0.0.5",
        "tcp://10.0.0.5:99999",
        "tcp://[fe80::zz]:1",
        "tcp://user@10.0.0.5:2376",
        "unix://run/docker.sock",
        "https://10.0.0.5:2376",
        "unix:///run/docker.sock\n",
    ],
)
def test_what_would_reach_ssh_or_the_network_as_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        parse_engine_host(text)


def test_files_are_relative_to_the_configuration() -> None:
    files = 'tls_ca = "tls/ca.pem"\ntls_certificate = "/own.pem"\ntls_key = "key.pem"\n'
    configuration = parsed(DOCKER + 'host = "tcp://10.0.0.1:2376"\n' + files)
    base, runtime = configuration.base_directory, configuration.runtime
    assert (runtime.tls_ca, runtime.tls_certificate) == (base / "tls/ca.pem", Path("/own.pem"))
    assert runtime.tls_key == base / "key.pem"
