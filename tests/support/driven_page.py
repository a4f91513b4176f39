"""A page of headless Chromium that tests drive: scripts, sizes, colour schemes, keys, pictures, and what went wrong."""

import asyncio
import base64
import json
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "headless no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"
SIZES = {"desktop": (1400, 1000, False), "phone": (390, 844, True)}


class Page:
    """One tab."""

    def __init__(self, socket: ClientWebSocketResponse):
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.events: list[dict[str, Any]] = []

    async def listen(self) -> None:
        async for message in self._socket:
            value = json.loads(message.data)
            if "id" in value:
                self._waiting.pop(value["id"]).set_result(value)
            else:
                self.events.append(value)

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self._waiting[number], 60)
        assert "error" not in answer, answer
        return dict(answer["result"])

    async def script(self, text: str) -> Any:
        """The value of an expression, awaited where it is a promise."""
        result = await self.call("Runtime.evaluate", expression=text, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, condition: str, patience_s: float = 30.0) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + patience_s
        while not await self.script(condition):
            assert time.monotonic() < deadline, f"never: {condition}"
            await asyncio.sleep(0.1)

    async def open(self, address: str, size: str = "desktop", scheme: str = "light") -> None:
        """Load a page afresh at a size and in a colour scheme."""
        width, height, mobile = SIZES[size]
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self.call("Page.navigate", url="about:blank")
        await self.call("Page.navigate", url=address)

    async def key(self, key: str) -> None:
        """Press a key."""
        text = {"text": {"Enter": "\r", " ": " "}.get(key, key)} if len(key) == 1 or key == "Enter" else {}
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    async def picture(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def faults(self) -> list[str]:
        """Exceptions, refused resources, broken policies and dialogs."""
        found = []
        for event in self.events:
            name, told = event.get("method"), event.get("params", {})
            if name == "Runtime.exceptionThrown":
                found.append(str(told["exceptionDetails"]))
            elif name == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
                found.append(f"{told['entry']['text']} {told['entry'].get('url')}")
            elif name == "Page.javascriptDialogOpening":
                found.append(str(told))
        return found


def in_chromium(work: Callable[[Page], Awaitable[Any]]) -> Any:
    """What ``work`` gives with a page of its own."""

    async def inside() -> Any:
        async with opened() as page:
            return await work(page)

    return asyncio.run(inside())


@asynccontextmanager
async def opened() -> AsyncIterator[Page]:
    """A page of a Chromium of its own."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = [f"--{flag}" for flag in FLAGS.split()]
        own = ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        process = Popen([CHROMIUM, *flags, *own], stdout=DEVNULL, stderr=DEVNULL)
        try:
            async with ClientSession() as session:
                server = await _address(Path(profile) / "DevToolsActivePort")
                async with session.get(f"{server}/json/list") as answer:
                    tab = next(each for each in await answer.json(content_type=None) if each["type"] == "page")
                async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    page = Page(socket)
                    listening = asyncio.create_task(page.listen())
                    for domain in ("Page", "Runtime", "Log", "Network"):
                        await page.call(f"{domain}.enable")
                    await page.call("Emulation.setFocusEmulationEnabled", enabled=True)
                    yield page
                    listening.cancel()
                    with suppress(asyncio.CancelledError):
                        await listening
        finally:
            process.terminate()
            process.wait(timeout=30)


async def _address(port_file: Path) -> str:
    deadline = time.monotonic() + 60
    while not port_file.exists() or "\n" not in port_file.read_text():
        assert time.monotonic() < deadline, "Chromium did not start"
        await asyncio.sleep(0.1)
    return f"http://127.0.0.1:{port_file.read_text().split()[0]}"
