"""What becomes of the rest of a Compose service: mounts, secrets, limits, GPUs, networks; and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bluegreen.domain.errors import ConfigurationError
from tests.domain.compose_files import Result, imported, one


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ("./data:/data", {"source": "./data", "target": "/data", "read_only": False}),
        ("../data:/data:ro,z", {"source": "../data", "target": "/data", "read_only": True}),
        ("/srv/models:/models:ro", {"source": "/srv/models", "target": "/models", "read_only": True}),
        ("models:/models:rw", {"source": "app_models", "target": "/models", "read_only": False}),
        (
            "{type: bind, source: ./a, target: /a, read_only: true}",
            {"source": "./a", "target": "/a", "read_only": True},
        ),
        ("{type: volume, source: models, target: /m}", {"source": "app_models", "target": "/m", "read_only": False}),
    ],
)
def test_a_mount(volume: str, mount: dict[str, Any]) -> None:
    result = one(f"volumes: [{volume if volume.startswith('{') else repr(volume)}]")
    assert result.only["container"]["mounts"] == [mount]
    service = result.loaded().services["web"]
    assert service.stateful is not mount["read_only"]
    assert ("state_handling" in result.text) is service.stateful
    assert service.container.mounts[0].read_only is mount["read_only"]


@pytest.mark.parametrize(
    ("volumes", "name"),
    [
        ("{models: }", "app_models"),
        ("{models: {name: llm-models}}", "llm-models"),
        ("{models: {external: true}}", "models"),
        ("{models: {external: true, name: shared}}", "shared"),
    ],
)
def test_a_volume_has_the_name_that_the_engine_knows(volumes: str, name: str) -> None:
    service = "{image: 'a:1', ports: [80], volumes: ['models:/m:ro']}"
    result = imported(f"services: {{web: {service}}}\nvolumes: {volumes}")
    assert result.only["container"]["mounts"][0]["source"] == name
    assert bool(result.changed("services.web.volumes[0]")) is (name != "models")


def test_what_can_not_be_mounted_is_told() -> None:
    result = one(
        "volumes: [/anonymous, {type: npipe, target: /b}, {type: tmpfs, target: /c}, './d:/d:ro', './e:/d:ro', "
        "'D:/a:/a'], "
        "tmpfs: ['/tmp:size=1m', /c/]"
    )
    assert result.only["container"]["mounts"] == [{"source": "./d", "target": "/d", "read_only": True}]
    assert result.only["container"]["tmpfs"] == ["/c", "/tmp"]
    for path in ("volumes[0]", "volumes[1]", "volumes[4]", "volumes[5]", "tmpfs[0]", "tmpfs[1]"):
        assert result.lost(f"services.web.{path}"), path
    assert result.loaded().services["web"].container.tmpfs == ("/c", "/tmp")


def test_paths_are_absolute_when_the_configuration_is_written_elsewhere() -> None:
    yaml = (
        "services: {web: {image: 'a:1', ports: [80], volumes: ['./d:/d:ro', 'v:/v:ro'], secrets: [s]}}\n"
        "secrets: {s: {file: ../s.txt}}"
    )
    container = imported(yaml, moved_from=Path("/srv/shop")).only["container"]
    assert [mount["source"] for mount in container["mounts"]] == ["/srv/shop/d", "app_v"]
    assert container["secrets"] == {"s": "/srv/s.txt"}


def test_secrets_of_files_are_carried_over_and_others_told() -> None:
    result = imported(
        "services: {web: {image: 'a:1', ports: [80], secrets: [one, {source: two, target: db_password, mode: 0400}, "
        "three, four, {source: one, target: /etc/x}]}}\n"
        "secrets: {one: {file: ./one.txt}, two: {file: /srv/two}, three: {external: true}, four: {environment: FOUR}}"
    )
    assert result.only["container"]["secrets"] == {"one": "./one.txt", "db_password": "/srv/two"}
    assert dict(result.loaded().services["web"].container.secrets) == {
        "one": "/srv/app/one.txt",
        "db_password": "/srv/two",
    }
    assert "outside of this file" in result.lost("services.web.secrets[2]")
    assert "environment variable" in result.lost("services.web.secrets[3]")
    assert "mode" in result.lost("services.web.secrets[1]")
    assert "/etc/x" in result.lost("services.web.secrets[4]")


@pytest.mark.parametrize(
    ("keys", "gpus"),
    [
        ("gpus: 2", 2),
        ("gpus: all", 1),
        ("gpus: all, command: serve --tensor-parallel-size=4", 4),
        ("gpus: [{count: 2}, {device_ids: ['0', '3']}]", 4),
        ("gpus: all, environment: {CUDA_VISIBLE_DEVICES: '0,1'}", 2),
        ("runtime: nvidia", 1),
        ("runtime: nvidia, environment: {NVIDIA_VISIBLE_DEVICES: '0,1'}", 2),
        ("runtime: nvidia, environment: [NVIDIA_VISIBLE_DEVICES=none]", 0),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu], count: 3}]}}}", 3),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [[gpu, utility]], device_ids: ['1']}]}}}", 1),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", 1),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [tpu]}]}}}", 0),
        ("gpus: 0", 0),
    ],
)
def test_gpus(keys: str, gpus: int) -> None:
    result = one(keys)
    assert result.loaded().services["web"].resources.gpus == gpus
    assert "NVIDIA" not in result.text


def test_devices_that_are_named_are_told() -> None:
    device = "{driver: amd, device_ids: ['1'], capabilities: [gpu], options: {a: b}}"
    result = one(f"deploy: {{resources: {{reservations: {{devices: [{device}]}}}}}}")
    at = "services.web.deploy.resources.reservations.devices[0]"
    assert all(result.lost(f"{at}.{key}") for key in ("driver", "device_ids", "options"))


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        ("deploy: {replicas: 3}", "replicas", 3),
        ("scale: 2", "replicas", 2),
        ("deploy: {replicas: 0}", "replicas", 1),
        ("deploy: {replicas: 100}", "replicas", 64),
        ("deploy: {resources: {limits: {cpus: '0.5'}}}", "cpus", 0.5),
        ("cpus: 2", "cpus", 2),
        ("deploy: {resources: {reservations: {memory: 1G}}}", "memory_mb", 1024),
        ("mem_limit: 1500000", "memory_mb", 2),
        ("stop_grace_period: 1m30s", "stop_grace_seconds", 90),
        ("stop_grace_period: 3h", "stop_grace_seconds", 3600),
        ("working_dir: '/a{b}'", "workdir", "/a{{b}}"),
        ("ports: [{target: 80, app_protocol: h2c}]", "protocol", "h2c"),
        ("labels: ['a=b', c]", "labels", {"a": "b", "c": ""}),
    ],
)
def test_a_key_of_the_service(keys: str, key: str, value: Any) -> None:
    result = one(keys)
    assert result.only[key] == value
    assert result.loaded()


@pytest.mark.parametrize(
    ("keys", "key", "value"),
    [
        ("pids_limit: 100", "pids", 100),
        ("pids_limit: -1", "pids", None),
        ("deploy: {resources: {limits: {pids: 7}}}", "pids", 7),
        ("shm_size: 2gb", "shm_mb", 2048),
        ("user: 1000:1000", "user", "1000:1000"),
        ("user: ':'", "user", None),
        ("read_only: true", "read_only", True),
        ("read_only: false", "read_only", None),
        ("cap_drop: [net_raw, CAP_CHOWN]", "cap_drop", ["NET_RAW", "CHOWN"]),
        ("tmpfs: /tmp", "tmpfs", ["/tmp"]),
        ("pull_policy: if_not_present", "pull", "missing"),
        ("pull_policy: daily", "pull", None),
    ],
)
def test_a_key_of_the_container(keys: str, key: str, value: Any) -> None:
    result = one(keys)
    assert result.only["container"].get(key) == value
    assert result.loaded()


@pytest.mark.parametrize(
    ("networks", "declared", "network"),
    [
        ("[a]", "{a: {external: true}}", "a"),
        ("{a: , b: }", "{a: {external: true, name: real}, b: {}}", "real"),
        ("[a]", "{a: {external: {name: old}}}", "old"),
        ("[a]", "{a: {}}", None),
        ("[a, b]", "{a: {external: true}, b: {external: true}}", None),
        ("[a]", "{a: {external: true, name: host}}", None),
    ],
)
def test_the_network(networks: str, declared: str, network: str | None) -> None:
    result = imported(f"services: {{w: {{image: 'a:1', ports: [80], networks: {networks}}}}}\nnetworks: {declared}")
    assert result.only["container"].get("network") == network
    if network is None:
        assert result.lost("services.w.networks")


@pytest.mark.parametrize("variable", ["redis://cache:6379", "cache"])
def test_a_service_that_names_another_is_told_of_the_network(variable: str) -> None:
    result = imported(
        f"services: {{web: {{image: 'a:1', ports: [80], environment: {{URL: '{variable}', OTHER: cached}}}}, "
        "cache: {image: redis}}"
    )
    assert 'network = "app_default"' in result.lost("services.web.networks")
    assert "cache" in result.lost("services.web.networks")


REFUSED = {
    "extends": "{service: a}",
    "build": ".",
    "depends_on": "[db]",
    "profiles": "[gpu]",
    "privileged": "true",
    "cap_add": "[SYS_ADMIN]",
    "devices": "['/dev/kfd']",
    "network_mode": "host",
    "ipc": "host",
    "configs": "[a]",
    "restart": "always",
    "ulimits": "{nofile: 9}",
    "security_opt": "['no-new-privileges:true']",
    "container_name": "web",
    "logging": "{driver: none}",
    "runtime": "kata",
    "stop_signal": "SIGQUIT",
    "something_new": "1",
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_not_carried_over_is_told_with_a_reason(key: str) -> None:
    result = one(f"{key}: {REFUSED[key]}")
    assert len(result.lost(f"services.web.{key}")) > 10
    assert result.loaded()


@pytest.mark.parametrize(
    "keys",
    ["privileged: false", "restart: 'no'", "ipc: private", "stop_signal: SIGTERM", "stop_signal: 15", "x-mine: 1",
     "depends_on: []", "runtime: runc", "init: false", "env_file: ", "deploy: {}", "healthcheck: "],
)  # fmt: skip
def test_what_bluegreen_does_anyway_is_not_told(keys: str) -> None:
    assert _paths(one(f"{keys}, command: ")) == {"services.web.healthcheck"}


def test_every_part_of_deploy_that_is_lost_is_told() -> None:
    result = one("deploy: {mode: global, placement: {}, restart_policy: {}, resources: {limits: {foo: 1}}}")
    assert {
        "services.web.deploy.mode", "services.web.deploy.placement", "services.web.deploy.restart_policy",
        "services.web.deploy.resources.limits.foo",
    } <= _paths(result)  # fmt: skip


def test_top_level_keys() -> None:
    result = imported(
        "version: '3'\nname: Shop.1\nx-a: {}\ninclude: [b.yaml]\nconfigs: {c: {file: c}}\nfoo: 1\n"
        "services: {web: {image: 'a:1', ports: [80], volumes: ['v:/v:ro']}}"
    )
    assert {"include", "configs", "foo"} <= _paths(result)
    assert not {"version", "name", "x-a"} & _paths(result)
    assert result.only["container"]["mounts"][0]["source"] == "shop1_v"


def test_limit_and_reservation_that_differ_are_told() -> None:
    result = one("deploy: {resources: {limits: {memory: 2G, cpus: 2}, reservations: {memory: 1G, cpus: 2}}}")
    assert (result.only["memory_mb"], result.only["cpus"]) == (2048, 2)
    assert "2048 was taken" in result.lost("services.web.deploy.resources.reservations.memory")
    assert not result.lost("services.web.deploy.resources.reservations.cpus")


@pytest.mark.parametrize("keys", ["volumes: ['a:b:c:d']", "volumes: ['./a:b']", "cap_drop: ['?']", "gpus: some"])
def test_what_compose_would_refuse(keys: str) -> None:
    with pytest.raises(ConfigurationError, match=r"services\.web\."):
        one(keys)


def _paths(result: Result) -> set[str]:
    return {note.path for note in result.imported.lost}
