"""Mutated experiments and official configs: refused with a message, or planned and trained as an oracle says."""

import json
import random
from copy import deepcopy
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from bad_requests import OFFICIAL, PLAN
from fuzz import Case, FindingError, command, told
from fuzz_values import broken, fields, mutated
from oracles import oracle_scores, oracle_summary

from numerai_ray.config import Config, CvConfig, DataConfig
from numerai_ray.config.plan_schema import ExperimentPlan
from numerai_ray.session.opening import catalog_of
from numerai_ray.session.places import open_experiment

# A market of a plan's own may be as large as a plan says, and a study's storage may be anywhere.
_LEFT_OUT = {("market",), ("rounds", "storage")}
PLAN_KEYS = [
    (path, field) for path, field in fields(ExperimentPlan) if not any(path[: len(no)] == no for no in _LEFT_OUT)
]
CONFIG_KEYS = list(fields(Config))
# A quarter each: the plan's own keys, and those of the configs in it.
KEYS = [*PLAN_KEYS, *((("base", *path), field) for path, field in CONFIG_KEYS)]
OFFICIAL_EXTRAS: list[dict[str, Any]] = [
    {},
    {"model": {"params": {"colsample_bytree": 0.5, "subsample": 0.7, "subsample_freq": 1}}},
    {"training": {"max_train_samples": 300, "sample_seed": 3}},
    {"training": {"cv": {"n_splits": 4, "mode": "blocked"}}},
    {"preprocessing": {"nan_missing_all_twos": True}},
    {"data": {"feature_set": "all", "embargo_eras": 9}},
]


def attempt_plan(case: Case) -> bool:
    """Plan a mutated experiment."""
    draw, desk = case.random, case.desk
    start = deepcopy(PLAN)
    if draw.random() < 0.4:
        start["search_space"]["dimensions"]["drawn"] = _dimension(draw)
    plan = start if draw.random() < 0.2 else mutated(start, KEYS, draw)
    text = yaml.safe_dump(plan, sort_keys=False, allow_unicode=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    if draw.random() < 0.15:
        text = broken(text, draw)
    desk.plan.write_bytes(text)
    case.notes.append(f"plan {text!r:.3000}")
    accepted = told(command(desk, ["plan", str(desk.exp), "--data-dir", str(desk.data), "--no-calibrate"]))
    if accepted:
        _check_plan(case)
    return accepted


def _dimension(draw: random.Random) -> dict[str, Any]:
    """A dimension of any path, with values, a range, couplings and conditions of any size."""
    numbers = (1e-320, 1e-12, 0.01, 0.5, 1, 2, 3, 8, 31, 10**6, 10**15, 10**18, 1e150, 1e308, 0, -1, 10**400)
    usual = ("model.params.max_depth", "model.params.lambda_l1", "model.params.n_estimators", "cv.n_splits")
    paths = [*usual, *usual, *(".".join(path) for path, _ in CONFIG_KEYS), ".".join("a" * 1500), "model.params", ""]
    found: dict[str, Any] = {"path": draw.choice(paths), "values": draw.sample(numbers, draw.choice((1, 2, 4)))}
    if draw.random() < 0.5:
        low, high = draw.sample(numbers, 2)
        found["range"] = {"low": low, "high": high, "scale": draw.choice(("linear", "log"))}
        if draw.random() < 0.3:
            found["range"]["integer"] = True
    if draw.random() < 0.5:
        way = draw.choice(("inverse", "proportional", list(draw.sample(numbers, len(found["values"])))))
        found["coupled"] = {draw.choice(paths): way}
    if draw.random() < 0.2:
        found["when"] = {draw.choice(paths): [draw.choice(numbers)]}
    return found


def _check_plan(case: Case) -> None:
    """The folds of every stage, by a slow rule; the plan as JSON says as many fits."""
    exp, data = str(case.desk.exp), str(case.desk.data)
    ended = command(case.desk, ["plan", exp, "--data-dir", data, "--no-calibrate", "--json"])
    told(ended)
    shown = {each["stage"]: each for each in json.loads(ended.out)["stages"]}
    paths, loaded = open_experiment(case.desk.exp)
    catalog = catalog_of(loaded, case.desk.data, paths)
    for stage in loaded.stages:
        config = loaded.config(stage, {})
        plan = catalog.plan("fuzz", "fuzz", config, kept=stage == "holdout")
        eras = all_eras = plan.index.eras
        if catalog.holdout is not None:
            first = max(eras) - catalog.holdout.eras + 1
            days = 60 if any("_60" in name for name in (*config.trained_targets(), config.score.target)) else 20
            gap = max({20: 5, 60: 13}[days], config.cv.embargo_eras if config.cv.embargo_unit == "weeks" else 0)
            eras = tuple(era for era in eras if era < first - gap)
        if stage == "holdout":
            expected = [(eras, tuple(era for era in all_eras if era >= first))]
        else:
            expected = _slow_folds(eras, config.cv)
        found = [(fold.train_eras, fold.validation_eras) for fold in plan.folds.trainable]
        if found != expected:
            raise FindingError(f"{stage}: folds are {found}, but by the rule they are {expected}")
        if stage in shown and shown[stage]["fits_a_config"] != len(plan.fits):
            raise FindingError(f"{stage}: shows {shown[stage]['fits_a_config']} fits, but plans {len(plan.fits)}")


def _slow_folds(eras: tuple[int, ...], cv: CvConfig) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every era is asked whether it may train for a block."""
    size = len(eras) // cv.n_splits
    folds = []
    for block in range(cv.n_splits):
        inside = eras[block * size : len(eras) if block == cv.n_splits - 1 else (block + 1) * size]
        train = []
        for rank, era in enumerate(eras):
            first, last = eras.index(inside[0]), eras.index(inside[-1])
            if cv.embargo_unit == "weeks":
                before, after = inside[0] - era - 1, era - inside[-1] - 1
            else:
                before, after = first - rank - 1, rank - last - 1
            recent = cv.mode != "walk_forward" or before < cv.embargo_eras + (cv.window_eras or 0)
            early = before >= cv.embargo_eras and recent
            if early or (after >= cv.embargo_eras and cv.mode == "blocked"):
                train.append(era)
        if train:
            folds.append((tuple(train), tuple(inside)))
    return folds


def attempt_config(case: Case) -> bool:
    """Train a mutated official config; its scores must be those of its predictions, and these be of the right rows."""
    draw, desk = case.random, case.desk
    start = dict(OFFICIAL)
    for extra in draw.sample(OFFICIAL_EXTRAS, 2):
        for section, values in extra.items():
            start[section] = {**start.get(section, {}), **values}
    start = json.loads(json.dumps(start))
    start["training"].setdefault("cv", {}).setdefault("n_splits", 3)
    start["model"]["params"] = {**OFFICIAL["model"]["params"], **start["model"]["params"]}
    config = mutated(start, OFFICIAL_KEYS, draw)
    desk.official.write_text(f"nan, inf = float('nan'), float('inf')\nCONFIG = {config!r}\n", "utf-8", "surrogatepass")
    if draw.random() < 0.1:
        desk.official.write_bytes(broken(desk.official.read_bytes(), draw))
    case.notes.append(f"config {desk.official.read_bytes()!r:.3000}")
    accepted = told(command(desk, desk.train_arguments()))
    if accepted:
        _check_results(case)
    return accepted


# Keys of official configs, each with values of which some fit.
OFFICIAL_KEYS: list[tuple[tuple[str, ...], Any]] = [
    (tuple(path.split(".")), values)
    for path, values in {
        "data.data_version": ("v5.2", "v5.3"),
        "data.feature_set": ("small", "medium", "all", "rain"),
        "data.target_col": ("target_ender_60", "target", "target_cyrusd_20", "era"),
        "data.era_col": ("era", "id"),
        "data.id_col": ("id", "era"),
        "data.full_data_path": ("v5.2/downsampled_full.parquet", "v5.2/train.parquet"),
        "data.embargo_eras": (0, 4, 5, 13, 40),
        "data.benchmark_model": ("v52_lgbm_ender20", "v52_lgbm_cyrusd20"),
        "model.type": ("LGBMRegressor", "lightgbm", "ridge"),
        "model.params.max_depth": (-1, 0, 1, 3),
        "model.params.learning_rate": (1e-9, 0.3, 5.0, 0),
        "model.params.colsample_bytree": (0.1, 1.0, 0),
        "model.params.min_data_in_leaf": (1, 100, 10**6),
        "model.params.lambda_l1": (1e9,),
        "model.params.objective": ("regression", "regression_l1", "huber", "poisson", "binary"),
        "model.params.boosting_type": ("gbdt", "dart", "rf"),
        "model.params.seed": (0, 2**31 - 1, 2**31),
        "model.x_groups": (["features"], ["features", "era"], []),
        "model.target_transform": (None, {"type": "rank"}),
        "preprocessing.nan_missing_all_twos": (True, False),
        "training.max_train_samples": (1, 2, 50, 10**6),
        "training.sample_seed": (0, 1337),
        "training.cv.n_splits": (2, 7, 19, 57),
        "training.cv.embargo": (0, 5, 13),
        "training.cv.mode": ("expanding", "blocked"),
        "training.cv.min_train_size": (0, 1, 30),
    }.items()
]


def _check_results(case: Case) -> None:
    (file,) = (case.desk.out / "results").glob("*.json")
    results = json.loads(file.read_text(encoding="utf-8"))
    table = pq.read_table(case.desk.out / results["output"]["predictions_file"]).to_pandas()
    config = results["config"]
    names = [results["data"].get(key, default) for key, default in (("id_col", "id"), ("era_col", "era"))]
    data_file, bench_file = (case.desk.data / name for name in DataConfig(**config["data"]).files())
    target, benchmark = config["score"]["target"], config["score"]["benchmark"]
    data, bench = (
        pq.read_table(file).replace_schema_metadata(None).to_pandas().set_index(names[0])
        for file in (data_file, bench_file)
    )
    known = data.loc[table[names[0]]]
    if not np.array_equal(known[target].to_numpy(), table[target].to_numpy(), equal_nan=True):
        raise FindingError("the target beside the predictions is not that of their ids")
    if known[names[1]].astype(int).tolist() != table[names[1]].astype(int).tolist():
        raise FindingError("the eras beside the predictions are not those of their ids")
    against = bench[benchmark].reindex(table[names[0]]).to_numpy()
    prediction, label, eras = (table[name].to_numpy() for name in ("prediction", target, names[1]))
    scores = oracle_scores(prediction, label, against, eras)
    for name in ("corr", "bmc"):
        mine = results["metrics"][name]["mean"]
        theirs = oracle_summary(scores[name])["mean"] if not np.isnan(scores[name]).all() else None
        if (mine is None) != (theirs is None) or (mine is not None and abs(mine - theirs) > 1e-9):
            raise FindingError(f"{name} is {mine}, but of the predictions it is {theirs}")
