"""Checks of a model: the promises of ``check-model``, and the same as a frame for a notebook."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from numerai_ray.config import ModelConfig, validate
from numerai_ray.models import ModelSource, source_of
from numerai_ray.models import check as promises
from numerai_ray.models.described import Model
from numerai_ray.models.engine_check import EngineComparison, compare_engines


def check_model(what: Any, **params: Any) -> pd.DataFrame:
    """Try on a small market whether rounds may believe a model.

    >>> from numerai_ray import check_model
    >>> from sklearn.linear_model import Ridge
    >>> found = check_model(Ridge(alpha=1.0))
    >>> bool(found["kept"].all())
    True
    >>> found.index[2]
    'tells of every feature how much it matters, or of none'

    Args:
        what: a class of your own, an estimator, a :class:`Model` or a name, as :class:`Model` takes it.
        **params: its parameters.

    Returns:
        A row a promise: ``kept``, and what was ``seen``.

    Raises:
        RequestError: its source cannot be had, or it needs something that cannot travel.

    """
    model = what if isinstance(what, Model) else Model(what, **params)
    config = validate(ModelConfig, model.config(), repr(model))
    if model.source is None:
        source = source_of(config, Path.cwd())
    else:
        source = ModelSource(f"models/{model.source.name}.py", model.source.text)
    found = pd.DataFrame([asdict(each) for each in promises.check_model(config, source)])
    return found.rename(columns={"name": "promise"}).set_index("promise")


def check_with_engines(config: ModelConfig) -> tuple[list[promises.Finding], EngineComparison | None]:
    """The promises of a model whose source lies here; of LightGBM's, where all are kept, both engines side by side."""
    findings = promises.check_model(config, source_of(config, Path.cwd()))
    compared = config.type == "lightgbm" and all(each.kept for each in findings)
    return findings, compare_engines(config) if compared else None
