"""Plans of every model that is installed, and how each fits alone."""

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from contracts import SMALL, ignore

from numerai_ray.config import Config, validate
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.outcome import VariantOutcome
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.fits import FitStore

FOREST = "sklearn.ensemble:RandomForestRegressor"
# Sampling and dropout where the model has them: what draws at random could depend on who draws first.
MODELS: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 12, "num_leaves": 15, "colsample_bytree": 0.5, "subsample": 0.7, "subsample_freq": 1},
    "xgboost": {"n_estimators": 12, "max_depth": 4, "colsample_bytree": 0.5, "subsample": 0.7},
    "catboost": {"iterations": 12, "depth": 4, "rsm": 0.5, "bootstrap_type": "Bernoulli", "subsample": 0.7},
    "sklearn": {"estimator": FOREST, "n_estimators": 12, "max_depth": 6, "max_features": 0.5},
    "mlp": {"hidden": [16, 8], "dropout": 0.1, "epochs": 4, "batch_size": 256, "stop_embargo_eras": 2},
}
NEEDS = {"xgboost": "xgboost", "catboost": "catboost", "sklearn": "sklearn", "mlp": "torch"}
EVERY = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None, reason=f"{name} is not installed"
        ),
    )
    for name in MODELS
]
Outcomes = dict[str, VariantOutcome]


def plans_of(name: str, market: Path) -> list[VariantPlan]:
    """Two variants of one model, that differ in their seed."""
    catalog = Catalog(market)

    def config(seed: int) -> Config:
        model = {"type": name, "params": MODELS[name], "seeds": [seed]}
        return validate(Config, {**SMALL, "model": model}, "test config")

    return [catalog.plan(f"{name}-{seed}", f"same/r1/{name}-{seed}", config(seed)) for seed in (3, 4)]


@cache
def reference(name: str, market: Path, root: Path) -> Outcomes:
    """Alone, in order, on one thread, on an empty store."""
    return InProcessRunner(FitStore(root / name), threads=1).run(plans_of(name, market), ignore)
