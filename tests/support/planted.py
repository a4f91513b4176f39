"""A market whose answer is known, for whole experiments that nobody watches.

What is planted, by rewriting two targets of a synthetic market:

* the signal is a sum of gates, ``u_i`` where ``u_j`` is high and ``-u_i / 3`` elsewhere: nearly all of it is in pairs
  of features, so a tree of 2 leaves sees little of it, one of 4 leaves holds a pair, and one of 255 leaves holds luck;
* ``target_ender_20``, which is scored, has little of the signal; ``target_teager2b_20`` has five times as much, so a
  model that is trained on it knows it better. ``target_jasper_20`` has none: it stays the market's own.

Rows come in twins of equal features whose noise is opposite, so that luck hardly moves a score.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from scipy.stats import rankdata

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

LEAVES, TARGET = 4, "target_teager2b_20"
STRENGTH = {"target_ender_20": 0.036, TARGET: 0.18}
BINS = (0.05, 0.25, 0.75, 0.95)  # cumulative shares of a target's five values
BASELINE = {
    "data": {"version": "planted", "feature_set": "all"},
    "cv": {"n_splits": 3, "embargo_eras": 16},
    "model": {"params": {"n_estimators": 30, "learning_rate": 0.15, "num_leaves": 63, "min_data_in_leaf": 20}},
}
PLAN: dict[str, Any] = {
    "idea": "Trees as small as the market's pairs of features, trained on the target that holds most of the signal.",
    "novelty": "Nobody has mapped tree size and target on this planted market.",
    "baseline": "planted",
    "search_space": {
        "dimensions": {
            "num_leaves": {"path": "model.params.num_leaves", "values": [2, LEAVES, 255]},
            "target": {"path": "data.target", "values": ["target_jasper_20", TARGET]},
            "min_data_in_leaf": {"path": "model.params.min_data_in_leaf", "values": [10]},
        }
    },
    "rounds": {"margin": 5.0e-4, "patience": 2},
    "stages": {stage: {"data": "full"} for stage in ("scout", "confirm", "final")},
}


def signal(features: np.ndarray) -> np.ndarray:
    """The gates' sum for features (rows, 6) of values 0 to 4: mean 0, variance 1."""
    u = (features.astype(np.float64) - 2) / np.sqrt(2)
    made = sum(u[:, i] * np.where(u[:, i + 1] > 0, 1.0, -1 / 3) for i in (0, 2, 4))
    return np.asarray((made - made.mean()) / made.std())


def planted(features: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A target of one era in Numerai's five values."""
    half = len(features) // 2
    noise = rng.standard_normal(len(features))
    noise[-half:] = -noise[:half]
    ranks = (rankdata(strength * signal(features) + noise) - 0.5) / len(features)
    return np.digitize(ranks, BINS).astype(np.float32) / 4


def plant(version: Path) -> None:
    """Rewrite the two targets in the market's files; where labels are unknown they stay unknown."""
    rng = np.random.default_rng(0)
    for name in ("train.parquet", "validation.parquet"):
        table = pq.read_table(version / name)
        columns = [each for each in table.column_names if each.startswith("feature_")][:6]
        features = np.column_stack([table[each].to_numpy() for each in columns])
        eras = table["era"].to_numpy()
        starts = [*np.flatnonzero(np.append(True, eras[1:] != eras[:-1])), len(eras)]
        for target, strength in STRENGTH.items():
            values = np.concatenate([planted(features[a:b], strength, rng) for a, b in pairwise(starts)])
            values[np.isnan(table[target].to_numpy())] = np.nan
            table = table.set_column(table.column_names.index(target), target, pa.array(values))
        pq.write_table(table, version / name)


def make_root(made: Path) -> Path:
    """A folder with the market's data and the baseline of its experiments."""
    version = made / "data" / "planted"
    write_market(MarketSpec(eras=160, rows=200, features=16, seed=5), version)
    plant(version)
    build(version)
    (made / "experiments" / "baselines").mkdir(parents=True)
    (made / "experiments" / "baselines" / "planted.yaml").write_text(yaml.safe_dump(BASELINE))
    return made


def experiment(root: Path, name: str, *flags: str, **changes: Any) -> tuple[Path, list[dict[str, Any]]]:
    """Run a plan through the command line, to its end unless flags say otherwise; its folder and its ledger."""
    folder = root / "experiments" / name
    folder.mkdir(exist_ok=True)
    plan = apply_overrides(PLAN, changes) | ({"search_space": space} if (space := changes.get("search_space")) else {})
    (folder / "experiment.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    assert run(["run", str(folder), "--data-dir", str(root / "data"), "--in-process", *flags]) == 0
    return folder, [json.loads(line) for line in (folder / "results" / "rounds.jsonl").read_text().splitlines()]
