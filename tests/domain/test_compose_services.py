"""What becomes of a Compose service: ports, health checks, hosts, commands, environments."""

from __future__ import annotations

from typing import Any

import pytest

from bluegreen.domain.errors import ConfigurationError, UsageError
from bluegreen.domain.model import Resources
from bluegreen.domain.service import HealthCheck
from bluegreen.spec.compose.environment import is_secret_name
from bluegreen.spec.compose.translate import fit_name
from tests.domain.compose_files import GPU_SERVER, WEB_AND_DATABASE, imported, one


def test_a_gpu_inference_server() -> None:
    result = imported(GPU_SERVER)
    llm, embeddings = result.services["llm"], result.services["embeddings"]
    assert llm["image"] == "vllm/vllm-openai:v0.6.3"
    assert llm["command"][:5] == ["python3", "-m", "vllm.entrypoints.openai.api_server", "--model",
                                  "meta-llama/Llama-3.1-70B-Instruct"]  # fmt: skip
    assert '{{"role": "user"}}' in llm["command"]
    assert llm["container"]["port"] == 8000
    assert llm["container"]["shm_mb"] == 16384
    assert llm["container"]["mounts"][1] == {"source": "inference_models", "target": "/models", "read_only": True}
    assert llm["env"] == {"VLLM_LOGGING_LEVEL": "INFO", "MAX_TOKENS": "4096"}
    assert '--set env.HUGGING_FACE_HUB_TOKEN="$HF_TOKEN"' in result.lost("services.llm.environment[0]")
    assert "state_handling" in result.text
    loaded = result.loaded().services
    assert loaded["llm"].resources == Resources(4, 16.0, 131072)
    assert loaded["llm"].health == HealthCheck("/health", 5.0, 2.0, fall=3, deadline_seconds=615.0)
    assert (loaded["llm"].stateful, loaded["llm"].stop_grace_seconds) == (True, 90.0)
    assert loaded["llm"].hosts == ("llm.localhost",)
    assert loaded["embeddings"].resources.gpus == embeddings["gpus"] == 1
    assert loaded["embeddings"].health == HealthCheck("/health", deadline_seconds=600.0)
    assert "all GPUs" in result.changed("services.llm.gpus")


def test_a_web_service_beside_its_database() -> None:
    result = imported(WEB_AND_DATABASE, {"SESSION_SECRET": "s3"}, env_files={"web.env": "A=1\nAPI_TOKEN=t0"})
    web = result.loaded().services["web"]
    assert result.imported.services == {"web": "web"}
    assert web.hosts == ("shop.example", "www.shop.example")
    assert web.env == {
        "A": "1", "DEBUG": "no", "DATABASE_PASSWORD_FILE": "/run/secrets/db_password", "CACHE_URL": "redis://cache:6379",
    }  # fmt: skip
    assert web.labels == {"team": "shop"}
    assert web.health == HealthCheck("/healthz", 10.0, 3.0)
    assert (web.replicas, web.resources) == (2, Resources(0, 0.5, 512))
    assert result.only["container"] == {
        "healthcheck": False, "port": 8080, "pids": 100, "tmpfs": ["/tmp", "/run"], "network": "proxy",
        "user": "1000:1000", "read_only": True, "cap_drop": ["ALL"], "pull": "always",
        "secrets": {"db_password": "./secrets/db_password.txt"},
    }  # fmt: skip
    assert "s3" not in result.text and "t0" not in result.text
    for key in ("worker", "db", "cache", "web.build", "web.depends_on", "web.frobnicate", "web.labels", "web.env_file"):
        assert result.lost(f"services.{key}"), key
    assert 'network = "app_back"' in result.lost("services.web.networks")
    assert "x-note" not in str(result.imported.lost)
    assert "host port 80 is not published" in result.changed("services.web.ports[0]")


@pytest.mark.parametrize(
    ("keys", "port"),
    [
        ("ports: ['8080']", 8080),
        ("ports: ['80:8080']", 8080),
        ("ports: ['127.0.0.1:80:8080/tcp']", 8080),
        ("ports: ['[::1]:80:8080']", 8080),
        ("ports: ['3000-3002:8000-8002']", 8000),
        ("ports: [{target: 8080, published: '80', protocol: tcp, mode: host}]", 8080),
        ("ports: ['9000', '8080'], healthcheck: {test: curl localhost:8080/}", 8080),
        ("ports: ['9000', '8080'], environment: {PORT: 8080}", 8080),
        ("ports: ['53:53/udp', '8080']", 8080),
        ("expose: [8080]", 8080),
        ("ports: ['222:22', '3000:3000']", 3000),
        ("ports: ['8080', '9092']", 8080),
        ("ports: [], labels: ['traefik.http.services.a.loadbalancer.server.port=8080']", 8080),
        ("ports: [], environment: [VIRTUAL_HOST=a.example, VIRTUAL_PORT=8080]", 8080),
        ("ports: [], network_mode: host, command: serve --port 8080", 8080),
        ("ports: ['5432:5432'], healthcheck: {test: curl http://localhost:5432/}", 5432),
    ],
)
def test_the_port(keys: str, port: int) -> None:
    assert one(keys).only["container"]["port"] == port


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("ports: []", "has no ports"),
        ("ports: [], healthcheck: {test: 'curl localhost:81/'}", "write expose: [81] if users do too"),
        ("ports: ['5432:5432']", "speaks PostgreSQL, not HTTP"),
        ("ports: ['53:53/udp']", "has no ports"),
        ("ports: ['5672:5672', '15672:15672']", "speaks AMQP"),
        ("ports: ['22']", "speaks SSH"),
    ],
)
def test_a_service_that_speaks_no_http_is_not_imported(keys: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        one(keys)
    assert f"services.web: {reason}" in caught.value.message or reason in caught.value.message


@pytest.mark.parametrize(
    ("test", "path"),
    [
        ("curl -f http://localhost:8080/health", "/health"),
        ("[CMD, curl, -f, 'http://127.0.0.1:8080/a?b=c']", "/a?b=c"),
        ("[CMD-SHELL, \"wget -qO- 'http://localhost:8080/ready' || exit 1\"]", "/ready"),
        ("wget --spider http://[::1]:8080", "/"),
        ("curl localhost:8080/bare", "/bare"),
        ("[CMD, python, -c, \"import urllib.request as r; r.urlopen('http://localhost:8080/py')\"]", "/py"),
        ("pg_isready -h localhost", None),
        ("[CMD, redis-cli, ping]", None),
        ("curl -X POST http://localhost:8080/", None),
        ("curl -d x http://localhost:8080/", None),
        ("curl -k https://localhost:8080/", None),
        ("curl http://db:8080/", None),
        ("curl http://localhost:9999/other-port", None),
    ],
)
def test_a_health_check_that_asks_the_service_itself(test: str, path: str | None) -> None:
    result = one(f"healthcheck: {{test: {test if test.startswith('[') else repr(test)}}}")
    assert result.only.get("health", {}).get("path") == path
    if path is None:
        assert result.lost("services.web.healthcheck.test")
        assert 'health = { path = "/health" } is needed' in result.text


@pytest.mark.parametrize("keys", ["disable: true", "test: NONE", "test: [NONE]"])
def test_a_health_check_that_is_switched_off(keys: str) -> None:
    assert one(f"healthcheck: {{{keys}}}").only["container"]["healthcheck"] is False


@pytest.mark.parametrize(
    ("keys", "command"),
    [
        ("command: python -m app --name 'a b'", ["python", "-m", "app", "--name", "a b"]),
        ("command: [serve, '{x}']", ["serve", "{{x}}"]),
        ("entrypoint: /run.sh, command: --flag", ["/run.sh", "--flag"]),
        ("entrypoint: [sh, -c], command: ['a && b']", ["sh", "-c", "a && b"]),
        ("entrypoint: [], command: [serve]", ["serve"]),
        ("entrypoint: /run.sh", ["/run.sh"]),
        ("image: 'ollama/ollama:0.5', command: serve", ["ollama", "serve"]),
        ("command: ", None),
    ],
)
def test_the_command(keys: str, command: list[str] | None) -> None:
    assert one(keys).only.get("command") == command


def test_arguments_without_a_known_entry_point_are_told() -> None:
    result = one("command: --model x")
    assert "the image's entry point is not known" in result.lost("services.web.command")
    assert "# Put the image's entry point in front: docker inspect" in result.text


@pytest.mark.parametrize(
    ("entry_point", "command"), [((), ["--model", "x"]), (("/run", "-v"), ["/run", "-v", "--model", "x"])]
)
def test_an_entry_point_that_the_engine_knows_stands_in_front(entry_point: tuple[str, ...], command: list[str]) -> None:
    result = one("command: --model x", {"shop/web:v1": entry_point})
    assert result.only["command"] == command
    assert not result.lost("services.web.command")
    assert bool(result.changed("services.web.command")) is bool(entry_point)


@pytest.mark.parametrize(
    ("services", "hosts"),
    [
        ("a: {image: a, ports: [80]}", {"a": ["*"]}),
        ("a: {image: a, ports: [80]}, b: {image: a, ports: [80]}", {"a": ["a.localhost"], "b": ["b.localhost"]}),
        ("a: {image: a, ports: [80]}, db: {image: a, ports: [5432]}", {"a": ["*"]}),
        ("a: {image: a, ports: [80], labels: {traefik.http.routers.r.rule: 'Host(`X.example`, `y.example`)'}}",
         {"a": ["x.example", "y.example"]}),
        ("a: {image: a, ports: [80], labels: {traefik.frontend.rule: 'Host:x.example,y.example'}}",
         {"a": ["x.example", "y.example"]}),
        ("a: {image: a, ports: [80], environment: {VIRTUAL_HOST: 'x.example:443,*.y.example'}}",
         {"a": ["x.example", "*.y.example"]}),
        ("a: {image: a, ports: [80], labels: {traefik.http.routers.r.rule: 'HostRegexp(`.+`)'}}", {"a": ["*"]}),
        ("a: {image: a, ports: [80], environment: {VIRTUAL_HOST: x.example}}, "
         "b: {image: a, ports: [80], environment: {VIRTUAL_HOST: x.example}}",
         {"a": ["x.example"], "b": ["b.localhost"]}),
    ],
)  # fmt: skip
def test_the_hosts(services: str, hosts: dict[str, Any]) -> None:
    result = imported(f"services: {{{services}}}")
    assert {name: service["hosts"] for name, service in result.services.items()} == hosts
    assert result.loaded()


def test_a_path_in_a_rule_and_a_host_that_two_want_are_told() -> None:
    rule = "traefik.http.routers.r.rule: 'Host(`x.example`) && PathPrefix(`/api`)'"
    result = imported(
        f"x-web: &web {{image: a, ports: [80], labels: {{{rule}}}}}\nservices: {{a: {{<<: *web}}, b: {{<<: *web}}}}"
    )
    assert "PathPrefix" in result.lost("services.a.labels")
    assert "another service has it already" in result.lost("services.b.labels")


def test_environment_values_keep_braces_and_lose_what_bluegreen_sets() -> None:
    result = one(
        "gpus: 1, environment: {A: '{x}', PORT: 9, CUDA_VISIBLE_DEVICES: 0, 'a.b': c, N: , S: 1.10, T: true}", N="n"
    )
    assert result.only["env"] == {"A": "{{x}}", "N": "n", "S": "1.10", "T": "true"}
    assert "PORT is always the port of the container, 8080" in result.changed("services.web.environment.PORT")
    assert result.lost("services.web.environment.CUDA_VISIBLE_DEVICES")
    assert result.lost('services.web.environment."a.b"')
    assert result.loaded().services["web"].env["A"] == "{{x}}"


def test_a_secret_in_the_file_is_carried_over_with_a_warning_and_one_from_outside_is_not() -> None:
    result = one(
        "environment: {DB_PASSWORD: hunter2, API_KEY: '${K}', OTHER: '${K:-default}', URL: 'postgres://u:p@db/x', "
        "DSN_URL: '${DSN_URL}', MADE_TOKEN: '${MISSING:-dev}'}",
        K="k3y",
        DSN_URL="mysql://u:p@db",
    )
    assert result.only["env"] == {
        "DB_PASSWORD": "hunter2", "OTHER": "k3y", "URL": "postgres://u:p@db/x", "MADE_TOKEN": "dev",
    }  # fmt: skip
    for name in ("DB_PASSWORD", "URL", "MADE_TOKEN"):
        assert "looks like a secret" in result.changed(f"services.web.environment.{name}")
    assert '--set env.API_KEY="$K"' in result.lost("services.web.environment.API_KEY")
    assert "mysql" not in result.text
    assert result.imported.holds_secrets


def test_a_secret_in_the_command_is_told() -> None:
    assert not one("environment: {SMTP_AUTH: 'true', TLS_KEY: /certs/tls.key}").imported.holds_secrets
    result = one("command: 'serve --api-key ${VLLM_API_KEY}'", VLLM_API_KEY="k")
    assert "the value of $VLLM_API_KEY" in result.changed("services.web.command")
    assert result.imported.holds_secrets


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "PGPASSWORD", "API_KEY", "apiKey", "HF_TOKEN", "REDIS_AUTH", "AWS_SECRET_ACCESS_KEY"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["MAX_TOKENS", "DB_PASSWORD_FILE", "PUBLIC_KEY", "KEYBOARD", "PWD", "AWS_ACCESS_KEY_ID"]
)
def test_names_of_no_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_names_are_made_fit() -> None:
    assert fit_name("Web_App.1", set()) == "web-app-1"
    assert fit_name("web_1", {"web-1"}) == "web-1-2"
    assert fit_name("___", set()) == "service"
    assert len(fit_name("x" * 90, {"x" * 40})) == 40
    result = imported("services: {Web_App: {image: a, ports: [80]}}")
    assert "is called web-app" in result.changed("services.Web_App")


def test_what_compose_would_refuse_is_told_all_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        imported(
            "services: {web: {image: 'a b', ports: [1], scale: many, stop_grace_period: soon, shm_size: big, "
            'healthcheck: {test: curl http://localhost/, interval: often}, deploy: 3, command: "\'"}, x: 3, '
            "y: {image: a, ports: ['1'], secrets: [none], environment: 3}, z: {image: a, ports: [x]}}"
        )
    assert {problem.partition(": ")[0] for problem in caught.value.problems} == {
        "services.web.image", "services.z.ports[0]", "services.web.scale", "services.web.stop_grace_period",
        "services.web.shm_size", "services.web.healthcheck.interval", "services.web.deploy", "services.web.command",
        "services.x", "services.y.secrets[0]", "services.y.environment",
    }  # fmt: skip
