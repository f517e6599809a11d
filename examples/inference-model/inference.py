"""The models: `model.json` in a directory, in one of two kinds, in plain Python.

    {"kind": "linear",  "weights": [...], "bias": b}
    {"kind": "network", "hidden": [[...], ...], "hidden_bias": [...], "output": [...], "output_bias": b}

Both take rows of the same width, so a client of the old version goes on working with the new one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Row = Sequence[float]


class BadInput(ValueError):
    """The request's fault, not the model's. The message is for the client."""


@dataclass(frozen=True, slots=True)
class Model:
    kind: str
    width: int
    """Numbers in a row."""
    score: Callable[[Row], float]
    tells_confidence: bool = False
    fail_after: int = 0
    fail_every: int = 0
    """A planted fault: after `fail_after` requests every `fail_every`-th one fails. 0 means none does."""
    fail_share: float = 0.0
    """Another one: each request fails with this chance."""

    def predict(self, rows: Sequence[Row]) -> dict[str, list[float]]:
        outputs = [self.score(row) for row in rows]
        answer = {"outputs": [round(output, 6) for output in outputs]}
        if self.tells_confidence:
            answer["confidences"] = [round(1 / (1 + math.exp(-abs(output))), 6) for output in outputs]
        return answer


def load_model(directory: Path) -> Model:
    """Raises OSError when there is no `model.json`, ValueError when it is damaged."""
    content = json.loads((directory / "model.json").read_text())
    try:
        model = _linear(content) if content["kind"] == "linear" else _network(content)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{error} is missing or has the wrong type") from error
    return model


def parse_rows(body: bytes, width: int) -> list[Row]:
    """`{"inputs": [[…], …]}`; one row may be given without the outer list. Raises BadInput."""
    try:
        inputs: Any = json.loads(body)["inputs"]
    except (ValueError, KeyError, TypeError):
        raise BadInput('send a JSON object such as {"inputs": [[1, 2, 3, 4]]}') from None
    if isinstance(inputs, list) and inputs and not isinstance(inputs[0], list):
        inputs = [inputs]
    if not isinstance(inputs, list) or not all(_is_row(row, width) for row in inputs):
        raise BadInput(f"every row of inputs must have {width} numbers")
    return inputs


def _is_row(row: Any, width: int) -> bool:
    return isinstance(row, list) and len(row) == width and all(type(value) in (int, float) for value in row)


def _linear(content: dict[str, Any]) -> Model:
    weights, bias = content["weights"], content["bias"]

    def score(row: Row) -> float:
        return _dot(weights, row) + float(bias)

    return Model("linear", len(weights), score)


def _network(content: dict[str, Any]) -> Model:
    hidden, hidden_bias = content["hidden"], content["hidden_bias"]
    output, output_bias = content["output"], content["output_bias"]
    fault = content.get("fault", {})

    def score(row: Row) -> float:
        layer = [math.tanh(_dot(weights, row) + bias) for weights, bias in zip(hidden, hidden_bias, strict=True)]
        return _dot(output, layer) + float(output_bias)

    return Model(
        "network",
        len(hidden[0]),
        score,
        tells_confidence=True,
        fail_after=fault.get("after_requests", 0),
        fail_every=fault.get("every", 0),
        fail_share=fault.get("share", 0.0),
    )


def _dot(left: Row, right: Row) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))
