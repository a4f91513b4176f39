"""A market in which one target pays by contribution and costs CORR, and a desk with a plan that tries it.

What is planted, by rewriting two targets and the benchmark of a synthetic market: the scored target holds two signals.
The benchmark is the stronger one, so a model that is trained on the scored target knows both, and most of what it knows
is the benchmark's. ``target_teager2b_20`` holds the weaker one alone: a model of it adds more, and has less CORR. Rows
come in twins of equal features and opposite noise, so that luck hardly moves a score.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from desk import BASELINE, PLAN, Desk
from scipy.stats import rankdata

from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

SCORED, DEAR = "target_ender_20", "target_teager2b_20"
# Of the benchmark's signal and of the other one, within either target.
STRENGTHS = {SCORED: (0.030, 0.015), DEAR: (0.0, 0.03)}
BINS = (0.05, 0.25, 0.75, 0.95)
CHANGES: dict[str, Any] = {
    "idea": "A target without the benchmark's signal adds more to it.",
    "novelty": "Nobody has asked what that costs in CORR.",
    "base": {},
    "search_space": {"dimensions": {"target": {"path": "data.target", "values": [DEAR]}}},
    "rounds": {"variants": 2, "margin": 2.0e-4, "patience": 1},
    "stages": {stage: {"data": "full", "feature_set": "all"} for stage in ("scout", "final")},
}
PARAMS = {"n_estimators": 40, "num_leaves": 7, "learning_rate": 0.1, "min_data_in_leaf": 20, "random_state": 1}


def write_tradeoff_market(version: Path) -> None:
    """The market's files and what is built of them."""
    write_market(MarketSpec(eras=120, rows=120, features=12, seed=4), version)
    rng = np.random.default_rng(0)
    for part in ("train", "validation"):
        path, beside = version / f"{part}.parquet", version / f"{part}_benchmark_models.parquet"
        table, benchmarks = pq.read_table(path), pq.read_table(beside)
        names = [each for each in table.column_names if each.startswith("feature_")]
        features = np.column_stack([table[each].to_numpy() for each in names])
        eras = table["era"].to_numpy()
        starts = [*np.flatnonzero(np.append(True, eras[1:] != eras[:-1])), len(eras)]
        for a, b in pairwise(starts):
            half = (b - a) // 2
            features[b - half : b] = features[a : a + half]
        signals = [_standard(features[:, [k, k + 1]].astype(np.float64).sum(axis=1)) for k in (0, 2)]
        for place, name in enumerate(names):
            table = _with_column(table, name, features[:, place])
        for target, strengths in STRENGTHS.items():
            signal = sum(strength * each for strength, each in zip(strengths, signals, strict=True))
            values = np.concatenate([_labels(signal[a:b], rng) for a, b in pairwise(starts)])
            values[np.isnan(table[target].to_numpy())] = np.nan
            table = _with_column(table, target, values)
        known = dict(
            zip(table["id"].to_pylist(), (signals[0] + 0.1 * rng.standard_normal(len(eras))).tolist(), strict=True)
        )
        own = np.array([known[each] for each in benchmarks["id"].to_pylist()])
        for name in benchmarks.column_names:
            if name not in ("id", "era"):
                benchmarks = _with_column(benchmarks, name, rankdata(own) / len(own))
        pq.write_table(table, path)
        pq.write_table(benchmarks, beside)
    build(version)


def tradeoff_desk(root: Path, market: Path, **rounds: Any) -> Desk:
    """A desk whose one round tries the dear target; ``rounds`` change the plan's section of that name."""
    desk = Desk(root, market)
    baseline = {**BASELINE, "model": {"params": PARAMS}}
    (desk.folder.parent / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(baseline))
    plan = {**PLAN, **CHANGES, "rounds": {**CHANGES["rounds"], **rounds}}
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump(plan))
    return desk


def _standard(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / values.std())


def _labels(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A target of one era in Numerai's five values."""
    half, noise = len(signal) // 2, rng.standard_normal(len(signal))
    noise[len(signal) - half :] = -noise[:half]
    ranks = (rankdata(signal + noise) - 0.5) / len(signal)
    return np.digitize(ranks, BINS).astype(np.float32) / 4


def _with_column(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
