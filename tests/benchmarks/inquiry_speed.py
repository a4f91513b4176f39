"""A whole line of inquiry, ours against the plain sequential loop over the same configurations, in one run.

``python tests/benchmarks/inquiry_speed.py`` runs four rounds on 320 eras x 1,200 rows x 400 features: num_leaves, then
n_estimators, then the learning rate, then how much the predictions are neutralized; each starts from the winner of
the one before. Then the plain loop trains the same configurations round by round, each round with its base, one
process a configuration (``plain_loop.py``). Prints the ratio and the largest difference of predictions; exits 1 when
a limit is missed. It takes half an hour; ``--eras 120 --rows 300 --features 100`` shows it in a minute or two.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import yaml
from round_speed import (
    CLI,
    CV,
    MOST_APART,
    PARAMS,
    PLAIN,
    SAME_TREES,
    largest_difference,
    make_data,
    measured,
    standard_options,
)

LIMIT = 9.0
DIMENSIONS = {
    "num_leaves": ("model.params.num_leaves", [15, 31, 63, 127]),
    "n_estimators": ("model.params.n_estimators", [100, 200, 400, 800]),
    "learning_rate": ("model.params.learning_rate", [0.005, 0.01, 0.02, 0.04]),
    "neutralization": ("post.neutralize.proportion", [0.0, 0.25, 0.5, 0.75]),
}


def write_experiment(folder: Path) -> None:
    baseline = {
        "data": {"version": "v5.2", "file": "full", "feature_set": "all"},
        "cv": {"n_splits": 5, "embargo_eras": CV["embargo"], "embargo_unit": "retained"},
        "model": {"params": PARAMS},
        "post": {"neutralize": {"to": "all", "proportion": 0.0}},
    }
    plan = {
        "idea": "measure a whole line of inquiry of four rounds",
        "novelty": "none: this is a benchmark of the tool",
        "baseline": "standard",
        "search_space": {
            "dimensions": {name: {"path": path, "values": values} for name, (path, values) in DIMENSIONS.items()}
        },
        "rounds": {"variants": 4, "patience": 9},
        "stages": {"scout": {"data": "full", "feature_set": "all"}},
    }
    (folder.parent / "baselines").mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True)
    (folder.parent / "baselines" / "standard.yaml").write_text(yaml.safe_dump(baseline))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))


def plain_config(ours: dict[str, Any]) -> dict[str, Any]:
    """What the plain loop reads, of a config as ours was run with."""
    neutralize = ours["post"]["neutralize"]
    return {
        "data": {
            "data_version": "v5.2",
            "feature_set": "all",
            "target_col": "target_ender_20",
            "full_data_path": "v5.2/full.parquet",
            "benchmark_data_path": "v5.2/full_benchmark_models.parquet",
            "benchmark_model": "v52_lgbm_ender20",
        },
        "model": {"params": {**ours["model"]["params"], **SAME_TREES}},
        "training": {"cv": CV},
        "neutralize": {"feature_set": "all", "proportion": neutralize["proportion"] if neutralize else 0.0},
    }


def main() -> int:
    options, data_dir = standard_options(__doc__)
    work = Path(tempfile.mkdtemp(prefix="inquiry-speed-"))
    log = work / "log"
    make_data(data_dir, options.eras, options.rows, options.features, log)
    shutil.rmtree(data_dir / "store", ignore_errors=True)
    experiment = work / "experiments" / "standard"
    write_experiment(experiment)
    ours = measured([*CLI, "run", str(experiment), "--data-dir", str(data_dir), "--rounds", "4"], log)
    rounds = [json.loads(line) for line in (experiment / "results" / "rounds.jsonl").read_text().splitlines()]

    plain_wall, difference, configurations = 0.0, 0.0, 0
    for record in rounds:
        for variant in record["variants"]:
            if variant["role"] not in ("base", "variant"):
                continue
            name = variant["id"]
            values = yaml.safe_load((experiment / "configs" / f"{name}.yaml").read_text())
            config, out = work / f"{name}.json", work / f"{name}.parquet"
            config.write_text(json.dumps(plain_config(values)))
            plain_wall += measured([sys.executable, str(PLAIN), str(config), str(data_dir), str(out)], log).wall_s
            difference = max(difference, largest_difference(experiment / "predictions" / f"{name}.parquet", out))
            configurations += 1

    print(f"data: {options.eras} eras x {options.rows} rows x {options.features} features; {psutil.cpu_count()} cores")
    for record in rounds:
        trained = sum(variant["fits_new"] for variant in record["variants"])
        print(f"round {record['number']} {record['dimension']:<15} {record['wall_s']:7.1f} s, {trained} new fits")
    print(f"ours   wall {ours.wall_s:7.1f} s")
    print(f"plain  wall {plain_wall:7.1f} s   {configurations} configurations")
    ratio = plain_wall / ours.wall_s
    print(f"speed-up {ratio:.2f} x (limit {LIMIT} x), largest difference of predictions {difference:.1e}")
    return 0 if ratio >= LIMIT and difference <= MOST_APART else 1


if __name__ == "__main__":
    sys.exit(main())
