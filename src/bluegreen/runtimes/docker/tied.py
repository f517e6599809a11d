"""`python tied.py PARENT PROGRAM ARGUMENT …` becomes PROGRAM, which gets SIGTERM when PARENT ends, however it does.

A program of its own: between fork and exec nothing of Python may run in a process with threads. Standard library only.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(127)
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is the point
    except OSError as problem:
        sys.exit(f"{program[0]}: {problem.strerror}")


if __name__ == "__main__":
    main()
