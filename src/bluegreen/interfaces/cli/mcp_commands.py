"""`bluegreen mcp`."""

from __future__ import annotations

from bluegreen.interfaces.cli import options as o


def mcp(*, config: o.Config = o.CONFIG_DEFAULT) -> int:
    """Serve agents over standard input and output (Model Context Protocol).

    An MCP client starts this itself: its command is `bluegreen mcp`, with `--config FILE` where the file is not in the
    client's directory. The daemon must run: `bluegreen up`.
    """
    from bluegreen.interfaces.mcp.stdio import main

    return main(config)
