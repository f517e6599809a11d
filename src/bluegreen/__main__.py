"""`bluegreen` and `python -m bluegreen`."""

from __future__ import annotations

import sys

from bluegreen import __version__


def main() -> None:
    """Runs the command line and exits with its code."""
    if sys.argv[1:] in (["version"], ["--version"]):
        # Asked for by scripts and health checks: not worth loading a command line for.
        print(f"bluegreen {__version__}")
        return
    from bluegreen.interfaces.cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
