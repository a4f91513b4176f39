"""A round that trains nothing: five proportions of neutralization over stored fits, on 320 eras x 1,200 x 400.

``python tests/benchmarks/free_round.py`` trains the base once (few trees: fits are not what is measured), forgets the
experiment but not the store, and runs the round of the base and four variants by the command line: start of Python to
report. Then it times the round's arithmetic alone, the least squares of every era on data in memory: once, because
the variants differ in the proportion only. Exits 1 when the round takes more than five seconds beyond its arithmetic,
or trained anything.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import yaml
from round_speed import CLI, CV, PARAMS, make_data, measured, standard_options
from threadpoolctl import threadpool_limits

from numerai_ray.config import DataConfig
from numerai_ray.data.dataset import feature_names, load_features, open_index
from numerai_ray.metrics.neutralization import linear_part

LIMIT_S = 5.0
PROPORTIONS = [0.25, 0.5, 0.75, 1.0]
DATA = {"version": "v5.2", "file": "full", "feature_set": "all"}


def write_experiment(folder: Path) -> None:
    baseline = {
        "data": DATA,
        "cv": {"n_splits": 5, "embargo_eras": CV["embargo"], "embargo_unit": "retained"},
        "model": {"params": {**PARAMS, "n_estimators": 20}},
        "post": {"neutralize": {"to": "all", "proportion": 0.0}},
    }
    path = "post.neutralize.proportion"
    plan = {
        "idea": "measure a round that trains nothing",
        "novelty": "none: this is a benchmark of the tool",
        "baseline": "standard",
        "search_space": {"dimensions": {"neutralization": {"path": path, "values": PROPORTIONS}}},
        "stages": {"scout": {"data": "full", "feature_set": "all"}},
    }
    (folder.parent / "baselines").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    (folder.parent / "baselines" / "standard.yaml").write_text(yaml.safe_dump(baseline))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(plan))


def arithmetic_s(data_dir: Path, predictions: Path) -> float:
    """Seconds of the least squares of every predicted era, on data in memory, eras side by side as in the round."""
    index = open_index(data_dir, DataConfig(**DATA))
    features = load_features(index, feature_names(data_dir, "v5.2", "all"))
    table = pq.read_table(predictions, columns=["era", "prediction"])
    eras = sorted({int(era) for era in table["era"].unique().to_pylist()})
    ranges = [index.row_ranges([era])[0] for era in eras]
    prediction = table["prediction"].to_numpy()
    cores = psutil.cpu_count() or 1
    started = time.perf_counter()
    with threadpool_limits(1, user_api="blas"):
        linear_part(
            prediction, lambda era: features.slab(slice(*ranges[era])), np.asarray(index.starts_of(eras)), cores
        )
    return time.perf_counter() - started


def main() -> int:
    options, data_dir = standard_options(__doc__)
    work = Path(tempfile.mkdtemp(prefix="free-round-"))
    log, experiment = work / "log", work / "experiments" / "standard"
    make_data(data_dir, options.eras, options.rows, options.features, log)
    run = [*CLI, "run", str(experiment), "--data-dir", str(data_dir), "--rounds", "1"]
    write_experiment(experiment)
    measured(run, log)
    shutil.rmtree(experiment)
    write_experiment(experiment)
    ours = measured(run, log)
    record = json.loads((experiment / "results" / "rounds.jsonl").read_text().splitlines()[0])
    trained = sum(variant["fits_new"] for variant in record["variants"])
    alone = arithmetic_s(data_dir, experiment / "predictions" / "r01-base.parquet")
    print(f"data: {options.eras} eras x {options.rows} rows x {options.features} features; {psutil.cpu_count()} cores")
    print(f"round of {len(PROPORTIONS)} variants and base, {trained} fits trained: {ours.wall_s:.1f} s wall")
    print(f"its arithmetic alone: {alone:.1f} s; the rest {ours.wall_s - alone:.1f} s (limit {LIMIT_S} s)")
    shutil.rmtree(work)
    return 0 if trained == 0 and ours.wall_s - alone <= LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
