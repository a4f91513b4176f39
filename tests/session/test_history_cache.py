"""History cache: a listing says what a first one says, works out again what may have changed, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders import Market, experiment

from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.lock import experiment_lock
from numerai_ray.experiment.paths import ExperimentPaths, history_file
from numerai_ray.session import history_cache, judging
from numerai_ray.session.history import Wanted, history_of

LONG_AGO = 1_700_000_000


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three experiments, written long ago."""
    root = tmp_path / "experiments"
    made = experiment(root / "a", {"baseline": "any"}, Market(noise=0.0005))
    made.scout("num_leaves", {7: 0.0029, 63: 0.0047})
    made.confirm(0.0047, 0.0037)
    made.final(0.0047, 0.0037)
    (root / "baselines").mkdir()
    (root / "baseline.yaml").rename(root / "baselines" / "any.yaml")
    shutil.copytree(root / "a", root / "b")
    shutil.copytree(root / "a", root / "c")
    monkeypatch.chdir(tmp_path)
    aged(root)
    return root


def aged(root: Path) -> None:
    for file in root.rglob("*"):
        os.utime(file, (LONG_AGO, LONG_AGO))


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Experiments that were worked out, in order."""
    names: list[str] = []
    real = judging.judged

    def counted(read: Any) -> Any:
        names.append(read.paths.root.name)
        return real(read)

    monkeypatch.setattr(judging, "judged", counted)
    return names


def test_what_is_kept_is_what_was_worked_out(root: Path, worked_out: list[str]) -> None:
    first = history_of(root)
    assert worked_out == ["a", "b", "c"]
    assert first[0].outcome == "gain"
    assert first[0].tried[0].values == ("num_leaves=7", "num_leaves=63")
    assert history_of(root) == first
    assert history_of(Path("experiments")) == [
        type(each)(**{**vars(each), "experiment": f"experiments/{Path(each.experiment).name}"}) for each in first
    ]
    assert history_of(root, Wanted(dimension="num_leaves", outcome="gain")) == first
    assert history_of(root, Wanted(words="no such word")) == []
    assert worked_out == ["a", "b", "c"]


def touched(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


def shadowed(root: Path) -> None:
    """A baseline of the same name that is not the one."""
    values = yaml.safe_load((root / "baselines" / "any.yaml").read_text())
    values["model"]["params"]["num_leaves"] = 9
    (root / "baselines" / "any.yaml").write_text(yaml.safe_dump(values))


CHANGES: dict[str, Callable[[Path], None]] = {
    "plan": lambda root: touched(ExperimentPaths(root / "b").plan),
    "ledger": lambda root: ExperimentPaths(root / "b").ledger.write_bytes(
        b"\n".join(ExperimentPaths(root / "b").ledger.read_bytes().split(b"\n")[:1]) + b"\n"
    ),
    "results that are changed": lambda root: touched(next((root / "b" / "results").glob("*num_leaves=63.json"))),
    "results that are lost": lambda root: next((root / "b" / "results").glob("*num_leaves=63.json")).unlink(),
    "the time alone": lambda root: os.utime(ExperimentPaths(root / "b").ledger),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_worked_out_again(change: str, root: Path, worked_out: list[str]) -> None:
    history_of(root)
    worked_out.clear()
    CHANGES[change](root)
    found = history_of(root)
    assert worked_out == ["b"]
    history_file(root).unlink()
    assert history_of(root) == found


def test_a_changed_baseline_is_everybody_s(root: Path, worked_out: list[str]) -> None:
    history_of(root)
    worked_out.clear()
    shadowed(root)
    found = history_of(root)
    assert worked_out == ["a", "b", "c"]
    history_file(root).unlink()
    assert history_of(root) == found


def test_files_of_this_moment_are_not_trusted_yet(root: Path, worked_out: list[str]) -> None:
    history_of(root)
    os.utime(ExperimentPaths(root / "b").ledger)
    history_of(root)
    worked_out.clear()
    history_of(root)
    assert worked_out == ["b"]  # it might have changed again within a tick of the clock


def damaged_ways() -> dict[str, Callable[[bytes], bytes]]:
    return {
        "cut short": lambda content: content[: len(content) // 2],
        "empty": lambda _: b"",
        "another value": lambda content: content.replace(b'"gain"', b'"open"'),
        "no text": lambda _: b"\xff\xfe\n\x00",
        "of another program": lambda content: b"0" * 64 + content[64:],
    }


@pytest.mark.parametrize("way", damaged_ways())
def test_a_damaged_file_is_as_none(way: str, root: Path, worked_out: list[str]) -> None:
    first = history_of(root)
    whole = history_file(root).read_bytes()
    history_file(root).write_bytes(damaged_ways()[way](whole))
    worked_out.clear()
    assert history_of(root) == first
    assert worked_out == ["a", "b", "c"]
    assert history_file(root).read_bytes() == whole


def test_where_nothing_can_be_written_it_is_listed_all_the_same(
    root: Path, worked_out: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, **_: Any) -> Any:
        raise EnvironmentFault(f"{path}: cannot be written")

    monkeypatch.setattr(history_cache, "whole_file", refused)
    assert history_of(root) == history_of(root)
    assert len(worked_out) == 6
    assert not history_file(root).exists()


def test_one_that_runs_is_told_so_at_once_and_what_is_gone_is_forgotten(root: Path, worked_out: list[str]) -> None:
    history_of(root)
    with experiment_lock(ExperimentPaths(root / "b").lock):
        assert [each.state for each in history_of(root)] == ["finished", "running", "finished"]
    assert [each.state for each in history_of(root)] == ["finished"] * 3
    shutil.rmtree(root / "b")
    assert [Path(each.experiment).name for each in history_of(root)] == ["a", "c"]
    assert b'"b"' not in history_file(root).read_bytes()
    assert worked_out == ["a", "b", "c"]
