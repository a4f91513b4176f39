"""The plain way: one process a config, pandas in, LightGBM on all cores fold by fold, numerai-tools to score.

Nothing of numerai-ray is imported. Usage: python plain_loop.py CONFIG.json DATA_DIR OUT.parquet
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
from numerai_tools.scoring import correlation_contribution, neutralize, numerai_corr
from scipy.stats import norm, rankdata


def folds(eras: list[str], n_splits: int, embargo: int) -> list[tuple[list[str], list[str]]]:
    """Expanding folds of the official pipeline; those without training eras are left out."""
    size = len(eras) // n_splits
    cut = [(i * size, len(eras) if i == n_splits - 1 else (i + 1) * size) for i in range(n_splits)]
    return [(eras[: start - embargo], eras[start:stop]) for start, stop in cut if start > embargo]


def neutralized(oof: pd.DataFrame, features: pd.DataFrame, proportion: float) -> pd.Series:
    """Gaussianized ranks of each era without a share of their linear part in the features."""
    parts = []
    for _, era in oof.groupby("era"):
        ranks = (rankdata(era["prediction"]) - 0.5) / len(era)
        shape = pd.DataFrame({"prediction": norm.ppf(ranks)}, index=era.index)
        if proportion:
            shape = neutralize(shape, features.loc[era.index].astype(float), proportion)
        parts.append(shape["prediction"])
    return pd.concat(parts)


def main(config_file: Path, data_dir: Path, out: Path) -> None:
    started = time.perf_counter()
    config = json.loads(config_file.read_text())
    data, cv = config["data"], config["training"]["cv"]
    version = data_dir / data["data_version"]
    features = json.loads((version / "features.json").read_text())["feature_sets"][data["feature_set"]]
    target, benchmark = data["target_col"], data["benchmark_model"]
    full = pd.read_parquet(data_dir / data["full_data_path"], columns=["era", target, *features, "id"])
    params = {**config["model"]["params"], "n_jobs": os.cpu_count(), "verbosity": -1}
    parts, in_lightgbm = [], 0.0
    for train_eras, validation_eras in folds(sorted(full["era"].unique()), cv["n_splits"], cv["embargo"]):
        train = full[full["era"].isin(train_eras)]
        train = train[train[target].notna()]
        validation = full[full["era"].isin(validation_eras)]
        model = lgb.LGBMRegressor(**params)
        clock = time.perf_counter()
        model.fit(train[features], train[target])
        part = validation[["id", "era", target]].copy()
        part["prediction"] = model.predict(validation[features])
        in_lightgbm += time.perf_counter() - clock
        parts.append(part)
    oof = pd.concat(parts)
    if "neutralize" in config:
        oof["prediction"] = neutralized(oof, full[features], config["neutralize"]["proportion"])
    bench = pd.read_parquet(data_dir / data["benchmark_data_path"], columns=["id", benchmark]).set_index("id")
    scored = oof.set_index("id").join(bench)
    corr = scored.groupby("era").apply(lambda d: numerai_corr(d[["prediction"]], d[target]).iloc[0])
    bmc = (
        scored.dropna()
        .groupby("era")
        .apply(lambda d: correlation_contribution(d[["prediction"]], d[benchmark], d[target]).iloc[0])
    )
    with_benchmark = (
        scored.dropna().groupby("era").apply(lambda d: numerai_corr(d[["prediction"]], d[benchmark]).iloc[0])
    )
    oof.to_parquet(out, index=False)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "wall_s": time.perf_counter() - started,
                "cpu_s": usage.ru_utime + usage.ru_stime,
                "lightgbm_s": in_lightgbm,
                "avg_corr_with_benchmark": float(np.mean(with_benchmark)),
                "corr": float(np.mean(corr)),
                "bmc": float(np.mean(bmc)),
                "bmc_last_200_eras": float(np.mean(bmc.sort_index().iloc[-200:])),
            }
        )
    )


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
