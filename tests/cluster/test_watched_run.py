"""A run on two nodes whose copy is in a bucket, watched from elsewhere; it dies, goes on, and so does the page."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from dashboard import served
from desk import CLI, Desk
from driven_page import CHROMIUM, Page, in_chromium
from s3_server import s3_server

COPY = "s3://numerai/experiments/small"
NODES = """
import sys
from ray.cluster_utils import Cluster
size = {"num_cpus": 1, "object_store_memory": 100_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
cluster.add_node(**size)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@contextmanager
def two_nodes() -> Iterator[str]:
    keeper = subprocess.Popen(
        [sys.executable, "-c", NODES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )  # fmt: skip
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        yield keeper.stdout.readline().strip()
    finally:
        keeper.stdin.close()
        keeper.wait(timeout=60)


@pytest.mark.ray
@pytest.mark.cluster
@pytest.mark.browser
@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian package chromium)")
def test_the_page_goes_on_by_itself_when_a_run_is_killed_and_continued(tmp_path: Path, market: Path) -> None:
    desk = Desk(tmp_path, market, {"base": {"model": {"params": {"n_estimators": 6000}}}, "budget": {"rounds": 2}})
    pictures = Path(os.environ.get("NUMERAI_RAY_PICTURES", tmp_path))
    with s3_server("numerai") as bucket, two_nodes() as nodes:
        environment = {**os.environ, **bucket}
        log = (tmp_path / "run.log").open("wb")

        def start() -> "subprocess.Popen[bytes]":
            command = [*CLI, *desk.arguments("--address", nodes, "--results", COPY)]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

        first = start()

        async def work(page: Page) -> None:
            state = "(document.querySelector('.badge')?.textContent ?? '')"
            rounds = "document.querySelectorAll('ol.rounds > li').length"
            while not (desk.folder / "results" / "rounds.jsonl").exists():
                assert first.poll() is None, (tmp_path / "run.log").read_text()[-3000:]
                assert time.monotonic() < until
                await page.script("0")
            await page.open(f"{address}#/e/small")
            await page.until(f"{rounds} >= 1", 120)
            await page.script("window.opened = 'once'; 0")
            await page.until(f"{state}.includes('running')", 120)
            await page.picture(pictures / "watched-running.png")
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()
            # The copy says until when its driver was alive; nobody tells that it is not.
            await page.until(f"!{state}.includes('running')", 180)
            before = await page.script(rounds)
            await page.picture(pictures / "watched-killed.png")
            second = start()
            await page.until(f"{state}.includes('finished')", 300)
            assert second.wait(120) == 0, (tmp_path / "run.log").read_text()[-3000:]
            assert await page.script(rounds) > before
            assert await page.script("window.opened") == "once", "nobody loaded it again"
            await page.picture(pictures / "watched-finished.png")
            assert not page.faults()

        until = time.monotonic() + 240
        try:
            with served(COPY.rpartition("/")[0], environment=dict(bucket)) as address:
                in_chromium(work)
        finally:
            log.close()
            if first.poll() is None:
                os.killpg(first.pid, signal.SIGKILL)
                first.wait()
