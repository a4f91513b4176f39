"""Weights between two targets and a neutralization are found where an independent slow grid finds them best.

The market's truth says what to expect: target_teager2b_20 holds more of what the benchmark lacks than the scored
target, so more than half of the weight is its; and whoever neutralizes to the features of that signal loses it. Where
exactly the optimum lies depends on what models learn of it: there the grid decides, made of the plain predictions of
both targets with nothing of ours, era by era.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from numerai_tools.scoring import neutralize
from oracles import oracle_contribution
from scipy.stats import norm, rankdata

from numerai_ray.cli.main import run
from numerai_ray.data.files.build import BuildSpec, build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

SCORED, OTHER = "target_ender_20", "target_teager2b_20"
BASELINE: dict[str, Any] = {
    "data": {"version": "planted", "file": "full", "feature_set": "medium", "target": SCORED},
    "cv": {"n_splits": 4, "embargo_eras": 16},
    "model": {
        "params": {
            "n_estimators": 60,
            "learning_rate": 0.05,
            "num_leaves": 15,
            "colsample_bytree": 0.3,
            "min_data_in_leaf": 100,
            "random_state": 1,
        }
    },
}
SETS = ("small", "distinct_signal", "known_to_benchmark")
STAGE = {"data": "full", "feature_set": None}
PLAN: dict[str, Any] = {
    "idea": "Two targets' models, neutralized, add what the benchmark lacks.",
    "novelty": "The planted optimum is not known to the search.",
    "baseline": "one_target",
    "base": {"data": {"target": {SCORED: 1.0, OTHER: 1.0}}},
    "search_space": {
        "dimensions": {
            "weight": {
                "path": f"data.target.{OTHER}",
                "values": [0.25, 0.5, 2.0, 8.0],
                "range": {"low": 0.1, "high": 32.0, "scale": "log"},
                "why": "how much of the second target",
            },
            "neutralize": {
                "path": "post.neutralize",
                "values": [{"to": name, "proportion": 0.5} for name in SETS],
                "why": "what to take out",
            },
            "proportion": {
                "path": "post.neutralize.proportion",
                "values": [0.25, 0.75, 1.0],
                "range": {"low": 0.0, "high": 1.0},
                "when": {"post.neutralize.to": list(SETS)},
                "required": False,
                "why": "how much of it",
            },
        }
    },
    "rounds": {"variants": 4, "proposer": "refine", "margin": 1.0e-6, "patience": 3},
    "stages": {"scout": STAGE, "confirm": STAGE, "final": STAGE},
    "budget": {"rounds": 8},
}
RATIOS = (0.5, 1.0, 2.0, 3.0, 5.0, 9.0, 16.0)
PROPORTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)


def shape(values: np.ndarray) -> np.ndarray:
    """Normal quantiles of ranks, ties averaged."""
    return norm.ppf((rankdata(values) - 0.5) / len(values))


class Grid:
    """BMC of mixtures of two targets' own out-of-fold predictions, neutralized to a feature set."""

    def __init__(self, root: Path, columns: dict[str, pd.Series], neutral_to: str):
        names = json.loads((root / "planted" / "features.json").read_text())["feature_sets"][neutral_to]
        wanted = ["id", "era", SCORED, *names]
        full = pd.read_parquet(root / "planted" / "full.parquet", columns=wanted).set_index("id")
        bench = pd.read_parquet(root / "planted" / "full_benchmark_models.parquet").set_index("id")
        frame = full.join(bench["v52_lgbm_ender20"]).join(pd.DataFrame(columns), how="inner")
        self.eras = [era.sort_index() for _, era in frame.groupby("era", sort=True)]
        self.names = names

    def mixed(self, era: pd.DataFrame, ratio: float) -> np.ndarray:
        one, other = (rankdata(era[f"{target}_model"]) for target in (SCORED, OTHER))
        return shape(one / (1 + ratio) + other * ratio / (1 + ratio))

    def bmcs(self, ratio: float, proportions: Sequence[float]) -> list[float]:
        """Mean over eras of the contribution's formula, written out, for each proportion."""
        found: list[list[float]] = [[] for _ in proportions]
        for era in self.eras:
            mixed, benchmark = self.mixed(era, ratio), shape(era["v52_lgbm_ender20"].to_numpy())
            exposures = np.column_stack([era[self.names].to_numpy(float), np.ones(len(era))])
            linear = exposures @ np.linalg.lstsq(exposures, mixed, rcond=None)[0]
            label = 4 * (era[SCORED].to_numpy(float) - era[SCORED].mean())
            for each, proportion in zip(found, proportions, strict=True):
                prediction = shape(mixed - proportion * linear)
                own = prediction - benchmark * (prediction @ benchmark) / (benchmark @ benchmark)
                each.append(label @ own / len(own))
        return [float(np.mean(each)) for each in found]

    def official_bmc(self, ratio: float, proportion: float) -> float:
        """The same by numerai-tools."""
        found = []
        for era in self.eras:
            gaussian = pd.DataFrame({"prediction": self.mixed(era, ratio)}, index=era.index)
            done = neutralize(gaussian, era[self.names].astype(float), proportion)["prediction"]
            found.append(oracle_contribution(done, era["v52_lgbm_ender20"], era[SCORED].astype(float)))
        return float(np.mean(found))

    def best(self) -> tuple[float, float, float]:
        """(BMC, ratio, proportion) of the best point."""
        rows = ((ratio, self.bmcs(ratio, PROPORTIONS)) for ratio in RATIOS)
        return max((bmc, ratio, each) for ratio, row in rows for bmc, each in zip(row, PROPORTIONS, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A market, whose truth becomes two feature sets, and the finished experiment on it."""
    root = tmp_path_factory.mktemp("planted")
    version = root / "data" / "planted"
    write_market(MarketSpec(eras=240, rows=300, features=60, seed=7), version)
    build(version, BuildSpec())
    truth = json.loads((version / "market_truth.json").read_text())
    features = json.loads((version / "features.json").read_text())
    features["feature_sets"] |= {
        "known_to_benchmark": sorted(truth["common"]["linear"]),
        "distinct_signal": sorted(truth["distinct"]["linear"]),
    }
    (version / "features.json").write_text(json.dumps(features))
    for name, content in (("baselines/one_target", BASELINE), ("blend/experiment", PLAN)):
        path = root / "experiments" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    arguments = ["--data-dir", str(root / "data"), "--in-process", "--accept-suspect"]
    assert run(["run", str(root / "experiments" / "blend"), *arguments]) == 0
    return root


@pytest.mark.slow
def test_the_search_ends_at_the_optimum(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blend = folder / "experiments" / "blend"
    rounds = [json.loads(line) for line in (blend / "results" / "rounds.jsonl").read_text().splitlines()]
    final = rounds[-1]
    winner = next(each for each in final["variants"] if each["role"] == "base")
    changes = final["base_changes"]
    ratio = changes.get(f"data.target.{OTHER}", 1.0)
    chosen = changes.get("post.neutralize", {"to": "small", "proportion": 0.0})
    proportion = changes.get("post.neutralize.proportion", chosen["proportion"])
    bmc = winner["metrics"]["bmc"]["mean"]

    columns = {}
    for target in (SCORED, OTHER):
        config = {**BASELINE, "data": {**BASELINE["data"], "target": target}, "score": {"target": SCORED}}
        (folder / f"{target}.yaml").write_text(yaml.safe_dump(config))
        arguments = ["--data-dir", str(folder / "data"), "--output-dir", str(folder / "out"), "--in-process"]
        assert run(["train", "--config", str(folder / f"{target}.yaml"), *arguments]) == 0
        predictions = pd.read_parquet(folder / "out" / "predictions" / f"{target}.parquet")
        columns[f"{target}_model"] = predictions.set_index("id")["prediction"]
    grid = Grid(folder / "data", columns, chosen["to"])
    # Equal up to ties of mixed ranks, which rounding breaks one way or the other.
    assert grid.bmcs(ratio, [proportion]) == [pytest.approx(bmc, abs=2e-5)]
    assert grid.official_bmc(ratio, proportion) == pytest.approx(bmc, abs=2e-5)
    best, best_ratio, best_proportion = grid.best()
    assert bmc > best - 2e-5, "what was found is as good as the best of the grid"
    assert 0.5 <= ratio / best_ratio <= 2
    assert abs(proportion - best_proportion) <= 0.25
    (plain,) = grid.bmcs(1.0, [0.0])
    assert bmc > plain + 2e-4

    truth = json.loads((folder / "data" / "planted" / "market_truth.json").read_text())["targets"]
    assert truth[OTHER]["distinct_share"] > truth[SCORED]["distinct_share"]
    assert ratio > 1, "more than half of the weight is the target's that holds more of what the benchmark lacks"
    tried = [each for record in rounds if record["dimension"] == "neutralize" for each in record["variants"]]
    levels = {each["name"]: each["metrics"]["bmc"]["mean"] for each in tried if each["role"] == "variant"}
    assert min(levels, key=lambda name: levels[name]) == "neutralize=to-distinct_signal-proportion-0.5"

    report = (blend / "experiment.md").read_text()
    assert f"target_teager2b_20={ratio:g}" in report
    assert f"neutralize={{to: {chosen['to']}, proportion: {proportion:g}}}" in report
    assert f"{bmc:.5f}" in report
    capsys.readouterr()
