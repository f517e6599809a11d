# ruff: noqa: PTH100
# pathlib and contextlib would cost every shim milliseconds and memory.
"""The program that runs as a replica's parent: `python -I -S shim.py DIRECTORY`.

Isolated and without site-packages it starts in a few tens of milliseconds. Everything that it imports from
here (`supervise` and below) needs the standard library only; keep it so, one of these starts with every replica.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.append(os.path.abspath(__file__).rsplit(os.sep, 4)[0])
    from bluegreen.runtimes.process.supervise import main

    sys.exit(main(sys.argv[1]))
