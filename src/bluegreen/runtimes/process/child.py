# ruff: noqa: PTH110, PTH118, PTH123
# pathlib and contextlib would cost every shim milliseconds and memory.
"""Turning a command into a running process, with a clear sentence when that can't be done. Standard library only.

Fork and exec by hand: the shim has a single thread, so code between the two is safe, and it needs
PR_SET_PDEATHSIG there, which is about the parent *thread*.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PERMANENT_ERRORS = frozenset(
    {errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR, errno.EPERM, errno.E2BIG}
    | {errno.ELOOP, errno.ENAMETOOLONG, errno.EISDIR}
)
CHANGED_SIGNALS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGXFSZ,
)
"""Those that Python or the shim handles or ignores; the replica gets the defaults."""

_libc = ctypes.CDLL(None, use_errno=True)


class CannotStart(Exception):
    """The replica can't be started, and trying again won't mend it."""


def become_subreaper() -> None:
    """From now on every orphan among our descendants becomes our child, however it detached itself."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start_child(argv: list[str], env: dict[str, str], workdir: str) -> tuple[int, int]:
    """Starts `argv` in `workdir`, in a process group of its own, without a shell; it is killed when we die.

    Returns its pid and the descriptor, non-blocking, that its stdout and stderr come out of.
    Raises CannotStart, or OSError when trying again may help.
    """
    output_fd, output_write_fd = os.pipe2(os.O_CLOEXEC)
    error_fd, error_write_fd = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    # A signal meant for the child must not reach our wakeup pipe through the handlers it inherits.
    signal.pthread_sigmask(signal.SIG_BLOCK, CHANGED_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _become(argv, env, workdir, parent, output_write_fd, error_write_fd)
    except OSError:
        os.close(output_fd)
        os.close(error_fd)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, CHANGED_SIGNALS)
        os.close(output_write_fd)
        os.close(error_write_fd)
    with open(error_fd, encoding="utf-8") as file:
        failure = file.read()
    if failure:
        os.close(output_fd)
        os.waitpid(pid, 0)
        _raise_failure(failure, argv[0], workdir, env.get("PATH", os.defpath))
    os.set_blocking(output_fd, False)
    return pid, output_fd


def _become(argv: list[str], env: dict[str, str], workdir: str, parent: int, output_fd: int, error_fd: int) -> NoReturn:
    """In the forked child: turns into the replica, or writes why not and exits."""
    stage = "setup"
    try:
        os.setpgid(0, 0)
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)
        signal.set_wakeup_fd(-1)
        for number in CHANGED_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.dup2(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        stage = "workdir"
        os.chdir(workdir)
        stage = "command"
        os.execvpe(argv[0], argv, env)  # noqa: S606  (no shell is the point)
    except OSError as problem:
        os.write(error_fd, f"{stage} {problem.errno}".encode())
    except BaseException as problem:
        os.write(error_fd, f"{stage} 0 {problem!r}"[:1000].encode())
    os._exit(127)


def _raise_failure(failure: str, program: str, workdir: str, path: str) -> NoReturn:
    stage, number_text, *rest = failure.split(" ", 2)
    number = int(number_text)
    reason = rest[0] if rest else os.strerror(number)
    if stage == "workdir":
        message = f"working directory {workdir!r} can't be entered: {reason}"
    elif number == errno.ENOENT and "/" in program and os.path.exists(os.path.join(workdir, program)):
        message = f"{program!r} can't be executed: the interpreter named in its first line does not exist"
    elif number == errno.ENOENT and "/" in program:
        message = f"command not found: {program!r} (relative to {workdir!r})"
    elif number == errno.ENOENT:
        message = f"command not found: {program!r} is not in PATH={path}"
    elif number == errno.ENOEXEC:
        message = f"{program!r} can't be executed: not a program, and without a #! line"
    else:
        message = f"{program!r} can't be executed: {reason}"
    if number in PERMANENT_ERRORS or number == 0:
        raise CannotStart(message)
    raise OSError(number, message)
