"""An agent at work with nothing but skills and JSON: every branch taken from what the last answer says, none guessed.

It is played twice: with commands in a shell, and through the server of tools with the official SDK's client over stdio.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import mcp_types as types
import pytest
import yaml
from anyio.from_thread import BlockingPortal, start_blocking_portal
from desk import BASELINE, Desk
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from numerai_account import PUBLIC_ID, SECRET, Account
from numerai_server import NumeraiServer
from submission_desk import PYTHONS

from numerai_ray.config import apply_overrides
from numerai_ray.session.skills import skills

PROGRAM = [sys.executable, "-m", "numerai_ray"]
IDEA = "Trees of another size, taught by another label, see what the benchmark does not."
READINGS = {
    "week": {"data": {"target": "target_ender_20"}},
    "relative": {"data": {"target": "target_jasper_20"}},
    "stranger": {"data": {"target": "target_teager2b_20"}},
}
SIZE = {"path": "model.params.num_leafs", "values": [3, 15], "why": "how much a tree tells"}
NARROW = {"rounds": {"variants": 2, "patience": 1}, "budget": {"rounds": 1}, "stages": {"scout": {"data": "full"}}}


class Hands(Protocol):
    """How an agent reaches the program. A refusal is its message."""

    root: Path

    def read(self, name: str) -> str: ...

    def ask(self, tool: str, **given: Any) -> Any: ...

    def refused(self, tool: str, **given: Any) -> str: ...

    def run_until_killed(self, experiment: str) -> None: ...

    def run(self, *experiments: str) -> Any: ...

    def summary(self) -> str: ...


COMMANDS = {
    "history": ["history"],
    "data_info": ["data", "info"],
    "plan_new": ["new"],
    "plan_check": ["plan", "--no-calibrate"],
    "status": ["status"],
    "leaderboard": ["leaderboard"],
    "report": ["report"],
    "export": ["export"],
    "verify": ["verify"],
    "upload": ["upload", "--yes"],
    "follow": ["follow"],
}


class Shell:
    """Commands as the skills write them, each a process."""

    def __init__(self, root: Path):
        self.root = root
        assert self._run(["skills", "install", "--to", "skills"]).returncode == 0

    def read(self, name: str) -> str:
        return (self.root / "skills" / name / "SKILL.md").read_text()

    def ask(self, tool: str, **given: Any) -> Any:
        if tool == "answer":  # the skill: `status` has it
            return self.ask("status", **given)["answer"]
        ended = self._run(self._words(tool, given))
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    def refused(self, tool: str, **given: Any) -> str:
        ended = self._run(self._words(tool, given))
        assert ended.returncode == 2, ended.stdout
        assert not ended.stdout
        return ended.stderr

    def run_until_killed(self, experiment: str) -> None:
        """A run under a time limit of the shell's."""
        process = subprocess.Popen(
            [*PROGRAM, "run", experiment, "--in-process", "--json"], cwd=self.root, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "round_started"
        process.kill()
        process.wait()

    def run(self, *experiments: str) -> Any:
        assert "numerai-ray run EXP --accept-suspect" in self.read("numerai-experiment")
        ended = self._run(["run", *experiments, "--in-process", "--accept-suspect", "--json"])
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def summary(self) -> str:
        return (self.root / "experiments" / "summary.md").read_text()

    def _words(self, tool: str, given: dict[str, Any]) -> list[str]:
        places = [given.pop(name) for name in ("experiment", "pickle") if name in given]
        switch = {key for key, value in given.items() if value is True}
        flags = [f"--{key.replace('_', '-')}" for key in switch]
        flags += [f"--{key.replace('_', '-')}={value}" for key, value in given.items() if key not in switch]
        return [*COMMANDS[tool], *places, *flags, "--json"]

    def _run(self, words: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*PROGRAM, *words], cwd=self.root, capture_output=True, text=True, check=False)


class Tools:
    """The server's tools, by a client that speaks to it over stdio."""

    def __init__(self, root: Path, portal: BlockingPortal, client: Client):
        self.root, self._portal, self._client = root, portal, client

    def read(self, name: str) -> str:
        return self._portal.call(self._client.get_prompt, name).messages[0].content.text  # type: ignore[union-attr]

    def ask(self, tool: str, **given: Any) -> Any:
        found = self._portal.call(self._client.call_tool, tool, given)
        assert not found.is_error, found.content
        return found.structured_content

    def refused(self, tool: str, **given: Any) -> str:
        found = self._portal.call(self._client.call_tool, tool, given)
        assert found.is_error
        return str(found.content[0].text)  # type: ignore[union-attr]

    def run_until_killed(self, experiment: str) -> None:
        """A background run whose process somebody ends."""
        started = self.ask("run", experiment=experiment, in_process=True)
        os.kill(started["pid"], signal.SIGKILL)
        until = time.monotonic() + 60
        while self.ask("status", experiment=experiment)["last_run"]["running"]:
            assert time.monotonic() < until

    def run(self, *experiments: str) -> Any:
        if len(experiments) > 1:
            self.ask("queue", experiments=list(experiments), in_process=True, accept_suspect=True)
        else:
            self.ask("run", experiment=experiments[0], in_process=True, accept_suspect=True)
        while True:
            now = self.ask("wait", experiment=experiments[0], timeout_s=60)
            if not now["last_run"]["running"]:
                assert now["last_run"]["exit_code"] == 0, now["last_run"]["said"]
                return now

    def summary(self) -> str:
        return self._portal.call(self._client.read_resource, "numerai-ray://summary").contents[0].text  # type: ignore[union-attr]


@contextmanager
def shell(root: Path) -> Iterator[Hands]:
    yield Shell(root)


async def agrees(_: Any, asked: types.ElicitRequestFormParams) -> types.ElicitResult:
    """The client's user, who is asked before a model leaves this machine."""
    assert asked.message == "Send model.pkl to Numerai, to the model ray_size? It may replace what runs there."
    return types.ElicitResult(action="accept", content={"send": True})


@contextmanager
def tools(root: Path) -> Iterator[Hands]:
    command = [*PROGRAM, "mcp", "--root", str(root), "--data-dir", str(root / "data"), "--allow-upload"]
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ), cwd=root)
    with start_blocking_portal() as portal:
        client = Client(stdio_client(server), read_timeout_seconds=300, elicitation_callback=agrees)
        with portal.wrap_async_context_manager(client):
            yield Tools(root, portal, client)


@pytest.fixture
def root(tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data and a baseline, and nothing else."""
    desk = Desk(tmp_path, market)
    desk.folder.joinpath("experiment.yaml").unlink()
    desk.folder.rmdir()
    small = apply_overrides(BASELINE, {"data": {"version": "tiny"}})
    (tmp_path / "experiments" / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(small))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    return tmp_path


def edited(hands: Hands, experiment: str, changes: dict[str, Any], *gone: str) -> None:
    """The agent edits the plan's file."""
    file = hands.root / experiment / "experiment.yaml"
    plan = yaml.safe_load(file.read_text())
    for key in gone:
        plan.pop(key, None)
    file.write_text(yaml.safe_dump(apply_overrides(plan, changes), sort_keys=False))


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Numerai, and the user's keys in the environment; it validates at the first look."""
    with NumeraiServer({}).running() as server:
        for name, value in {"PUBLIC_ID": PUBLIC_ID, "SECRET_KEY": SECRET, "RAY_API_URL": server.url}.items():
            monkeypatch.setenv(f"NUMERAI_{name}", value)
        made = Account(server, versions=("v5.2", "tiny"))
        made.fates.append(("validated",))
        yield made


@pytest.mark.long
@pytest.mark.timeout(1800)  # some forty processes; a busy machine takes ten minutes for them
@pytest.mark.parametrize("by", [shell, tools])
def test_a_line_of_inquiry_is_taken_to_its_end_without_a_guess(
    by: Any, root: Path, account: Account, environment: Any
) -> None:
    with by(root) as hands:
        play(hands)


def play(hands: Hands) -> None:
    skill = hands.read("numerai-experiment")
    assert skill == next(each.text for each in skills() if each.name == "numerai-experiment")

    # Was it tried? No.
    assert hands.ask("history")["experiments"] == []
    targets = {each["target"] for each in hands.ask("data_info")["versions"][0]["targets"]}
    assert {each["data"]["target"] for each in READINGS.values()} <= targets

    # A vague idea with three interpretations; a wrong parameter; folds without the benchmark.
    first = "experiments/size"
    made = hands.ask("plan_new", experiment=first, idea=IDEA, novelty="Nobody has put both together.", baseline="tiny")
    assert made["plan"] == f"{first}/experiment.yaml"
    space = {"dimensions": {"size": {**SIZE}}}
    base = {
        "model": {"params": {"n_estimators": 10}, "target_transform": {"type": "residual_to_benchmark"}},
        "cv": {"n_splits": 20, "embargo_eras": 5},
    }
    edited(hands, first, {**NARROW, "search_space": space, "interpretations": READINGS, "base": base}, "search_space")
    told = hands.refused("plan_check", experiment=first)
    (right,) = set(re.findall(r"did you mean '(\w+)'", told))
    assert "search_space.dimensions.size" in told
    space["dimensions"]["size"]["path"] = f"model.params.{right}"
    edited(hands, first, {"search_space": space})
    told = hands.refused("plan_check", experiment=first)
    key, value = re.findall(r"set cv\.(\w+) to (\d+)", told)[0]
    edited(hands, first, {"base": {"cv": {key: int(value)}}})
    checked = hands.ask("plan_check", experiment=first)
    assert checked["stages"][0]["stage"] == "interpret"

    # Killed in the middle of its first round, it goes on where it was.
    hands.run_until_killed(first)
    state = hands.ask("status", experiment=first)
    assert state["state"] in ("not started", "stopped")  # it may have decided the first round before it was killed
    assert not state["finished"]
    hands.run(first)
    state = hands.ask("status", experiment=first)
    assert (state["state"], state["finished"]) == ("finished", True)
    assert hands.ask("leaderboard", experiment=first)["rows"][0]["stage"] == "final"

    # Read before building on it: what is no gain stays a result.
    answer = hands.ask("answer", experiment=first)
    assert answer["verdict"]
    assert answer["next"][0]["command"].startswith("numerai-ray ")
    assert (answer["kind"], answer["finished"]) != ("nothing yet", False)
    (row,) = hands.ask("history", find="another label")["experiments"]
    assert row["outcome"] in ("gain", "inside the noise", "no gain")
    assert row["outcome"] in skill
    assert row["answer"] == answer["verdict"]
    assert {each["dimension"] for each in row["tried"]} >= {"size"}

    # A second idea; then both in one go, of which only the second has something left to do; one summary.
    second = "experiments/rate"
    hands.ask(
        "plan_new",
        experiment=second,
        idea="Slower learning generalizes better here.",
        novelty="Untried so far.",
        baseline="tiny",
    )
    rate = {
        "dimensions": {"rate": {"path": "model.params.learning_rate", "values": [0.05, 0.2], "why": "smaller steps"}}
    }
    edited(
        hands,
        second,
        {**NARROW, "search_space": rate, "base": {"model": {"params": {"n_estimators": 10, "learning_rate": 0.1}}}},
        "search_space",
    )
    hands.run(first, second)
    rows = {Path(each["experiment"]).name: each for each in hands.ask("history")["experiments"]}
    assert {name: each["state"] for name, each in rows.items()} == {"size": "finished", "rate": "finished"}
    summary = hands.summary()
    assert all(name in summary for name in ("(size/", "(rate/", "## What to try next"))
    report = hands.ask("report", experiment=second)
    assert (hands.root / report["report"]).is_file()

    sent_and_followed(hands, second)


def sent_and_followed(hands: Hands, second: str) -> None:
    """The winner leaves as a model; with the user's word it goes to Numerai, and is followed there."""
    card = hands.ask("export", experiment=second, out="model.pkl", python=PYTHONS[0], in_process=True)
    assert card["experiment"] == "rate"
    assert (hands.root / "model.pkl").is_file()
    assert hands.ask("verify", pickle="model.pkl")["ok"]
    assert "upload" in hands.read("numerai-submission")
    assert hands.ask("upload", pickle="model.pkl", new="ray_size")["passed"]
    words = {each["model"]: each for each in hands.ask("follow")["models"]}
    assert words["ray_size"]["experiment"] == "rate"
    assert words["ray_size"]["word"] in ("too early", "no promise known")
    assert f"`{words['ray_one']['word']}`" in hands.read("numerai-submission")
