"""What a fit of XGBoost and CatBoost costs here, in core-seconds, against the library alone on the same rows.

    python tests/benchmarks/other_models_cost.py
    python tests/benchmarks/other_models_cost.py --rows 200 --trees 20

Ours is a whole fit from data in memory: rows gathered and made float32, trained, its validation rows predicted, its
importances read. Alone is the library's documented way on a float32 matrix that is there already: a ``DMatrix`` of
histograms or a ``Pool``, ``train``, ``predict``. Both on one thread, taking turns, the least of several. Exits 1 where
ours costs more than 1.05 times as much.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import numpy as np
import xgboost as xgb

from numerai_ray.config import Config, validate
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.models.dense import rows_of
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.fit import run_fits
from numerai_ray.training.rows import inputs_of, training_data, validation_batch
from numerai_ray.training.spec import FitSpec

LIMIT, TIMES = 1.05, 3
Alone = Callable[[Any, Any, Any], Any]


def xgboost_alone(trees: int) -> tuple[dict[str, Any], Alone]:
    params = {"max_depth": 5, "eta": 0.02, "colsample_bytree": 0.1, "tree_method": "hist", "seed": 1}

    def fit(features: Any, target: Any, validation: Any) -> Any:
        matrix = xgb.QuantileDMatrix(features, target, nthread=1)
        booster = xgb.train({**params, "nthread": 1, "verbosity": 0}, matrix, trees)
        return booster.predict(xgb.DMatrix(validation, nthread=1))

    return {**params, "n_estimators": trees}, fit


def catboost_alone(trees: int) -> tuple[dict[str, Any], Alone]:
    params = {"depth": 5, "learning_rate": 0.02, "rsm": 0.1, "random_seed": 1, "iterations": trees}

    def fit(features: Any, target: Any, validation: Any) -> Any:
        model = catboost.CatBoostRegressor(**params, thread_count=1, logging_level="Silent", allow_writing_files=False)
        return model.fit(catboost.Pool(features, target, thread_count=1)).predict(validation, thread_count=1)

    return params, fit


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def spec_of(root: Path, name: str, params: dict[str, Any]) -> FitSpec:
    values = {
        "data": {"version": "market", "feature_set": "all", "file": "full"},
        "cv": {"n_splits": 3, "embargo_eras": 16},
        "model": {"type": name, "params": params},
        "score": {"benchmark": "v52_lgbm_ender20"},
    }
    return Catalog(root).plan(name, name, validate(Config, values, name)).fits[-1]


def ratio_of(root: Path, name: str, params: dict[str, Any], alone: Alone) -> float:
    """Ours over the library alone, told as a line."""
    spec = spec_of(root, name, params)
    features, columns = inputs_of(spec)
    train, validation = training_data(spec, features, columns).batch, validation_batch(spec, features, columns)
    given = [np.array(rows_of(each, 1).features) for each in (train, validation)]
    target = np.asarray(train.target, np.float32)
    ours, theirs = [], []
    for _ in range(TIMES):
        seconds, fits = cpu_seconds(lambda: run_fits([spec], features, columns, 1))
        ours.append(seconds)
        seconds, plain = cpu_seconds(lambda: alone(given[0], target, given[1]))
        theirs.append(seconds)
    likeness = float(np.corrcoef(fits[0].predictions, plain)[0, 1])
    ratio, size = min(ours) / min(theirs), f"{len(target):,} rows x {given[0].shape[1]}"
    told = f"ours {min(ours):7.2f}  alone {min(theirs):7.2f} core-seconds: {ratio:.3f} x (limit {LIMIT})"
    print(f"{name:10} {size:22} {told}, predictions correlate {likeness:.3f}", flush=True)
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000, help="an era")
    parser.add_argument("--trees", type=int, default=300)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_market(MarketSpec(eras=180, rows=asked.rows, features=200, seed=1), root / "market")
        build(root / "market")
        models = {"xgboost": xgboost_alone(asked.trees), "catboost": catboost_alone(asked.trees)}
        worst = max(ratio_of(root, name, *made) for name, made in models.items())
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
