"""The official MCP client, on stdio and on HTTP, as a function: `await call("workload_get", workloadId=…)`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


class ToolFailed(Exception):
    """The tool answered with an error; its text is what an agent reads."""


class McpCaller(Protocol):
    async def __call__(self, tool: str, /, **arguments: Any) -> dict[str, Any]: ...


def caller(client: Client) -> McpCaller:
    async def call(tool: str, /, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments)
        if result.is_error:
            raise ToolFailed("\n".join(getattr(part, "text", "") for part in result.content))
        assert isinstance(result.structured_content, dict)
        return result.structured_content

    return call


@asynccontextmanager
async def over_stdio(command: Sequence[str], *, directory: Path) -> AsyncIterator[McpCaller]:
    parameters = StdioServerParameters(
        command=command[0], args=list(command[1:]), cwd=str(directory), env=dict(os.environ)
    )
    async with Client(parameters) as client:
        yield caller(client)


@asynccontextmanager
async def over_http(url: str, token: str) -> AsyncIterator[McpCaller]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30.0, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield caller(client)
