"""A page in headless Chromium as somebody who clicks sees it: opened, clicked, waited for, read and photographed."""

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

TEXT = "document.body ? document.body.innerText : ''"
CLICK = """(() => {
  const found = [...document.querySelectorAll("*")].filter((each) => each.textContent.trim() === %s).pop();
  if (found) found.click();
  return Boolean(found);
})()"""


@dataclass(frozen=True)
class View:
    """A page at ``address``: ``clicks`` are texts to click on, in turn; it is there once it says ``wanted``."""

    address: str
    wanted: str
    clicks: Sequence[str] = ()


def seen(chromium: str, view: View, picture: Path, patience_s: float = 30.0) -> str:
    """The text of the page as rendered, with or without what was wanted by then; a PNG of it is in ``picture``."""
    profile = picture.with_suffix(".profile")
    flags = [
        "headless",
        "no-sandbox",
        "disable-gpu",
        "no-first-run",
        "disable-background-networking",
        "hide-scrollbars",
    ]
    own = ["--remote-debugging-port=0", f"--user-data-dir={profile}", "--window-size=1400,2000", "about:blank"]
    process = Popen([chromium, *(f"--{flag}" for flag in flags), *own], stdout=DEVNULL, stderr=DEVNULL)
    try:
        return asyncio.run(_seen(profile / "DevToolsActivePort", view, picture, patience_s))
    finally:
        process.terminate()
        process.wait(timeout=30)


async def _seen(port_file: Path, view: View, picture: Path, patience_s: float) -> str:
    deadline = time.monotonic() + patience_s
    while not port_file.exists() or "\n" not in port_file.read_text():
        assert time.monotonic() < deadline, "Chromium did not start"
        await asyncio.sleep(0.1)
    server = f"http://127.0.0.1:{port_file.read_text().split()[0]}"
    async with ClientSession() as session:
        async with session.get(f"{server}/json/list") as answer:
            (tab, *_) = [each for each in await answer.json(content_type=None) if each["type"] == "page"]
        async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            numbers = count(1)
            await _call(socket, next(numbers), "Page.navigate", url=view.address)
            clicks, text = list(view.clicks), ""
            while time.monotonic() < deadline and (clicks or view.wanted not in text):
                await asyncio.sleep(0.3)
                if clicks and await _value(socket, next(numbers), CLICK % json.dumps(clicks[0])):
                    clicks.pop(0)
                text = await _value(socket, next(numbers), TEXT)
            shot = await _call(socket, next(numbers), "Page.captureScreenshot", captureBeyondViewport=True)
    picture.write_bytes(base64.b64decode(shot["data"]))
    return text


async def _value(socket: ClientWebSocketResponse, number: int, expression: str) -> Any:
    result = await _call(socket, number, "Runtime.evaluate", expression=expression)
    return result["result"].get("value")


async def _call(socket: ClientWebSocketResponse, number: int, method: str, **params: object) -> dict[str, Any]:
    await socket.send_json({"id": number, "method": method, "params": params})
    while True:  # events of the page come in between
        answer = await socket.receive_json()
        if answer.get("id") == number:
            return dict(answer.get("result", {}))
