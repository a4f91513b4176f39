"""What trees predict for validation rows: read a bit a row, against LightGBM adding each tree as it grows.

``python tests/benchmarks/validation_scores.py`` makes bins of 384,000 x 400 five-valued features and takes the training
and validation rows of the largest of five expanding folds. For trees of 31 and of 127 leaves it grows 200 trees alone,
200 with LightGBM keeping the scores of the validation rows, and reads the first; one thread each. Prints seconds,
nanoseconds a row and tree, and how many times as fast; exits 1 when a number differs, or when reading is not three
times as fast as LightGBM's way for 31 leaves.
"""

import sys
import tempfile
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from numerai_ray.models.bin_columns import BinColumns
from numerai_ray.models.binned_rows import StoredBytes
from numerai_ray.models.shared_bins import SharedBins
from numerai_ray.models.tree_bits import predicted, read_trees

ROWS, FEATURES, TREES, LIMIT = 384_000, 400, 200, 3.0
TRAIN, VALIDATION = np.arange(0, ROWS * 4 // 5 - 16_000), np.arange(ROWS * 4 // 5, ROWS)
SAME = {"verbosity": -1, "feature_pre_filter": False, "deterministic": True, "force_col_wise": True, "num_threads": 1}
PARAMS = {**SAME, "objective": "regression", "learning_rate": 0.01, "colsample_bytree": 0.1, "min_data_in_leaf": 1000}


def make(folder: Path) -> tuple[SharedBins, np.ndarray]:
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 5, ROWS, dtype=np.int8) for _ in range(FEATURES)]
    table = pa.Table.from_arrays([pa.array(each) for each in columns], names=[f"feature_{i}" for i in range(FEATURES)])
    lgb.Dataset(table, np.zeros(ROWS, np.float32), params=SAME).construct().save_binary(folder / "bins")
    label = sum(columns[:20]) * 0.02 + rng.normal(0, 1, ROWS)
    return SharedBins(StoredBytes([np.fromfile(folder / "bins", np.uint8)]), SAME), label.astype(np.float32)


def grow(booster: lgb.Booster) -> float:
    started = time.process_time()
    for _ in range(TREES):
        booster.update()
    return time.process_time() - started


def scores(booster: lgb.Booster) -> np.ndarray:
    found: list[np.ndarray] = []
    booster.eval_valid(lambda prediction, _: (found.append(prediction.copy()), ("none", 0.0, True))[1])
    return found[0]


def compare(bins: SharedBins, label: np.ndarray, leaves: int) -> tuple[float, bool]:
    params = {**PARAMS, "num_leaves": leaves, "metric": "None"}
    rows = bins.rows(TRAIN).set_label(label[TRAIN])
    alone = lgb.Booster(params, rows)
    alone_s = grow(alone)
    watched = lgb.Booster(params, rows)
    started = time.process_time()
    watched.add_valid(bins.rows(VALIDATION), "validation")
    theirs_s = time.process_time() - started + grow(watched) - alone_s
    started = time.process_time()
    trees = read_trees(alone.model_to_string())
    assert trees is not None
    assert bins.by_feature is not None
    found = predicted(trees, BinColumns(*bins.by_feature, VALIDATION), [TREES])
    ours_s = time.process_time() - started
    assert found is not None
    same = np.array_equal(found[0], scores(watched))
    each = 1e9 / (TREES * len(VALIDATION))
    print(
        f"{leaves:4d} leaves: {TREES} trees grow in {alone_s:.2f} s; LightGBM's way {theirs_s:.2f} s more "
        f"({theirs_s * each:.0f} ns a row and tree), read {ours_s:.2f} s ({ours_s * each:.0f} ns): "
        f"{theirs_s / ours_s:.1f} x as fast, {'equal' if same else 'NOT equal'}"
    )
    return theirs_s / ours_s, same


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        bins, label = make(Path(folder))
        print(f"{len(TRAIN):,} rows to train on, {len(VALIDATION):,} to predict, {FEATURES} features (limit {LIMIT} x)")
        found = [compare(bins, label, leaves) for leaves in (31, 127)]
    return 0 if found[0][0] >= LIMIT and all(same for _, same in found) else 1


if __name__ == "__main__":
    sys.exit(main())
