"""Images of the example's versions, made on a Docker Engine without a registry, and removed again."""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import httpx

REPOSITORY = "bluegreen-demo/inference-model"
VERSIONS = ("v1.9", "v2.0", "v2.1", "v2.2")
DEFAULT_HOST = "unix:///run/docker.sock"
PORT = 8000
LABEL = "bluegreen.demo"
_SYSTEM = ("/usr", "/lib", "/lib64")


class NoEngine(Exception):
    """No Docker Engine answers, or it can't make what is asked."""


class DemoImages:
    """One engine of this machine, as DOCKER_HOST names it."""

    def __init__(self, service: Path) -> None:
        self.host = os.environ.get("DOCKER_HOST", DEFAULT_HOST)
        self._service = service
        if not self.host.startswith("unix://"):
            raise NoEngine(f"the demonstration needs an engine of this machine, and DOCKER_HOST is {self.host}")
        transport = httpx.HTTPTransport(uds=self.host.removeprefix("unix://"))
        self._client = httpx.Client(transport=transport, base_url="http://docker", timeout=60)

    def make(self) -> None:
        """Raises NoEngine."""
        for version in VERSIONS:
            self._import(version)

    def remove(self) -> None:
        """Containers and images of the demonstration, whatever state they are in; no error when there are none."""
        try:
            query = {"all": "1", "filters": json.dumps({"label": [LABEL]})}
            for container in self._client.get("/containers/json", params=query).json():
                self._client.delete(f"/containers/{container['Id']}", params={"force": "1", "v": "1"})
            for version in VERSIONS:
                self._client.delete(f"/images/{REPOSITORY}:{version}", params={"force": "1"})
        except httpx.TransportError:
            pass
        finally:
            self._client.close()

    def _import(self, version: str) -> None:
        command = json.dumps([_python(), "../server.py", "--host", "0.0.0.0", "--port", str(PORT)])
        changes = (f"WORKDIR /app/{version}", f"CMD {command}", f"EXPOSE {PORT}", f"LABEL {LABEL}=1")
        parameters = {"fromSrc": "-", "repo": REPOSITORY, "tag": version, "changes": changes}
        try:
            answer = self._client.post("/images/create", params=parameters, content=self._archive(version))
        except httpx.TransportError as error:
            raise NoEngine(
                f"no Docker Engine answers at {self.host} ({error}); start one, or set DOCKER_HOST"
            ) from error
        if answer.status_code != 200 or "error" in answer.text:
            raise NoEngine(f"the Docker Engine can't make the image of {version}: {answer.text.strip()}")

    def _archive(self, version: str) -> bytes:
        """The service's program and one version's model."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for directory in ("app", f"app/{version}"):
                entry = tarfile.TarInfo(directory)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            for file in sorted([*self._service.glob("*.py"), *(self._service / version).iterdir()]):
                archive.add(file, arcname=f"app/{file.relative_to(self._service)}", filter=_for_everybody)
        return buffer.getvalue()


def _for_everybody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whoever made this copy, and with whatever rights: a container without capabilities can read it."""
    entry.uid = entry.gid = 0
    entry.mode = 0o644
    return entry


def python_mounts() -> str:
    """Rows for `mounts` in the configuration: what this machine's Python needs, for the container to read."""
    return ",\n    ".join(
        f"{{ source = {json.dumps(path)}, target = {json.dumps(path)}, read_only = true }}" for path in _places()
    )


def _python() -> str:
    """Of a virtual environment, the interpreter that it was made of."""
    return os.path.realpath(sys.executable)


def _places() -> Sequence[str]:
    places = [path for path in _SYSTEM if Path(path).is_dir()]
    base = os.path.realpath(sys.base_prefix)
    return places if base.startswith(_SYSTEM) else [*places, base]
