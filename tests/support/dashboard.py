"""A dashboard under test: asked in this process, or served by the command and seen in Chromium."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from numerai_ray.web import Access, Sources
from numerai_ray.web.server import make_app

Client = TestClient[Any, Any]


def visit(root: Path, tmp_path: Path, work: Callable[[Client], Awaitable[Any]], access: Access | None = None) -> Any:
    """What ``work`` gives with a client of a dashboard of ``root``."""

    async def inside() -> Any:
        app = make_app(Sources([str(root)], tmp_path), access or Access(), look_s=0.05)
        async with TestClient(TestServer(app)) as client:
            return await work(client)

    return asyncio.run(inside())


def asked(root: Path, tmp_path: Path, *addresses: str, access: Access | None = None, **headers: str) -> list[Any]:
    """Status and JSON (or text) of each address."""

    async def work(client: Client) -> list[Any]:
        found = []
        for address in addresses:
            async with client.get(address, headers=headers, allow_redirects=False) as answer:
                kind = answer.content_type
                text = answer.json() if kind == "application/json" else answer.text(errors="replace")
                found.append((answer.status, await text))
        return found

    found: list[Any] = visit(root, tmp_path, work, access)
    return found


@contextmanager
def served(*arguments: str, environment: dict[str, str] | None = None) -> Iterator[str]:
    """The address of a dashboard that the command serves from a process of its own."""
    command = [sys.executable, "-m", "numerai_ray", "dashboard", *arguments, "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line
        yield found[0]
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, "SIGTERM ends it well"
