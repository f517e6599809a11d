"""Configuration documents for the tests of `bluegreen.spec`."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from bluegreen.spec.configuration import Configuration
from bluegreen.spec.loading import parse

BASE = Path("/srv/app")

CONTAINERS = """
[runtime]
host = "unix:///run/user/1000/docker.sock"
network = "apps"

[services.inference-model]
hosts = ["*"]
runtime = "docker"
image = "registry/inference-model:v1.9"

[services.inference-model.container]
pull = "always"
port = 8000
network = "models"
publish = false
healthcheck = false
shm_mb = 1024
pids = 512
read_only = true
cap_drop = ["ALL", "CAP_NET_RAW"]
user = "1000:1000"
tmpfs = ["/tmp"]
mounts = [
    { source = "./models", target = "/models", read_only = true },
    { source = "cache", target = "/cache" },
]
secrets = { token = "secrets/token" }
"""
"""What goes with containers only."""

FULL = """
[daemon]
state_dir = "state"
log_level = "debug"

[router]
kind = "haproxy"
listen = "0.0.0.0:80"
haproxy = "bin/haproxy"
certificate = "/etc/ssl/site.pem"
threads = 2

[runtime]
kind = "process"

[capacity]
gpus = 8
cpus = 16
memory_mb = 65536

[alerts]
webhook_url_env = "ALERT_URL"

[[alerts.sink]]
kind = "webhook"
name = "pager"
url_env = "PAGER_URL"
secret_env = "PAGER_SECRET"
min_severity = "critical"

[[alerts.sink]]
kind = "alertmanager"
url = "http://alertmanager.example:9093"

[[alerts.sink]]
kind = "file"
path = "alerts.jsonl"

[metrics.prometheus]
url = "https://prometheus.example/select/0/"
bearer_token_file = "secrets/prometheus"
ca_file = "tls/ca.pem"
timeout_seconds = 3
max_sample_age_seconds = 60

[api]
listen = "0.0.0.0:8443"
certificate = "tls/api.pem"
origins = ["https://Console.example.com"]
hosts = ["Deploy.example.com", "10.0.0.7"]
requests_per_second = 20
burst = 40
max_body_bytes = 65536

[policy]
images = ["registry/*", "api:v?"]
orphan_seconds = 600

[services.inference-model]
hosts = ["API.example.com", "*.models.example.com", "*"]
image = "registry/inference-model:v1.9"
command = ["python3", "serve.py", "--port", "{port}", "--version", "{tag}"]
workdir = "versions/{repository}/{tag}"
environment = "staging"
replicas = 2
gpus = 1
gpu_memory_mb = 8000
gpu_sharing = true
cpus = 1.5
memory_mb = 2048
stateful = true
state_handling = "both versions read the same database"
protocol = "h2c"
stop_grace_seconds = 5
env = { MODEL = "{image}", PORT = "{port}" }
labels = { team = "vision" }

[services.inference-model.health]
path = "/ready"
interval_seconds = 1
timeout_seconds = 0.5
rise = 3
fall = 2
deadline_seconds = 30
expect_status = 204

[[services.inference-model.smoke]]
request = "POST /predict"
json = { inputs = [1, 2.5] }
headers = { X-Trace = "smoke" }
expect_status = 201
expect_json = { "length(outputs)" = 2 }
max_seconds = 3

[[services.inference-model.smoke]]
name = "script"
command = ["./smoke.sh", "--fast"]

[[services.inference-model.analysis]]
name = "errors by route"
query = 'sum by (route) (rate(errors{workload="{workload}"}[1m]))'
condition = "result < 5%"
interval_seconds = 15
timeout_seconds = 2.5
failure_limit = 2

[[services.inference-model.analysis]]
name = "accuracy"
command = ["./accuracy.sh", "--sample", "100"]

[services.inference-model.policy]
monitor_seconds = 10
retain_seconds = 20
drain_timeout_seconds = 30
max_error_rate = 0.05
min_requests = 5
max_latency_ms = 300
max_latency_increase = 0.2
latency_quantile = 0.95
false_rollback_probability = 0.0001
on_inconclusive = "rollback"
inconclusive_seconds = 60
max_restarts = 1
auto_promote = false
approval_timeout_seconds = 600
auto_rollback = false
poll_seconds = 0.1
smoke_interval_seconds = 30

[services.inference-model.canary]
steps = [5, 25, 100]
observe_seconds = 30
error_threshold = 0.02
latency_threshold_ms = 200
sticky = "cookie:session"
set_cookie = true
force_header = "X-Slot"
force_cookie = "slot"
"""

SMALL = """
[services.api]
hosts = ["*"]
image = "api:v1"
command = ["./api", "{port}"]
health = {}
"""


def parsed(text: str) -> Configuration:
    return parse(text, source="bluegreen.toml", base_directory=BASE)


def toml(value: Any) -> str:
    """A value as inline TOML. Enough for what tests make up; json's escapes are TOML's but for DEL."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def toml_document(document: dict[str, Any]) -> str:
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in document.items())
