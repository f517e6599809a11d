"""Where the demonstration plays: a directory of its own, the real command line in it, and no trace afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from examples.images import REPOSITORY, DemoImages, NoEngine, python_mounts
from examples.system import EXAMPLES, TERMINAL, System
from examples.traffic import SteadyTraffic

SERVICE = "inference-model"
PREDICT = b'{"inputs": [[1.0, 2.0, 3.0, 4.0]]}'
DOCUMENTED_LISTEN = "127.0.0.1:8080"
POLL_SECONDS = 0.1
NETWORK_VARIABLE = "BLUEGREEN_DEMO_NETWORK"
"""Names the containers' network, for an engine that has no default one."""
LEAVE_SECONDS = 3.0
END_SECONDS = 10.0


class DemoFailed(Exception):
    """Something did not go as the demonstration promises."""


class Stage:
    """Holds `examples/bluegreen.toml` as it is documented, but for the port, which is a free one; with containers
    `examples/containers.toml`, and images of its own. Raises DemoFailed when no engine answers."""

    def __init__(self, runtime: str = "process") -> None:
        self._images = DemoImages(EXAMPLES / SERVICE) if runtime == "docker" else None
        self.repository = REPOSITORY if self._images else f"registry/{SERVICE}"
        directory = Path(tempfile.mkdtemp(prefix="bluegreen-demo-")).resolve()
        self.directory = directory
        try:
            shutil.copytree(EXAMPLES / SERVICE, directory / SERVICE, ignore=shutil.ignore_patterns("__pycache__"))
            # `python3` of the configuration is the one that runs this, also where no other is installed.
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
            self.system = System(directory, "", environment={"PATH": path})
            self.system.environment.pop("BLUEGREEN_CONFIG", None)
            text = (EXAMPLES / "bluegreen.toml").read_text()
            if self._images is not None:
                self._images.make()
                text = (EXAMPLES / "containers.toml").read_text()
                text = text.replace("# @mounts@", python_mounts() + ",").replace("@engine@", self._images.host)
                if network := os.environ.get(NETWORK_VARIABLE):
                    text = text.replace("\n\n[services", f'\nnetwork = "{network}"\n\n[services', 1)
            self.system.write(text.replace(DOCUMENTED_LISTEN, f"127.0.0.1:{self.system.port}"))
        except BaseException as error:
            shutil.rmtree(directory, ignore_errors=True)
            if self._images is not None:
                self._images.remove()
            if isinstance(error, NoEngine):
                raise DemoFailed(str(error)) from error
            raise

    def traffic(self, rate_per_second: float) -> SteadyTraffic:
        return SteadyTraffic(
            "127.0.0.1", self.system.port, "/predict", method="POST", body=PREDICT, rate_per_second=rate_per_second
        )

    async def bluegreen(self, *arguments: str) -> int:
        """What a user types, on the user's own screen. Returns the exit code."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "bluegreen", *arguments, cwd=self.directory, env=self.system.environment
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                await _leave(process)

    async def call(self, operation: str, **fields: Any) -> Any:
        return await asyncio.to_thread(lambda: self.system.call(operation, **fields))

    async def newest(self) -> Any:
        """The newest deployment of the service."""
        return (await self.call("history", service=SERVICE))["deployments"][0]

    async def ended(self, phase: str, *, timeout_seconds: float = 30.0) -> Any:
        """The newest deployment once it has ended, in that phase. Raises DemoFailed."""
        deadline = time.monotonic() + timeout_seconds
        while (view := await self.newest())["phase"] not in TERMINAL:
            if time.monotonic() > deadline:
                raise DemoFailed(f"{view['id']} is still {view['phase']} after {timeout_seconds:g} s: {view['reason']}")
            await asyncio.sleep(POLL_SECONDS)
        if view["phase"] != phase:
            raise DemoFailed(f"{view['id']} is {view['phase']}, not {phase}: {view['cause']}")
        return view

    def close(self) -> None:
        """Ends every process and removes the directory, whatever state things are in."""
        from bluegreen.spec.paths import run_directory

        sockets = run_directory(self.directory / ".bluegreen")
        if self._processes():
            self.system.close()
        deadline = time.monotonic() + END_SECONDS
        while (left := self._processes()) and time.monotonic() < deadline:
            # Again and again: a shim restarts what dies before it.
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        if self._images is not None:
            self._images.remove()
        shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _processes(self) -> set[int]:
        """Also those that only work in the directory: the replicas of the service."""
        found = set(self.system.processes())
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if (entry / "cwd").readlink().is_relative_to(self.directory):
                        found.add(int(entry.name))
        return found - {os.getpid()}


async def _leave(process: asyncio.subprocess.Process) -> None:
    """As a user leaves the command line: it puts the terminal in order before it goes."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
