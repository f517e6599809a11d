"""The example service: an inference server in the standard library.

    cd v2.0 && python3 ../server.py --port 9000

The version is the name of the directory it runs in, which holds that version's `model.json`. A server whose
model is damaged still answers, with 500: that is what a health check is there to find.

    GET  /health    200, or 500 with the reason
    GET  /version   {"model", "version", "kind"}
    POST /predict   {"inputs": [[…], …]} -> {"model", "version", "outputs": […]}; ?delay_ms=100 takes its time
    GET  /stream    server-sent events, one per token: ?tokens=20&delay_ms=50
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs

from http_server import Request, Response, serve
from inference import BadInput, Model, load_model, parse_rows

MODEL_NAME = "inference-model"
MAX_TOKENS = 100_000
MAX_DELAY_MILLISECONDS = 60_000
WORDS = ("traffic", "moves", "to", "green", "and", "nobody", "notices")


class InferenceServer:
    def __init__(self, version: str, model: Model | None, problem: str = "") -> None:
        """`problem` says why there is no model."""
        self._version = version
        self._model = model
        self._problem = problem
        self._requests = 0
        self._version_answer = self._json({"kind": model.kind if model else "none"})

    def answer(self, request: Request) -> Response:
        routes = {
            "/health": ("GET", self._health),
            "/version": ("GET", self._describe),
            "/predict": ("POST", self._predict),
            "/stream": ("GET", self._stream),
        }
        method, endpoint = routes.get(request.path, ("", self._health))
        if not method:
            return self._error(404, f"no such path; there are {', '.join(routes)}")
        if request.method != method:
            return self._error(405, f"{request.path} takes {method}")
        if request.path != "/health" and self._planted_fault_strikes():
            return self._error(500, "planted fault: the model ran out of memory")
        try:
            return endpoint(request)
        except BadInput as error:
            return self._error(400, str(error))

    def _health(self, request: Request) -> Response:
        return self._json({"status": "ok"}) if self._model else self._error(500, self._problem)

    def _describe(self, request: Request) -> Response:
        return self._version_answer

    def _predict(self, request: Request) -> Response:
        if self._model is None:
            return self._error(500, self._problem)
        response = self._json(self._model.predict(parse_rows(request.body, self._model.width)))
        response.delay_seconds = number(request, "delay_ms", 0, MAX_DELAY_MILLISECONDS) / 1000
        return response

    def _stream(self, request: Request) -> Response:
        tokens = number(request, "tokens", 20, MAX_TOKENS)
        delay_seconds = number(request, "delay_ms", 50, MAX_DELAY_MILLISECONDS) / 1000
        return Response(content_type="text/event-stream", stream=self._tokens(tokens, delay_seconds))

    async def _tokens(self, count: int, delay_seconds: float) -> AsyncIterator[bytes]:
        for index in range(count):
            token = {"index": index, "token": WORDS[index % len(WORDS)], "version": self._version}
            yield f"data: {json.dumps(token)}\n\n".encode()
            await asyncio.sleep(delay_seconds)
        yield b"data: [DONE]\n\n"

    def _planted_fault_strikes(self) -> bool:
        self._requests += 1
        model = self._model
        if model is not None and random.random() < model.fail_share:
            return True
        if model is None or not model.fail_every or self._requests <= model.fail_after:
            return False
        return (self._requests - model.fail_after) % model.fail_every == 0

    def _json(self, content: Mapping[str, object]) -> Response:
        answer = {"model": MODEL_NAME, "version": self._version, **content}
        return Response(body=json.dumps(answer).encode() + b"\n")

    def _error(self, status: int, message: str) -> Response:
        response = self._json({"error": message})
        response.status = status
        return response


def number(request: Request, name: str, default: int, limit: int) -> int:
    """A query parameter. Raises BadInput when it is no whole number from 0 to `limit`."""
    if not request.query:
        return default
    text = parse_qs(request.query).get(name, [str(default)])[0]
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) > limit:
        raise BadInput(f"{name} must be a whole number from 0 to {limit}")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(description="Serves the model in a directory.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--model-dir", type=Path, default=Path.cwd(), help="default: the current directory")
    parser.add_argument("--grace-seconds", type=float, default=30.0, help="to finish requests after SIGTERM")
    options = parser.parse_args()
    version = options.model_dir.resolve().name
    try:
        model, problem = load_model(options.model_dir), ""
    except (OSError, ValueError) as error:
        model, problem = None, f"model.json cannot be loaded: {error}"
        print(problem, file=sys.stderr, flush=True)
    server = InferenceServer(version, model, problem)
    print(f"{MODEL_NAME} {version} on {options.host}:{options.port}", flush=True)
    headers = {"X-Version": version}
    asyncio.run(serve(options.host, options.port, server.answer, headers, options.grace_seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
