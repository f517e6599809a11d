"""`bluegreen import-compose`, as a process."""

from __future__ import annotations

import json
import socketserver
import stat
import tempfile
import threading
import tomllib
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bluegreen.spec.loading import load
from tests.integration.cli_support import bluegreen

COMPOSE = """
services:
  web:
    image: registry.example/web:${TAG}
    ports: ["80:8080"]
    env_file: web.env
    environment: { API_TOKEN: "${API_TOKEN}", LEVEL: info }
    healthcheck: { test: curl -f http://localhost:8080/health, interval: 1s }
    volumes: ["./data:/data:ro"]
    restart: always
  db:
    image: postgres:16
    ports: ["5432:5432"]
"""


@pytest.fixture
def compose(tmp_path: Path) -> Path:
    path = tmp_path / "compose.yaml"
    path.write_text(COMPOSE)
    (tmp_path / ".env").write_text("TAG=from-file\nAPI_TOKEN=t0k3n\n")
    (tmp_path / "web.env").write_text("MODE=fast\n")
    return path


def test_the_configuration_goes_to_stdout_and_what_is_lost_to_stderr(compose: Path) -> None:
    done = bluegreen(compose, "import-compose", str(compose))
    assert done.returncode == 0, done.stderr
    web = tomllib.loads(done.stdout)["services"]["web"]
    assert (web["hosts"], web["image"]) == (["*"], "registry.example/web:from-file")
    assert web["env"] == {"MODE": "fast", "LEVEL": "info"}
    assert "t0k3n" not in done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert lines[:2] == ["1 service: web", "Not carried over:"]
    columns = {
        line.index(reason) for reason in ("bluegreen starts again", "speaks Post") for line in lines if reason in line
    }
    assert len(columns) == 1, done.stderr
    assert "To look at:" in lines


def test_the_environment_comes_before_the_file_of_variables(compose: Path) -> None:
    done = bluegreen(compose, "import-compose", str(compose), TAG="v7")
    assert tomllib.loads(done.stdout)["services"]["web"]["image"] == "registry.example/web:v7"


def test_what_is_written_to_a_file_loads_and_is_never_written_over(compose: Path, tmp_path: Path) -> None:
    target = tmp_path / "deploy" / "bluegreen.toml"
    arguments = ("import-compose", str(compose), "--output", str(target))
    missing = bluegreen(compose, *arguments)
    assert missing.returncode == 2 and "can't be written" in missing.stderr
    target.parent.mkdir()
    done = bluegreen(compose, *arguments)
    assert done.returncode == 0, done.stderr
    assert f"written: {target}" in done.stdout and "services.db" in done.stdout and not done.stderr
    service = load(target).services["web"]
    assert (service.runtime, service.container.port) == ("docker", 8080)
    assert service.container.mounts[0].source == str(tmp_path / "data")
    assert bluegreen(target, "validate").stdout == "ok: 1 service\n"
    before = target.read_text()
    again = bluegreen(compose, *arguments)
    assert again.returncode == 2
    assert "is there already and stays as it is" in again.stderr
    assert target.read_text() == before


def test_a_file_that_holds_a_secret_is_for_its_owner_alone(compose: Path, tmp_path: Path) -> None:
    compose.write_text("services: {web: {image: 'web:1', ports: [80], environment: {DB_PASSWORD: hunter2}}}")
    target = tmp_path / "secret.toml"
    assert bluegreen(compose, "import-compose", str(compose), "--output", str(target)).returncode == 0
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_json_has_all_of_it(compose: Path) -> None:
    done = bluegreen(compose, "import-compose", str(compose), "--json")
    view = json.loads(done.stdout)
    assert list(view) == ["toml", "output", "services", "not_carried_over", "to_look_at"]
    assert view["services"] == {"web": "web"} and view["output"] is None
    assert "services.db" in [found["path"] for found in view["not_carried_over"]]
    assert tomllib.loads(view["toml"])["runtime"] == {"kind": "docker"}
    assert not done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("services: [", "line 1, column 12: not YAML"),
        ("hello: world", "services: is missing or empty; this is no Compose file"),
        ("services: {web: {image: 'a:1', ports: [http]}}", "services.web.ports[0]: 'http' is no port"),
        (
            "services: {web: {image: 'a:${X:?set X}', ports: [80]}}",
            "services.web.image: the variable X is required: set X",
        ),
        ("services: {db: {image: 'a:1', ports: [5432]}}", "services.db: speaks PostgreSQL"),
    ],
)
def test_what_can_not_be_imported_is_told_with_its_key(compose: Path, text: str, message: str) -> None:
    compose.write_text(text)
    done = bluegreen(compose, "import-compose", str(compose))
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr and "unexpected" not in done.stderr


class _Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class _Images(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path == "/images/registry.example/web:v1/json"
        content = json.dumps(
            {"Config": {"Entrypoint": ["/entry", "--"]}} if known else {"message": "no such image"}
        ).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_the_engine_is_asked_for_entry_points(compose: Path) -> None:
    service = "{image: 'registry.example/web:%s', ports: [80], command: serve}"
    compose.write_text(f"services: {{one: {service % 'v1'}, two: {service % 'v2'}}}")
    with tempfile.TemporaryDirectory() as directory, _Engine(f"{directory}/engine.sock", _Images) as engine:
        threading.Thread(target=engine.serve_forever, args=(0.01,), daemon=True).start()
        done = bluegreen(compose, "import-compose", str(compose), DOCKER_HOST=f"unix://{directory}/engine.sock")
        engine.shutdown()
    services = tomllib.loads(done.stdout)["services"]
    assert services["one"]["command"] == ["/entry", "--", "serve"]
    assert services["two"]["command"] == ["serve"]
    assert "if the image has one, put it in front" in done.stderr


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = bluegreen(tmp_path / "bluegreen.toml", "import-compose", "nothing.yaml")
    assert done.returncode == 2
    assert "there is no Compose file nothing.yaml" in done.stderr
