"""CatBoost: symmetric trees, the same for any number of threads (CatBoost says so; a test holds it)."""

import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from numerai_ray.data.features import Order
from numerai_ray.errors import FitError, nearest
from numerai_ray.models.dense import (
    DenseLadder,
    FittedDense,
    Rows,
    alias_problems,
    blamed,
    library,
    main_names,
    others,
    tiny_rows,
    whole_trees,
)
from numerai_ray.models.protocol import NoDevice, Params
from numerai_ray.models.reports import beat

ALIASES = {
    "n_estimators": "iterations",
    "num_boost_round": "iterations",
    "num_trees": "iterations",
    "eta": "learning_rate",
    "max_depth": "depth",
    "num_leaves": "max_leaves",
    "min_child_samples": "min_data_in_leaf",
    "reg_lambda": "l2_leaf_reg",
    "colsample_bylevel": "rsm",
    "random_state": "random_seed",
    "objective": "loss_function",
    "max_bin": "border_count",
    "verbose": "logging_level",
    "verbose_eval": "logging_level",
    "silent": "logging_level",
}
OURS = {
    "thread_count": "threads come from the machine, and predictions do not depend on them; remove it",
    "logging_level": "logs are kept for you; remove it",
    "allow_writing_files": "no files are written while training; remove it",
    "train_dir": "no files are written while training; remove it",
    "early_stopping_rounds": "stopping on validation eras would leak them; set iterations instead",
    "od_type": "stopping on validation eras would leak them; set iterations instead",
    "od_wait": "stopping on validation eras would leak them; set iterations instead",
    "od_pval": "stopping on validation eras would leak them; set iterations instead",
    "use_best_model": "choosing trees by validation eras would leak them; set iterations instead",
}
ON_GPU = ("task_type", "devices", "gpu_ram_part", "gpu_cat_features_storage", "pinned_memory_size")
TREES = 1000  # CatBoost's own default


class CatBoost(DenseLadder):
    """Gradient-boosted trees (``catboost.CatBoostRegressor``)."""

    libraries: ClassVar[tuple[str, ...]] = ("catboost",)
    # A pool is filled column by column: of rows it takes a twentieth of a fit of 300 trees.
    order: ClassVar[Order] = "F"

    def canonical_params(self, params: Params) -> dict[str, Any]:
        return {"iterations": TREES, **main_names(params, ALIASES)}

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        own = {name: value for name, value in params.items() if ALIASES.get(name, name) != "random_seed"}
        return own | {"random_seed": seed}

    def gpus(self, params: Params) -> float:
        """How many GPUs a fit takes."""
        return 1.0 if str(params.get("task_type", "CPU")).upper() == "GPU" else 0.0

    def no_device(self, params: Params) -> NoDevice | None:
        words = _gpu_words(str(params.get("devices", "")))
        return NoDevice("task_type", words, in_build="not compiled" in words) if words else None

    def on_processor(self, params: Params) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name not in ON_GPU}

    def problems(self, params: Params) -> list[tuple[str, str]]:
        catboost = library("catboost", "catboost")
        known = set(catboost.CatBoostRegressor.__init__.__code__.co_varnames) - {"self", "params"}
        found = alias_problems(params, ALIASES, OURS)
        found += whole_trees(params, [name for name in params if ALIASES.get(name, name) == "iterations"])
        found += [
            (name, f"CatBoost has no such parameter{nearest(name, known - set(OURS))}")
            for name in params
            if name not in known and ALIASES.get(name, name) not in known
        ]
        return found + self._refused(catboost, others(params, found))

    def _refused(self, catboost: Any, params: Params) -> list[tuple[str, str]]:
        """CatBoost's own word on the values: two trees on forty rows."""
        given = {ALIASES.get(name, name): name for name in params}
        try:
            model = self._regressor(catboost, {**params, **self.at_length(params, 2)}, 1)
            model.fit(catboost.Pool(tiny_rows().features, tiny_rows().target))
            shape = np.shape(model.predict(tiny_rows().features))
        except (catboost.CatBoostError, ValueError, TypeError) as error:
            message = re.sub(r"^\S+\.(?:cpp|h|pyx):\d+: ", "", str(error).strip()).splitlines()[0]
            own = blamed(message, params, ALIASES)
            # It speaks of L2LeafRegularizer where the parameter is l2_leaf_reg.
            said = str(error) + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(error)).lower()
            own = own or next((name for main, name in given.items() if main in said), "")
            shown = f"; but is {params[own]!r}" if own else ""
            return [(own, f"CatBoost says: {message}{shown}")]
        return [] if shape == (40,) else [("loss_function", "must give one prediction a row")]

    def _regressor(self, catboost: Any, params: Params, threads: int) -> Any:
        settings = self.canonical_params(params)
        return catboost.CatBoostRegressor(
            **settings, thread_count=threads, logging_level="Silent", allow_writing_files=False
        )

    def fit_rows(self, rows: Rows, params: Params) -> "FittedCatBoost":
        catboost = library("catboost", "catboost")
        try:
            pool = catboost.Pool(rows.features, rows.target, weight=rows.weights, thread_count=rows.threads)
            # CatBoost calls nobody back from a GPU.
            listeners = None if self.gpus(params) else [_Beats(int(self.canonical_params(params)["iterations"]))]
            return FittedCatBoost(self._regressor(catboost, params, rows.threads).fit(pool, callbacks=listeners))
        except catboost.CatBoostError as error:
            raise FitError(f"CatBoost says: {error}") from error

    # A ladder: the first trees of a long fit are those of a shorter one, unless the step depends on their number.

    def length(self, params: Params) -> int | None:
        settings = self.canonical_params(params)
        # Without a learning rate CatBoost derives one from the number of trees; langevin and shrinkage scale with it.
        fixed = "learning_rate" in settings and not settings.get("langevin") and "model_shrink_rate" not in settings
        return int(settings["iterations"]) if fixed else None

    def at_length(self, params: Params, length: int) -> dict[str, Any]:
        return {**self.canonical_params(params), "iterations": length}

    def plain(self, fitted: Any) -> bytes:
        """The model in CatBoost's format ``cbm``, which other versions read; the library writes it to a file only."""
        with tempfile.TemporaryDirectory(prefix="numerai-ray-") as folder:
            path = Path(folder) / "model.cbm"
            fitted.predictor.model.save_model(str(path))
            return path.read_bytes()

    def restored(self, plain: bytes) -> FittedDense:
        model = library("catboost", "catboost").CatBoostRegressor()
        return FittedDense(FittedCatBoost(model.load_model(blob=plain)))


@dataclass(frozen=True)
class _Beats:
    """Tells how far a fit is, in CatBoost's words for a callback."""

    trees: int

    def after_iteration(self, info: Any) -> bool:
        """Whether to go on."""
        beat(int(info.iteration), self.trees)
        return True


@cache
def _gpu_words(devices: str) -> str:
    """What CatBoost says of GPUs here, "" where it trains on one; asked once, as a second try fails in other words."""
    catboost = library("catboost", "catboost")
    on_gpu = {"task_type": "GPU", **({"devices": devices} if devices else {})}
    found = CatBoost()._refused(catboost, on_gpu)
    return re.sub(r"; but is .*$", "", found[0][1]) if found else ""


class FittedCatBoost:
    """A trained regressor."""

    def __init__(self, model: Any):
        self.model = model

    @property
    def native(self) -> Any:
        return self.model

    def predict(self, rows: Rows, length: int = 0) -> npt.NDArray[np.float64]:
        found = self.model.predict(rows.features, ntree_end=length, thread_count=rows.threads)
        return np.asarray(found, np.float64)

    def importance(self, length: int | None = None) -> tuple[str, npt.ArrayLike] | None:
        model = self.model
        if length is not None and length < model.tree_count_:
            model = model.copy()
            model.shrink(ntree_end=length)
        return "prediction change", model.get_feature_importance(type="PredictionValuesChange")
