"""`python -m tests.e2e.flood PORT PATH COUNT`: so many requests at once; prints how often each answer came.

A process of its own, so that what it costs to send them is not taken for what it costs to answer.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter


def request_of(path: str, token: str, port: int) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    ).encode()


async def one_answer(port: int, request: bytes) -> str:
    """The status of the answer, or what happened to the connection."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        line = await reader.readline()
        await reader.read()
        writer.close()
        return line.split()[1].decode() if line else "closed"
    except OSError as error:
        return type(error).__name__


async def flood(port: int, request: bytes, count: int) -> Counter[str]:
    return Counter(await asyncio.gather(*(one_answer(port, request) for _ in range(count))))


def main() -> None:
    port, path, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 500), hard))
    request = request_of(path, sys.stdin.readline().strip(), port)
    print(json.dumps(asyncio.run(flood(port, request, min(count, hard - 500)))))


if __name__ == "__main__":
    main()
