"""An experiment of its own on the small market, run through the command line; and what must not depend on kills."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides

CLI = [sys.executable, "-c", "from numerai_ray.cli import main; main()"]
BASELINE = {
    "data": {"version": "tiny", "feature_set": "medium"},
    "cv": {"n_splits": 4, "embargo_eras": 16},
    "model": {"params": {"n_estimators": 20, "num_leaves": 7, "min_data_in_leaf": 20, "random_state": 1}},
}
PLAN: dict[str, Any] = {
    "idea": "Smaller trees carry signal that the benchmark does not have.",
    "novelty": "Nobody has mapped tree size on this market.",
    "baseline": "tiny",
    "search_space": {
        "dimensions": {
            "num_leaves": {"path": "model.params.num_leaves", "values": [3, 15]},
            "learning_rate": {
                "path": "model.params.learning_rate",
                "values": [0.05, 0.2],
                "coupled": {"model.params.n_estimators": "inverse"},
            },
        }
    },
    "base": {"model": {"params": {"learning_rate": 0.1}}},
    # On a market this small a score is mostly luck; every value is honest here.
    "rounds": {"variants": 2, "margin": 1.0e-4},
    "stages": {"scout": {"data": "full"}, "confirm": {"data": "full", "feature_set": "all"}},
}


class Desk:
    """A data root and an experiment of its own."""

    def __init__(self, root: Path, market: Path, changes: dict[str, Any] | None = None):
        self.data, self.folder = root / "data", root / "experiments" / "small"
        self.data.mkdir(parents=True)
        (self.data / "tiny").symlink_to(market / "tiny")
        (root / "experiments" / "baselines").mkdir(parents=True)
        (root / "experiments" / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(BASELINE))
        self.folder.mkdir()
        self.plan(changes or {})

    def plan(self, changes: dict[str, Any]) -> None:
        (self.folder / "experiment.yaml").write_text(yaml.safe_dump(apply_overrides(PLAN, changes)))

    def arguments(self, *more: str) -> list[str]:
        return ["run", str(self.folder), "--data-dir", str(self.data), "--accept-suspect", *more]

    def run(self, *more: str) -> int:
        return run(self.arguments("--in-process", *more))

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*CLI, *self.arguments(*more)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def rounds(self) -> list[dict[str, Any]]:
        ledger = self.folder / "results" / "rounds.jsonl"
        return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []

    def untimed(self) -> dict[str, Any]:
        """Everything that the experiment left, without what depends on the clock or on earlier attempts."""
        rounds = self.rounds()
        for record in rounds:
            record["started"], record["wall_s"], record["cost"], record["estimated_s"] = "", 0, {}, None
            for variant in record["variants"]:
                for key in ("fits_new", "fits_stored", "fit_seconds"):
                    variant[key] = 0
        left: dict[str, Any] = {"rounds": rounds}
        for kind in ("predictions", "results", "configs"):
            for path in sorted((self.folder / kind).iterdir()):
                if path.name != "rounds.jsonl":
                    left[f"{kind}/{path.name}"] = path.read_bytes()
        report = (self.folder / "experiment.md").read_text()
        report = "\n".join(line for line in report.splitlines() if not line.startswith("*Time:"))
        report = re.sub(r"\n\n## Estimate against fact\n.*?(?=\n\n## )", "", report, flags=re.DOTALL)
        left["report"] = re.sub(r"\| \d+/\d+ \|", "| fits |", report)
        return left

    def fits(self) -> dict[str, int]:
        """Stored fits and when each was written."""
        return {path.name: path.stat().st_mtime_ns for path in (self.data / "store").rglob("*.fit")}
