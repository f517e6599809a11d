"""The MCP server: what a client sees, the same over every transport."""

from __future__ import annotations

from typing import Any, NoReturn

import mcp_types as types
from mcp.server import Server, ServerRequestContext
from mcp.shared.exceptions import MCPError

from bluegreen import __version__
from bluegreen.control.fleet import unknown
from bluegreen.domain.errors import AccessError, BluegreenError, UsageError
from bluegreen.interfaces.mcp import prompts, resources
from bluegreen.interfaces.mcp.backend import Backend, BackendOf
from bluegreen.interfaces.mcp.progress import wait_with_progress
from bluegreen.interfaces.mcp.tools import BY_TOOL, error_result, result_of, tool_of

Context = ServerRequestContext[Any, Any]


def build_server(backend_of: BackendOf) -> Server[Any]:
    """`backend_of` is asked anew for each message, with the HTTP request that brought it: nothing that one caller may
    do is kept for the next."""
    handlers = _Handlers(backend_of)
    return Server(
        "bluegreen",
        title="bluegreen",
        version=__version__,
        description="Blue-green deployments without a lost request, and the way back in an instant.",
        instructions=prompts.INSTRUCTIONS,
        # No parameter travels in an HTTP header, so there is nothing to look up before each call.
        get_tool_input_schema=lambda _: None,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_list_resource_templates=handlers.list_resource_templates,
        on_read_resource=handlers.read_resource,
        on_list_prompts=handlers.list_prompts,
        on_get_prompt=handlers.get_prompt,
    )


class _Handlers:
    def __init__(self, backend_of: BackendOf) -> None:
        self._backend_of = backend_of

    def _backend(self, context: Context) -> Backend:
        return self._backend_of(context.request)

    async def list_tools(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[tool_of(operation) for operation in self._backend(context).operations()])

    async def call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """What the operation says no to is a result, for the agent to act on; a tool that isn't there is an error of
        the protocol."""
        operation = BY_TOOL.get(params.name)
        if operation is None:
            _refuse(unknown("tool", params.name, BY_TOOL))
        backend, arguments = self._backend(context), params.arguments or {}
        try:
            if operation.name == "wait" and context.meta and "progress_token" in context.meta:
                return result_of(await wait_with_progress(backend, arguments, context.session.report_progress))
            return result_of(await backend.call(operation.name, arguments))
        except BluegreenError as error:
            return error_result(error)

    async def list_resources(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        try:
            return types.ListResourcesResult(resources=await resources.listed(self._backend(context)))
        except BluegreenError as error:
            _refuse(error)

    async def list_resource_templates(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=list(resources.TEMPLATES))

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        try:
            return await resources.read(self._backend(context), params.uri)
        except BluegreenError as error:
            _refuse(error, uri=params.uri)

    async def list_prompts(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        return types.ListPromptsResult(prompts=prompts.prompts())

    async def get_prompt(self, context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        try:
            return prompts.filled(params.name, params.arguments or {})
        except BluegreenError as error:
            _refuse(error)


def _refuse(error: BluegreenError, **data: str) -> NoReturn:
    """Only what a tool says no to can be a result; everything else is an error of the protocol."""
    askers_fault = error.exit_code in (UsageError.exit_code, AccessError.exit_code)
    code = types.INVALID_PARAMS if askers_fault else types.INTERNAL_ERROR
    raise MCPError(code, str(error), {"code": error.code, **data}) from error
