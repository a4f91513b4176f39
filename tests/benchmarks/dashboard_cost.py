"""What the dashboard costs a run beside which it is open: processor seconds of its server over those of the run.

An experiment (`--eras` weeks of 400 rows and 80 features, rounds of four variants) runs in a process of its own, the
dashboard in another, and a page in Chromium is open from the first round to the last; without Chromium, a program asks
for what the page asks for. Seconds are the processors' own (user and system), so that what else the machine does
hardly matters. What the browser takes is the viewer's, on his machine, and not counted.
The server's start (its libraries) and the opening of the page are told apart from what it takes beside the
run, and held against a run of one processor hour. That errs against the dashboard three times: a run has more
processors than one, its rounds take longer than those here, and while other work has the processors, files are looked
at every second all the same.
Exits 1 when the server takes more than 1 % of what such a run takes.

    python tests/benchmarks/dashboard_cost.py
    python tests/benchmarks/dashboard_cost.py --eras 160 --trees 100    # short
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml
from aiohttp import ClientSession

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from driven_page import CHROMIUM, Page, opened

from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

LIMIT = 0.01
HOUR_S = 3600.0
# After so long a page that was opened has all it asked for, and the run has not decided anything.
SETTLED_S = 3.0
PLAN = {
    "idea": "Measure what a page that is open costs a run.",
    "novelty": "Nobody has measured it on this machine.",
    "baseline": "tiny",
    "search_space": {
        "dimensions": {
            "num_leaves": {"path": "model.params.num_leaves", "values": [7, 15, 63, 4]},
            "learning_rate": {"path": "model.params.learning_rate", "values": [0.02, 0.1, 0.03, 0.2]},
        }
    },
    "rounds": {"variants": 4, "patience": 9},
    "stages": {stage: {"data": "full", "feature_set": "all"} for stage in ("scout", "confirm", "final")},
    "budget": {"rounds": 2},
}
COMMAND = [sys.executable, "-m", "numerai_ray"]


def prepared(root: Path, eras: int, trees: int) -> Path:
    """The experiment's folder, beside its data."""
    write_market(MarketSpec(eras=eras, rows=400, features=80, seed=1), root / "data" / "tiny")
    build(root / "data" / "tiny")
    folder = root / "experiments" / "watched"
    (folder.parent / "baselines").mkdir(parents=True)
    params = {"n_estimators": trees, "num_leaves": 31, "learning_rate": 0.05}
    baseline = {"data": {"version": "tiny", "feature_set": "all"}, "cv": {"n_splits": 5, "embargo_eras": 8}}
    (folder.parent / "baselines" / "tiny.yaml").write_text(yaml.safe_dump({**baseline, "model": {"params": params}}))
    folder.mkdir()
    (folder / "experiment.yaml").write_text(yaml.safe_dump(PLAN))
    return folder


def seconds(process: psutil.Process) -> float:
    """Processor seconds of a process and of what it has started."""
    own = process.cpu_times()
    total = float(own.user + own.system + own.children_user + own.children_system)
    return total + sum(seconds(each) for each in process.children())


async def watched(
    address: str, run: subprocess.Popen[bytes], server: psutil.Process
) -> tuple[float, float, float, int]:
    """Processor seconds of the run, of the server until a page is open and afterwards; answers that the page got."""
    at_work = psutil.Process(run.pid)
    before, ran, answers = seconds(server), 0.0, 0

    async def wait() -> None:
        nonlocal ran
        while run.poll() is None:
            try:
                ran = max(ran, seconds(at_work))
            except psutil.NoSuchProcess:
                break
            await asyncio.sleep(0.2)

    if CHROMIUM is None:
        answers = await _asking(address, wait)
    else:
        async with opened() as page:
            await page.open(f"{address}#/e/watched")
            await asyncio.sleep(SETTLED_S)
            before = seconds(server)
            await wait()
            answers = _answers(page)
    return ran, before, seconds(server) - before, answers


def _answers(page: Page) -> int:
    return sum(each["method"] == "Network.responseReceived" for each in page.events)


async def _asking(address: str, wait: object) -> int:
    """A program that asks as the page does: again whenever an event says that files changed."""
    names, answers = ("status", "overview", "leaderboard", "log"), 0

    async def listen(session: ClientSession) -> None:
        nonlocal answers
        async with session.get(f"{address}api/events", timeout=None) as stream:
            async for line in stream.content:
                if b'"changed":true' in line:
                    for name in names:
                        async with session.get(f"{address}api/{name}?exp=watched") as answer:
                            await answer.read()
                            answers += 1

    async with ClientSession() as session:
        listening = asyncio.create_task(listen(session))
        await wait()  # type: ignore[operator]
        listening.cancel()
    return answers


def measure(eras: int, trees: int) -> float:
    """The dashboard's share of the processor seconds of a run of one processor hour."""
    with tempfile.TemporaryDirectory() as name:
        folder = prepared(Path(name), eras, trees)
        board = subprocess.Popen(
            [*COMMAND, "dashboard", str(folder.parent), "--no-open"], stdout=subprocess.PIPE, text=True
        )
        assert board.stdout is not None
        address = next(word for word in board.stdout.readline().split() if word.startswith("http://"))
        began = time.monotonic()
        run = subprocess.Popen(
            [*COMMAND, "run", str(folder), "--data-dir", str(Path(name) / "data"), "--in-process", "--accept-suspect"],
            stdout=subprocess.DEVNULL,
        )
        try:
            ran, once, served, answers = asyncio.run(watched(address, run, psutil.Process(board.pid)))
        finally:
            run.wait()
            wall = time.monotonic() - began
            board.terminate()
            board.wait()
    how = "in Chromium" if CHROMIUM else "as a program asks"
    print(f"a run of {wall:.0f} s with a page open {how}, which got {answers} answers")
    print(f"processor seconds: the run {ran:.1f}, the server beside it {served:.2f} ({served / ran:.2%})")
    print(f"once, for its start and for the page: {once:.2f}")
    print(f"a minute of the run: {served / wall * 60:.3f} of {ran / wall * 60:.1f}")
    return once / HOUR_S + served / ran


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eras", type=int, default=400)
    parser.add_argument("--trees", type=int, default=1000)
    chosen = parser.parse_args()
    share = measure(chosen.eras, chosen.trees)
    print(f"of a run of one processor hour: {share:.2%}; limit {LIMIT:.0%}: {'kept' if share <= LIMIT else 'not kept'}")
    return int(share > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
