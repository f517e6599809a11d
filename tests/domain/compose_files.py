"""Compose files for the tests of `bluegreen.spec.compose`, and a short way through the translation."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bluegreen.spec.compose.env_file import parse_env_file
from bluegreen.spec.compose.project import project
from bluegreen.spec.compose.toml import document
from bluegreen.spec.compose.translate import Imported, translate
from bluegreen.spec.compose.yaml_text import parse_yaml
from bluegreen.spec.configuration import Configuration
from bluegreen.spec.loading import parse

GPU_SERVER = """
name: inference
x-gpu: &gpu
  ipc: host
  shm_size: 16gb
  restart: unless-stopped
services:
  llm:
    <<: *gpu
    image: vllm/vllm-openai:${VLLM_VERSION:-v0.6.3}
    command: >
      --model meta-llama/Llama-3.1-70B-Instruct --tensor-parallel-size 4
      --chat-template '{"role": "user"}' --port 8000
    ports:
      - "8000:8000"
    environment:
      - HUGGING_FACE_HUB_TOKEN=${HF_TOKEN}
      - VLLM_LOGGING_LEVEL=INFO
      - MAX_TOKENS=4096
    volumes:
      - ~/.cache/huggingface:/cache/huggingface
      - models:/models:ro
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8000/health"]
      interval: 5s
      timeout: 2s
      retries: 3
      start_period: 10m
    stop_grace_period: 1m30s
    deploy:
      resources:
        limits: { cpus: "16", memory: 128g }
        reservations:
          devices:
            - driver: nvidia
              count: all
              capabilities: [gpu]
  embeddings:
    <<: *gpu
    image: ghcr.io/huggingface/text-embeddings-inference:1.5
    command: ["--model-id", "BAAI/bge-large-en-v1.5", "--port", "80"]
    ports: ["8081:80"]
    gpus: 1
volumes:
  models:
"""

WEB_AND_DATABASE = """
services:
  web:
    build: .
    image: registry.example/shop/web:1.10
    ports: ["80:8080"]
    depends_on:
      db: { condition: service_healthy }
    environment:
      PORT: 8080
      DEBUG: no
      DATABASE_PASSWORD_FILE: /run/secrets/db_password
      SESSION_SECRET: ${SESSION_SECRET:?set it}
      CACHE_URL: redis://cache:6379
    env_file: [web.env, missing.env]
    secrets: [db_password]
    healthcheck:
      test: curl -fsS http://127.0.0.1:8080/healthz || exit 1
      interval: 10s
      timeout: 3s
    labels:
      - traefik.enable=true
      - traefik.http.routers.web.rule=Host(`shop.example`) || Host(`www.shop.example`)
      - team=shop
    user: "1000:1000"
    read_only: true
    cap_drop: [ALL]
    tmpfs: [/tmp, "/run:size=64m"]
    deploy: { replicas: 2, resources: { limits: { cpus: "0.5", memory: 512M, pids: 100 } } }
    networks: [front, back]
    pull_policy: always
    x-note: ignored
    frobnicate: true
  worker:
    image: registry.example/shop/web:1.10
    command: python worker.py
  db:
    image: postgres:16
    ports: ["5432:5432"]
    healthcheck: { test: [CMD-SHELL, pg_isready -U shop] }
    volumes: [data:/var/lib/postgresql/data]
  cache:
    image: redis:7
    expose: [6379]
volumes: { data: {} }
networks:
  front: { external: true, name: proxy }
  back: {}
secrets:
  db_password: { file: ./secrets/db_password.txt }
"""


@dataclass(frozen=True)
class Result:
    """The import, the text that is written, and what is said of each key."""

    imported: Imported
    text: str

    @property
    def services(self) -> Mapping[str, Any]:
        services: Mapping[str, Any] = tomllib.loads(self.text)["services"]
        return services

    @property
    def only(self) -> Mapping[str, Any]:
        (service,) = self.services.values()
        return dict(service)

    def lost(self, path: str) -> str:
        return " | ".join(note.text for note in self.imported.lost if note.path == path)

    def changed(self, path: str) -> str:
        return " | ".join(note.text for note in self.imported.changed if note.path == path)

    def loaded(self) -> Configuration:
        """The text through the real loader."""
        return parse(self.text, source="bluegreen.toml", base_directory=Path("/srv/app"))


def imported(
    yaml: str,
    variables: Mapping[str, str] | None = None,
    *,
    moved_from: Path | None = None,
    env_files: Mapping[str, str | None] | None = None,
    entry_points: Mapping[str, Sequence[str]] | None = None,
) -> Result:
    """What `bluegreen import-compose` makes of the text in the directory `app`."""
    files = {
        name: None if text is None else parse_env_file(text, variables or {})
        for name, text in (env_files or {}).items()
    }
    return imported_tree(parse_yaml(yaml, "compose.yaml"), variables or {}, moved_from, files, entry_points)


def imported_tree(
    tree: Any,
    variables: Mapping[str, str],
    moved_from: Path | None = None,
    env_files: Mapping[str, Mapping[str, str] | None] | None = None,
    entry_points: Mapping[str, Sequence[str]] | None = None,
) -> Result:
    """The same for a file that was read."""
    read = project(tree, source="compose.yaml", directory_name="app", variables=variables, env_files=env_files or {})
    made = translate(read, entry_points=entry_points, moved_from=moved_from)
    return Result(made, document(made.tables, made.comments))


def one(keys: str, /, entry_points: Mapping[str, Sequence[str]] | None = None, **variables: str) -> Result:
    """The import of one service `web` from YAML in flow style without its braces; image and port are added."""
    port = "" if "ports:" in keys or "expose:" in keys else ', ports: ["8080"]'
    image = "" if "image:" in keys else ", image: 'shop/web:v1'"
    return imported(
        "services: {web: {" + f"{keys}{port}{image}".removeprefix(", ") + "}}", variables, entry_points=entry_points
    )
