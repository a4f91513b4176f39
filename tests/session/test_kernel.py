"""In a real Jupyter kernel: rounds run inside its event loop, show themselves, and stop at its interrupt."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import Desk
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300
BEGUN = """
import asyncio

from numerai_ray import Experiment

assert asyncio.get_running_loop().is_running()
experiment = Experiment.load({folder!r})
settings = {{"data": {data!r}, "in_process": True, "accept_suspect": True}}
experiment.run(**settings)
"""
AGAIN = """
assert experiment.rounds == (), "a round was decided before it was stopped"
await asyncio.sleep(0)
experiment.run(rounds=1, **settings)
experiment.rounds[0]
"""


@pytest.fixture
def desk(tmp_path: Path, market: Path) -> Desk:
    # Trees enough that a round is still running when the interrupt comes.
    return Desk(tmp_path, market, {"base": {"model": {"params": {"n_estimators": 400}}}})


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelManager]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path))
    yield manager
    manager.shutdown_kernel(now=True)


def executed(client: Any, code: str, on_output: Callable[[dict[str, Any]], object] = id) -> list[dict[str, Any]]:
    """What a cell puts out, until the kernel is idle again; ``on_output`` sees each as it comes."""
    asked = client.execute(code)
    found = []
    while True:
        message = client.get_iopub_msg(timeout=LIMIT_S)
        if message["parent_header"].get("msg_id") != asked:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return found
        found.append(message)
        on_output(message)


def pages(messages: list[dict[str, Any]]) -> list[str]:
    return [each["content"].get("data", {}).get("text/html", "") for each in messages]


def test_a_run_shows_itself_stops_at_the_interrupt_and_goes_on(kernel: KernelManager, desk: Desk) -> None:
    client = kernel.client()
    client.start_channels()
    client.wait_for_ready(timeout=LIMIT_S)
    stopped = []

    def interrupt(message: dict[str, Any]) -> None:
        shown = message["content"].get("data", {}).get("text/html", "")
        if message["msg_type"] == "update_display_data" and "learning_rate" in shown and not stopped:
            stopped.append(shown)
            kernel.interrupt_kernel()

    first = executed(client, BEGUN.format(folder=str(desk.folder), data=str(desk.data)), interrupt)
    errors = [each["content"] for each in first if each["msg_type"] == "error"]
    assert [each["ename"] for each in errors] == ["KeyboardInterrupt"], errors
    assert stopped, "no progress was shown"
    assert desk.rounds() == []
    second = executed(client, AGAIN)
    assert [each["content"] for each in second if each["msg_type"] == "error"] == []
    assert len(desk.rounds()) == 1
    shown = pages(second)
    assert any("<pre" in page and "round 1" in page for page in shown), shown
    assert "<b>round 1</b> (scout" in shown[-1]
    client.stop_channels()
