"""XGBoost: histogram trees, the same for any number of threads (measured; a test holds it)."""

import json
import re
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

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
    shortened,
    tiny_rows,
    whole_trees,
)
from numerai_ray.models.protocol import NoDevice, Params
from numerai_ray.models.reports import beat

ALIASES = {
    "num_boost_round": "n_estimators",
    "num_round": "n_estimators",
    "learning_rate": "eta",
    "min_split_loss": "gamma",
    "reg_lambda": "lambda",
    "reg_alpha": "alpha",
    "random_state": "seed",
    "n_jobs": "nthread",
}
OURS = {
    "nthread": "threads come from the machine, and predictions do not depend on them; remove it",
    "verbosity": "logs are kept for you; remove it",
    "early_stopping_rounds": "stopping on validation eras would leak them; set n_estimators instead",
    "eval_metric": "nothing is evaluated while training; scores are made for you; remove it",
}
TREES = 100
# Five values a feature: more bins hold nothing more, and fewer would.
BINS = 16


class XGBoost(DenseLadder):
    """Gradient-boosted trees (``xgboost.train``); ``n_estimators`` is the number of rounds."""

    libraries: ClassVar[tuple[str, ...]] = ("xgboost",)

    def canonical_params(self, params: Params) -> dict[str, Any]:
        return {"n_estimators": TREES, "max_bin": BINS, "tree_method": "hist", **main_names(params, ALIASES)}

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        return {name: value for name, value in params.items() if ALIASES.get(name, name) != "seed"} | {"seed": seed}

    def gpus(self, params: Params) -> float:
        """How many GPUs a fit takes."""
        return 1.0 if re.fullmatch(r"(cuda|gpu)(:\d+)?", str(params.get("device"))) else 0.0

    def no_device(self, params: Params) -> NoDevice | None:
        xgb = library("xgboost", "xgboost")
        if not xgb.build_info().get("USE_CUDA", False):
            return NoDevice("device", f"this XGBoost, {xgb.__version__}, is built without CUDA", in_build=True)
        try:
            words = _gpu_words(lambda: self._tiny(xgb, {"device": params["device"]}))
        except xgb.core.XGBoostError as error:
            words = str(error).splitlines()[0]
        return NoDevice("device", f"XGBoost says: {words}", in_build=False) if words else None

    def on_processor(self, params: Params) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name != "device"}

    def problems(self, params: Params) -> list[tuple[str, str]]:
        found = alias_problems(params, ALIASES, OURS)
        if params.get("booster") == "gblinear":
            rule = "gblinear's coefficients depend on the order in which threads update them; take a model of sklearn"
            found.append(("booster", f"{rule} (sklearn.linear_model:ElasticNet)"))
        found += whole_trees(params, [name for name in params if ALIASES.get(name, name) == "n_estimators"])
        return found + self._refused(others(params, found))

    def _refused(self, params: Params) -> list[tuple[str, str]]:
        """XGBoost's own word on the params: two trees on forty rows."""
        xgb = library("xgboost", "xgboost")
        given = {ALIASES.get(name, name): name for name in params}
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                shape = np.shape(self._tiny(xgb, params).predict(xgb.DMatrix(tiny_rows().features)))
        except (xgb.core.XGBoostError, ValueError, TypeError) as error:
            message = re.sub(r"\s*Stack trace:.*", "", str(error), flags=re.S).strip()
            message = re.sub(r"^\[[\d:]+\] \S+: ?", "", message)
            own = blamed(message, params, ALIASES)
            shown = f"; but is {params[own]!r}" if own else ""
            refused = [(own, f"XGBoost says: {shortened(message, 300)}{shown}")]
            return refused + (self._refused(others(params, refused)) if own else [])  # it names one at a time
        said = "\n".join(str(each.message) for each in heard)
        unused = re.search(r"Parameters: \{([^}]*)\} are not used", said)
        names = re.findall(r'"([^"]+)"', unused[1]) if unused else []
        found = [(given.get(name, name), f"XGBoost has no such parameter{nearest(name, KNOWN)}") for name in names]
        if not found and shape != (40,):
            found.append(("objective", f"must give one prediction a row, but gives {shape[1:]} of them"))
        return found

    def _tiny(self, xgb: Any, params: Params) -> Any:
        """Two trees on forty rows, with XGBoost's warnings on."""
        settings = {**self._settings(params, 1), "validate_parameters": True, "verbosity": 1}
        return xgb.train(settings, self._matrix(xgb, tiny_rows(), settings), 2)

    def _settings(self, params: Params, threads: int) -> dict[str, Any]:
        settings = self.canonical_params(params)
        settings.pop("n_estimators")
        return {**settings, "nthread": threads, "verbosity": 0}

    def _matrix(self, xgb: Any, rows: Rows, settings: Params) -> Any:
        return xgb.QuantileDMatrix(
            rows.features,
            rows.target,
            weight=rows.weights,
            nthread=settings["nthread"],
            max_bin=settings["max_bin"],
        )

    def fit_rows(self, rows: Rows, params: Params) -> "FittedXGBoost":
        xgb = library("xgboost", "xgboost")
        settings = self._settings(params, rows.threads)
        try:
            matrix = self._matrix(xgb, rows, settings)
            trees = self.canonical_params(params)["n_estimators"]
            if self.gpus(params):  # without one XGBoost warns and goes on, and the fit's key would tell a lie
                settings["verbosity"] = 1
                if words := _gpu_words(lambda: xgb.train(settings, matrix, 1)):
                    raise FitError(f"XGBoost says: {words}; remove device to train on the processor")
            booster = xgb.train(settings, matrix, trees, callbacks=[_beats(xgb, trees)])
            return FittedXGBoost(booster)
        except xgb.core.XGBoostError as error:
            raise FitError(f"XGBoost says: {str(error).splitlines()[0]}") from error

    # A ladder: the first trees of a long fit are those of a shorter one.

    def length(self, params: Params) -> int | None:
        settings = self.canonical_params(params)
        return int(settings["n_estimators"]) if settings.get("booster", "gbtree") == "gbtree" else None

    def at_length(self, params: Params, length: int) -> dict[str, Any]:
        return {**self.canonical_params(params), "n_estimators": length}

    # The container's older versions read what is written here.

    def plain(self, fitted: Any) -> bytes:
        """``Booster.save_raw("json")``. Since 3.1 its base score is a list, which 3.0 cannot read."""
        raw = bytes(fitted.predictor.booster.save_raw("json"))
        model: dict[str, Any] = json.loads(raw)
        own = model["learner"]["learner_model_param"]
        score = str(own.get("base_score", ""))
        if not (score.startswith("[") and score.count(",") == 0):
            return raw
        own["base_score"] = score.strip("[]")
        return json.dumps(model).encode()

    def restored(self, plain: bytes) -> FittedDense:
        booster = library("xgboost", "xgboost").Booster()
        booster.load_model(bytearray(plain))
        return FittedDense(FittedXGBoost(booster))


def _beats(xgb: Any, trees: int) -> Any:
    """A callback that tells how far a fit is; XGBoost takes none but heirs of its own class."""

    def after_iteration(_: Any, __: Any, done: int, ___: Any) -> bool:
        beat(done + 1, trees)
        return False

    return type("Beats", (xgb.callback.TrainingCallback,), {"after_iteration": after_iteration})()


def _gpu_words(run: Callable[[], object]) -> str:
    """What XGBoost says of a GPU while ``run`` trains; "" when nothing."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        run()
    said = "\n".join(str(each.message) for each in heard)
    found = re.search(r"[^\]\n]*(?:GPU|CUDA)[^\n]*", said)
    return re.sub(r"^.*\.cc:\d+: ", "", found[0]).rstrip(". ") if found else ""


class FittedXGBoost:
    """A booster of trees."""

    def __init__(self, booster: Any):
        self.booster = booster

    @property
    def native(self) -> Any:
        return self.booster

    def predict(self, rows: Rows, length: int = 0) -> npt.NDArray[np.float32]:
        self.booster.set_param({"nthread": rows.threads})
        return np.asarray(self.booster.inplace_predict(rows.features, iteration_range=(0, length)), np.float32)

    def importance(self, length: int | None = None) -> tuple[str, npt.ArrayLike]:
        booster = self.booster if length is None else self.booster[:length]
        gains = booster.get_score(importance_type="total_gain")  # features that no tree splits are left out of it
        return "gain", [gains.get(f"f{position}", 0.0) for position in range(booster.num_features())]


# Names to offer for a misspelt one.
KNOWN = sorted(
    {
        *ALIASES,
        *ALIASES.values(),
        "max_depth",
        "max_leaves",
        "min_child_weight",
        "subsample",
        "sampling_method",
        "colsample_bytree",
        "colsample_bylevel",
        "colsample_bynode",
        "max_bin",
        "tree_method",
        "grow_policy",
        "booster",
        "objective",
        "base_score",
        "max_delta_step",
        "num_parallel_tree",
        "monotone_constraints",
        "interaction_constraints",
        "device",
        "huber_slope",
        "quantile_alpha",
    }
    - set(OURS)
)
