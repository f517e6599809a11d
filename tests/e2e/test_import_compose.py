"""From a Compose file to a version with traffic, on a real Docker Engine."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from examples.system import System

from tests.integration.cli_support import bluegreen
from tests.support.docker_engine import DockerEngine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PATIENCE_SECONDS = 120.0
COMPOSE = """
services:
  inference-model:
    image: registry/inference-model:compose1
    command: "9000"
    ports: ["80:9000"]
    environment: { MODE: "{fast}" }
    healthcheck:
      test: curl -f http://localhost:9000/health
      interval: 200ms
      timeout: 2s
      retries: 5
    deploy: { replicas: 2 }
    networks: [tests]
    read_only: true
    cap_drop: [all]
    tmpfs: [/tmp]
    volumes: ["./models:/models:ro"]
    secrets: [token]
    stop_grace_period: 5s
networks:
  tests: { external: true, name: @network@ }
secrets:
  token: { file: ./token.txt }
"""
POLICY = """
[services.inference-model.policy]
monitor_seconds = 0.5
drain_timeout_seconds = 5
min_requests = 1
poll_seconds = 0.1
"""


def test_a_compose_file_is_imported_and_deployed(
    make_system: Callable[..., System], docker_engine: DockerEngine, tmp_path: Path
) -> None:
    docker_engine.make_server_image("registry/inference-model:compose1", 'ENTRYPOINT ["/server"]', "EXPOSE 1234")
    compose = tmp_path / "compose.yaml"
    compose.write_text(COMPOSE.replace("@network@", docker_engine.network))
    (tmp_path / "models").mkdir()
    (tmp_path / "token.txt").write_text("t0k3n")
    made = bluegreen(
        compose, "import-compose", str(compose), "--output", str(tmp_path / "made.toml"), DOCKER_HOST=docker_engine.host
    )
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "made.toml").read_text()
    assert '"/server"' in text

    kind = 'kind = "docker"\n'
    listen = f'host = "{docker_engine.host}"\n\n[router]\nlisten = "127.0.0.1:@port@"\n'
    system = make_system(text.replace(kind, kind + listen) + POLICY, directory=tmp_path)
    system.up()
    system.wait(system.deploy("compose1"), "completed", timeout_seconds=PATIENCE_SECONDS)

    with urllib.request.urlopen(f"http://127.0.0.1:{system.port}/", timeout=10) as answer:
        assert answer.headers["X-Version"] == "compose1"
    containers = [
        docker_engine.ask("GET", f"/containers/{each['Id']}/json").json() for each in docker_engine.containers()
    ]
    assert len(containers) == 2
    for container in containers:
        assert "MODE={fast}" in container["Config"]["Env"]
        assert container["HostConfig"]["ReadonlyRootfs"] is True
        assert container["HostConfig"]["CapDrop"] == ["ALL"]
        assert {"/models", "/run/secrets/token"} <= {mount["Destination"] for mount in container["Mounts"]}
