"""Wrong requests and how each must end: one clear message, exit code 2, nothing left behind."""

import os
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.data.files.build import BuildSpec, build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

VERSION = "v5.2"
# Small trees on the tiny market; 60 eras every 4th leave 15, so an embargo of 5 weeks leaves folds that can train.
PLAN: dict[str, Any] = {
    "idea": "Wider trees carry signal that the benchmark does not have.",
    "novelty": "Nobody has mapped tree size against BMC on this market.",
    "baseline": "tiny",
    "search_space": {
        "dimensions": {
            "num_leaves": {"path": "model.params.num_leaves", "values": [4, 8]},
            "learning_rate": {
                "path": "model.params.learning_rate",
                "values": [0.05, 0.2],
                "coupled": {"model.params.n_estimators": "inverse"},
            },
        }
    },
}
BASELINE: dict[str, Any] = {
    "cv": {"n_splits": 3, "embargo_eras": 5},
    "model": {"params": {"n_estimators": 4, "learning_rate": 0.1, "num_leaves": 3, "min_data_in_leaf": 20}},
}
OFFICIAL: dict[str, Any] = {
    "data": {
        "data_version": VERSION,
        "feature_set": "small",
        "target_col": "target_ender_20",
        "full_data_path": f"{VERSION}/full.parquet",
        "benchmark_data_path": f"{VERSION}/full_benchmark_models.parquet",
        "embargo_eras": 5,
    },
    "model": {"type": "LGBMRegressor", "params": {"n_estimators": 4, "num_leaves": 3, "min_data_in_leaf": 20}},
    "training": {"cv": {"n_splits": 3}},
}

REMOVED = object()


def changed(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``base`` with values set at dotted paths; ``REMOVED`` takes a key away."""
    tree = deepcopy(dict(base))
    for path, value in changes.items():
        node = tree
        *parents, last = path.split(".")
        for part in parents:
            node = node.setdefault(part, {})
        if value is REMOVED:
            del node[last]
        else:
            node[last] = value
    return tree


def make_market(root: Path) -> Path:
    """The smallest market that experiments run on, built; returns the data root."""
    write_market(MarketSpec(eras=60, rows=50, features=12), root / VERSION)
    build(root / VERSION, BuildSpec())
    return root


@dataclass(frozen=True)
class Desk:
    """A folder with a good experiment, a good official config and the tiny market (hard links), to be damaged."""

    root: Path
    data: Path

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    @property
    def exp(self) -> Path:
        return self.experiments / "capacity"

    @property
    def plan(self) -> Path:
        return self.exp / "experiment.yaml"

    @property
    def official(self) -> Path:
        return self.root / "official.py"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def version(self) -> Path:
        return self.data / VERSION

    def write_plan(self, changes: Mapping[str, Any]) -> None:
        self.plan.write_text(yaml.safe_dump(changed(PLAN, changes), sort_keys=False))

    def write_official(self, changes: Mapping[str, Any]) -> None:
        self.official.write_text(f"CONFIG = {changed(OFFICIAL, changes)!r}\n")

    def replace(self, name: str, content: bytes) -> None:
        """Another content for a data file; its hard link elsewhere stays as it is."""
        (self.version / name).unlink(missing_ok=True)
        (self.version / name).write_bytes(content)

    def run_arguments(self) -> list[str]:
        return ["run", str(self.exp), "--data-dir", str(self.data), "--in-process"]

    def train_arguments(self) -> list[str]:
        own = ["--config", str(self.official), "--output-dir", str(self.out)]
        return ["train", *own, "--data-dir", str(self.data), "--in-process"]


def set_desk(root: Path, market: Path) -> Desk:
    desk = Desk(root, root / "data")
    desk.exp.mkdir(parents=True)
    (desk.experiments / "baselines").mkdir()
    baseline = apply_overrides({"data": {"version": VERSION}}, BASELINE)
    (desk.experiments / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(baseline))
    desk.write_plan({})
    desk.write_official({})
    desk.version.mkdir(parents=True)
    for file in (each for each in (market / VERSION).iterdir() if each.is_file()):
        os.link(file, desk.version / file.name)
    return desk


def tree(root: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and time of change.

    Locks, the store that holds nothing but one, and remembered fingerprints and digests do not count.
    """
    return {
        str(path.relative_to(root)): (stat.st_size, stat.st_mtime_ns) if path.is_file() else (0, 0)
        for path in root.rglob("*")
        if path.name not in (".lock", ".claims", ".fingerprints.json") and path.suffix != ".digests"
        if not (path.name == "store" and [each.name for each in path.iterdir()] == [".claims"])
        for stat in [path.lstat()]
    }


def flat(text: str) -> str:
    """Text without the frames and line breaks that a terminal's width brings."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", text)


def check_refusal(code: int, out: str, err: str, words: tuple[str, ...]) -> None:
    assert code == 2, f"exit code {code}\n{out}\n{err}"
    assert "Traceback" not in out + err
    for word in words:
        assert word in flat(err), f"{word!r} is not in: {err}"


def refuse(desk: Desk, capfd: pytest.CaptureFixture[str], arguments: list[str], words: tuple[str, ...]) -> None:
    """Run a wrong request: one message that holds ``words``, nothing on stdout, nothing changed on disk."""
    before = tree(desk.root)
    capfd.readouterr()
    code = run(arguments)
    out, err = capfd.readouterr()
    check_refusal(code, out, err, words)
    assert out == ""
    err = re.sub(r"(?m)^note: .*: is code, and runs .*\n", "", err)  # said before anything can be found wrong with it
    assert err.startswith("error: ") or "Usage: " in err, err  # nothing but the message
    after = tree(desk.root)
    changed_paths = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not changed_paths, f"left behind or changed: {changed_paths}"
