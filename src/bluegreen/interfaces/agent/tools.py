"""The operations as tools of pydantic-ai. Imported only with the extra `agent`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_ai import Tool

from bluegreen.control.gate import parse
from bluegreen.control.operations import Operation
from bluegreen.control.schemas import OWNERS_PARAMETERS, input_schema
from bluegreen.domain.errors import BluegreenError, UsageError

Call = Callable[[str, Mapping[str, Any]], Any]
"""Runs an operation by its name and returns its answer as plain data. Raises BluegreenError."""
Confirm = Callable[[Operation, Mapping[str, Any]], bool]
"""Asks the person about one call that changes something."""


class Toolbox:
    """`done` are the operations that ran, in order. After one "no" nothing that changes is asked about again: a model
    must not get what it wants by repeating itself."""

    def __init__(self, operations: Mapping[str, Operation], call: Call, confirm: Confirm) -> None:
        self.done: list[str] = []
        self._operations = operations
        self._call = call
        self._confirm = confirm
        self._declined = False

    def tools(self) -> list[Tool[None]]:
        return [self._tool(operation) for operation in self._operations.values()]

    def _tool(self, operation: Operation) -> Tool[None]:
        # A coroutine, so that the question is asked in the main thread and Ctrl-C reaches it; one call after the other.
        async def run(**arguments: Any) -> Any:
            return self.use(operation, arguments)

        return Tool.from_schema(
            run,
            name=operation.tool,
            description=operation.description,
            json_schema=input_schema(operation),
            sequential=True,
        )

    def use(self, operation: Operation, arguments: Mapping[str, Any]) -> Any:
        """The answer of the operation, or what went wrong as data: the model reads both."""
        try:
            strangers = [name for name in OWNERS_PARAMETERS if name in arguments]
            if strangers:
                raise UsageError(f"{operation.name}: unknown parameter {', '.join(map(repr, strangers))}")
            parse(operation, arguments)
            if operation.changes and (self._declined or not self._confirm(operation, arguments)):
                self._declined = True
                return {
                    "declined": "The person said no. Nothing was changed. Do not ask again; say what you left undone."
                }
            answer = self._call(operation.name, arguments)
        except BluegreenError as error:
            return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        self.done.append(operation.name)
        return answer
