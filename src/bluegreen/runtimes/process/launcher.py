"""Starting shims, and finding what a dead one left behind."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

from bluegreen.domain.errors import RuntimeFailure
from bluegreen.runtimes.process.identity import ProcessIdentity, wait_ended

SHIM_PROGRAM = Path(__file__).with_name("shim.py")
LAUNCH_VARIABLE = "BLUEGREEN_LAUNCH"
REPLICA_VARIABLE = "BLUEGREEN_REPLICA"
KILL_TIMEOUT_SECONDS = 10.0

_our_children: dict[int, subprocess.Popen[bytes]] = {}
"""Shims that this process started: they stay zombies until we look. Those of an earlier controller are not ours."""


def reap_shims() -> None:
    for pid, process in list(_our_children.items()):
        if process.poll() is not None:
            del _our_children[pid]


async def start_shim(replica_directory: Path, launch_token: str, *, timeout_seconds: float) -> None:
    """Returns when the shim wrote its first status: its command runs, or can't be started.

    Raises RuntimeFailure when the shim itself ends or says nothing in time; it is gone then.
    """
    process, read_fd = _spawn(replica_directory, launch_token)
    _our_children[process.pid] = process
    if await _says_ready(read_fd, timeout_seconds):
        return
    process.kill()
    process.wait()
    reap_shims()
    raise RuntimeFailure(
        f"the supervising process of {replica_directory} ended with exit code {process.returncode} "
        f"before it was ready (limit {timeout_seconds:g} s): {_last_words(replica_directory)}",
        hint=f"See {replica_directory / 'shim.log'}",
    )


def _spawn(replica_directory: Path, launch_token: str) -> tuple[subprocess.Popen[bytes], int]:
    """The shim and the descriptor that it says \"ready\" on."""
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        with (replica_directory / "shim.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(SHIM_PROGRAM), str(replica_directory)],
                stdin=subprocess.DEVNULL,
                stdout=write_fd,
                stderr=log,
                env={LAUNCH_VARIABLE: launch_token, "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
    except OSError as problem:
        os.close(read_fd)
        raise RuntimeFailure(
            f"the supervising process of {replica_directory} could not be started: {problem}",
            hint="Check free space and the limits on processes, memory and open files.",
        ) from problem
    finally:
        os.close(write_fd)
    return process, read_fd


async def _says_ready(read_fd: int, timeout_seconds: float) -> bool:
    """Closes `read_fd`. False at its end of file and after `timeout_seconds`."""
    loop = asyncio.get_running_loop()
    answer = asyncio.Event()
    loop.add_reader(read_fd, answer.set)
    try:
        await asyncio.wait_for(answer.wait(), timeout_seconds)
        return os.read(read_fd, 16) != b""
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(read_fd)
        os.close(read_fd)


def _last_words(replica_directory: Path) -> str:
    try:
        lines = (replica_directory / "shim.log").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"


def lock_is_held(replica_directory: Path) -> bool:
    """Whether a shim runs this replica, known or not. Only for those about to start one: it takes the lock."""
    try:
        fd = os.open(replica_directory / "shim.lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def processes_of(launch_token: str, replica: int | None = None) -> list[ProcessIdentity]:
    """Living processes that inherited the environment of this launch, of one replica if given."""
    wanted = {f"{LAUNCH_VARIABLE}={launch_token}".encode()}
    if replica is not None:
        wanted.add(f"{REPLICA_VARIABLE}={replica}".encode())
    found = []
    for name in (path.name for path in Path("/proc").iterdir()):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        # First who, then what: if the pid changed hands in between, the identity is dead.
        identity = ProcessIdentity.of(int(name))
        try:
            environment = Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if identity is not None and wanted <= set(environment.split(b"\0")) and identity.alive():
            found.append(identity)
    return found


async def end_leftovers(launch_token: str, grace_seconds: float, replica: int | None = None) -> None:
    """Ends what is left of a launch: SIGTERM, grace, SIGKILL until nothing is found any more.

    Raises RuntimeFailure naming the processes that withstand.
    """
    leftovers = await asyncio.to_thread(processes_of, launch_token, replica)
    if leftovers and grace_seconds > 0:
        await _signal_and_wait(leftovers, signal.SIGTERM, grace_seconds)
        leftovers = await asyncio.to_thread(processes_of, launch_token, replica)
    deadline = asyncio.get_running_loop().time() + KILL_TIMEOUT_SECONDS
    while leftovers:
        if asyncio.get_running_loop().time() > deadline:
            pids = ", ".join(str(identity.pid) for identity in leftovers)
            raise RuntimeFailure(
                f"processes {pids} do not end, {KILL_TIMEOUT_SECONDS:g} s after SIGKILL",
                hint="They hang in the kernel (a device or file server that does not answer) or are another user's.",
            )
        await _signal_and_wait(leftovers, signal.SIGKILL, KILL_TIMEOUT_SECONDS)
        leftovers = await asyncio.to_thread(processes_of, launch_token, replica)


async def _signal_and_wait(identities: list[ProcessIdentity], number: signal.Signals, timeout_seconds: float) -> None:
    for identity in identities:
        identity.send(number)
    await asyncio.gather(*(wait_ended(identity, timeout_seconds) for identity in identities))


async def end_shim(identity: ProcessIdentity, grace_seconds: float) -> None:
    """Lets the shim stop its replica in order; when it does not manage, kills it, and its child with it."""
    if identity.send(signal.SIGTERM) and not await wait_ended(identity, grace_seconds + KILL_TIMEOUT_SECONDS):
        await _signal_and_wait([identity], signal.SIGKILL, KILL_TIMEOUT_SECONDS)
    reap_shims()
