"""LightGBM itself: what our own engine does not take, trained the documented way, on a ``Dataset`` of a fit's rows.

Trees are the same for any number of threads. Which features are drawn from follows from the fit's own rows, as it does
for everyone who uses LightGBM.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from numerai_ray.errors import FitError, nearest
from numerai_ray.metrics.importance import Importance, importance_of
from numerai_ray.models.dense import blamed, others
from numerai_ray.models.engine import TAKES, refusal
from numerai_ray.models.lightgbm_names import all_names, main_names
from numerai_ray.models.protocol import Batch, FitResult, NoDevice, Params, Rungs
from numerai_ray.models.reports import beat

Floats = npt.NDArray[np.float64]
# Parameters that the resource plan or this file sets.
OURS = {
    "num_threads": "threads come from the machine, and predictions do not depend on them; remove it",
    "verbosity": "logs are kept for you; remove it",
    "feature_pre_filter": "is as LightGBM has it by default; remove it",
    "data": "data comes from the config's data section; remove it",
    "valid": "validation eras come from the config's cv section; remove it",
    "early_stopping_round": "stopping on validation eras would leak them; set n_estimators instead",
    "linear_tree": "needs raw values, which are not kept; remove it",
}
# Lists with one entry a feature, and files: only the real data can tell whether they fit.
SHAPED = (
    "monotone_constraints",
    "feature_contri",
    "interaction_constraints",
    "max_bin_by_feature",
    "categorical_feature",
    "forcedsplits_filename",
    "forcedbins_filename",
)
# The same trees for 1 and many threads (LightGBM otherwise times both histogram layouts and takes the faster one).
SAME_TREES = {"deterministic": True, "force_col_wise": True}
# What only a GPU has a use for; the processor would read past them, but they would be in the fit's key.
ON_GPU = ("device_type", "gpu_platform_id", "gpu_device_id", "gpu_device_id_list", "gpu_use_dp", "num_gpu")
QUIET = {"verbosity": -1}
# Arguments of LightGBM's estimators that LightGBM itself does not know, and that decide no tree.
ESTIMATOR_ONLY = frozenset({"importance_type"})


class LightGBM:
    """Gradient-boosted trees (``lightgbm.train``); params under any name that LightGBM knows."""

    libraries: ClassVar[tuple[str, ...]] = ("lightgbm",)

    def canonical_params(self, params: Params) -> dict[str, Any]:
        names = main_names(params)
        own = {names.get(name, name): value for name, value in params.items() if name not in ESTIMATOR_ONLY}
        fixed = dict(SAME_TREES)
        if own.get("force_row_wise"):
            del fixed["force_col_wise"]
        if str(own.get("device_type")).lower() == "cpu":
            del own["device_type"]  # what it is anyway
        return {"objective": "regression", **own, **fixed}

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        names = main_names(params)
        return {name: value for name, value in params.items() if names.get(name) != "seed"} | {"random_state": seed}

    def gpus(self, params: Params) -> float:
        names = main_names(params)
        asked = {str(value).lower() for name, value in params.items() if names.get(name) == "device_type"}
        return 1.0 if asked & {"gpu", "cuda"} else 0.0

    def no_device(self, params: Params) -> NoDevice | None:
        names = main_names(params)
        name = next((name for name in params if names.get(name) == "device_type"), "device_type")
        refusal = self._refusal({name: params.get(name)})
        if refusal is None:
            return None
        words = refusal[1].splitlines()[0].rstrip(".")
        return NoDevice(name, words, in_build="in this build" in words)

    def on_processor(self, params: Params) -> dict[str, Any]:
        names = main_names(params)
        return {name: value for name, value in params.items() if names.get(name) not in ON_GPU}

    def problems(self, params: Params) -> list[tuple[str, str]]:
        names = main_names(params)
        found = []
        given: dict[str, str] = {}
        params = {name: value for name, value in params.items() if name not in ESTIMATOR_ONLY}
        for name, value in params.items():
            main = names.get(name)
            if main is None:
                usual = [each for each in _usual_names() if each in names]
                found.append((name, f"LightGBM has no such parameter{nearest(name, usual)}"))
            elif main in OURS:
                found.append((name, OURS[main]))
            elif main in given:
                found.append((name, f"means the same as {given[main]!r}, which is given too; remove one"))
            elif value is None or isinstance(value, dict):
                found.append((name, f"must be a number, text, true/false or a list, but is {value!r}"))
            elif value == "goss":
                found.append(
                    (name, "GOSS samples differently for each number of threads; use bagging_fraction instead")
                )
            given.setdefault(main or name, name)
        rest = others(params, found)
        return found + ([] if self._surely_taken(rest) else self._refused(rest))

    def _surely_taken(self, params: Params) -> bool:
        """Whether LightGBM need not be asked, whose import takes a second: it takes whatever our own engine takes."""
        canonical = self.canonical_params(params)
        fixed = all(canonical.pop(name) is value for name, value in SAME_TREES.items() if name in canonical)
        return fixed and canonical.keys() <= TAKES.keys() and refusal(canonical) is None

    def _refused(self, params: Params) -> list[tuple[str, str]]:
        """What LightGBM says about the values; it names one at a time, so it is asked again without that one."""
        found: list[tuple[str, str]] = []
        left = dict(params)
        while refusal := self._refusal(left):
            found.append(refusal)
            if left.pop(refusal[0], None) is None:
                break
        return found

    def _refusal(self, params: Params) -> tuple[str, str] | None:
        """LightGBM's own word on the values: two trees on forty rows."""
        names = main_names(params)
        for name, value in params.items():
            whole = isinstance(value, int) and not isinstance(value, bool)
            if names[name] == "num_iterations" and not (whole and value >= 1):
                return name, f"must be a whole number of trees, at least 1, but is {value!r}"
        rows = np.array([[0, 1], [1, 0], [2, 3], [3, 2]] * 10, np.float32)
        tiny = {**self.canonical_params(params), **QUIET, "num_iterations": 2, "num_threads": 1}
        tiny = {name: value for name, value in tiny.items() if name not in SHAPED}
        try:
            with _unheard():
                booster = _lgb().train(tiny, _lgb().Dataset(rows, rows[:, 0] / 3, params=tiny))
                shape = np.shape(booster.predict(rows))
        except (_lgb().basic.LightGBMError, ValueError, TypeError) as error:
            message = str(error).strip()
            own = blamed(message, params, names)
            if rule := re.match(r"Check failed: \(?(\w+)\)? *([<>=!]+) *\(?([^()]+)\)?", message):
                message = f"{rule[1]} must be {rule[2]} {rule[3]}"
            return own, f"LightGBM says: {message}" + (f"; but is {params[own]!r}" if own else "")
        if shape != (len(rows),):
            return "objective", f"must give one prediction a row, but gives {shape[1:]} of them"
        return None

    def fit(self, batch: Batch, params: Params, threads: int) -> "FittedLightGBM":
        if batch.target is None:
            raise ValueError("a training batch needs a target")
        settings = {**self.canonical_params(params), **QUIET, "num_threads": threads}
        try:
            return FittedLightGBM(_lgb().train(settings, _dataset(batch, settings), callbacks=[_beat]))
        except _lgb().basic.LightGBMError as error:
            raise FitError(f"LightGBM says: {error}") from error

    def fit_predict(self, train: Batch, validation: Batch, params: Params, threads: int) -> FitResult:
        fitted = self.fit(train, params, threads)
        return FitResult(fitted.predict(validation, threads), fitted.importance(), fitted)

    def length(self, params: Params) -> int | None:
        settings = self.canonical_params(params)
        # DART rescales earlier trees as it goes, and a random forest divides by their number.
        return _trees(settings) if settings.get("boosting", "gbdt") == "gbdt" else None

    def at_length(self, params: Params, length: int) -> dict[str, Any]:
        return {**self.canonical_params(params), "num_iterations": length}

    def fit_predict_lengths(self, train: Batch, validation: Batch, ladder: Rungs, threads: int) -> list[FitResult]:
        fitted = self.fit(train, self.at_length(ladder.params, max(ladder.lengths)), threads)
        return [
            FitResult(fitted.predict(validation, threads, length), fitted.importance(length), fitted)
            for length in ladder.lengths
        ]

    def plain(self, fitted: Any) -> str:
        """LightGBM's model text: its numbers have 17 digits, so nothing is lost, and other versions read it.

        It also says how many threads trained it, which decides nothing, and would make equal models differ.
        """
        text = str(fitted.booster.model_to_string())
        return re.sub(r"^\[num_threads: \d+\]$", "[num_threads: 1]", text, flags=re.M)

    def restored(self, plain: str) -> "FittedLightGBM":
        return FittedLightGBM.of_text(plain)


class UnfilteredLightGBM(LightGBM):
    """LightGBM drawing from all features, also from those that no split of a fold can use.

    Experiments that began so, when fits shared bins that were made of all rows, end so.
    """

    def canonical_params(self, params: Params) -> dict[str, Any]:
        return {**super().canonical_params(params), "feature_pre_filter": False}


def _beat(env: Any) -> None:
    beat(env.iteration + 1, env.end_iteration)


def _trees(settings: Params) -> int:
    return int(settings.get("num_iterations", 100))


class FittedLightGBM:
    """A booster."""

    def __init__(self, booster: Any):
        self.booster = booster

    @classmethod
    def of_text(cls, text: str) -> "FittedLightGBM":
        """The booster that a model's text describes."""
        return cls(_lgb().Booster(model_str=text))

    @property
    def native(self) -> Any:
        return self.booster

    def importance(self, length: int | None = None) -> Importance | None:
        """Gain of each feature, in all trees or in the first ``length``."""
        return importance_of("gain", self.booster.feature_importance("gain", iteration=length))

    def predict(self, batch: Batch, threads: int, length: int | None = None) -> npt.NDArray[np.float64]:
        """Predictions of the whole booster, or of its first ``length`` trees."""
        rows = sum(stop - start for start, stop in batch.ranges)
        out = np.empty(rows, np.float64)
        done = 0
        for ranges in _pieces(batch.ranges, 100_000):
            if batch.missing_as_null:
                data: Any = batch.features.to_arrow(ranges, missing_as_null=True)
            else:
                data = batch.features.to_numpy(ranges, np.float32)
            part = self.booster.predict(data, num_iteration=length, num_threads=threads)
            out[done : done + len(part)] = part
            done += len(part)
        return out


def _pieces(ranges: Sequence[tuple[int, int]], rows: int) -> list[tuple[tuple[int, int]]]:
    """``ranges`` cut into pieces of at most ``rows``: prediction copies, and a copy of a piece is small."""
    return [((at, min(at + rows, stop)),) for start, stop in ranges for at in range(start, stop, rows)]


def _dataset(batch: Batch, settings: Params) -> Any:
    """The batch's rows, binned by themselves.

    It says how many threads there are, because LightGBM takes the last word on it for the whole process: a dataset that
    leaves it open, made after the booster, would have the booster train on all cores, beside the other fits (measured:
    7 times slower).
    """
    table = batch.features.to_arrow(batch.ranges, missing_as_null=batch.missing_as_null)
    table = table if batch.keep is None else table.take(batch.keep)
    return _lgb().Dataset(table, batch.target, weight=batch.weights, params=dict(settings))


@contextmanager
def _unheard() -> Iterator[None]:
    """LightGBM writes what it refuses to the process's stderr as well; the message is shown once, by us."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _lgb() -> Any:
    """LightGBM, where it is to do something: see :mod:`numerai_ray.models.lightgbm_names`."""
    import lightgbm  # noqa: PLC0415

    return lightgbm


def _usual_names() -> list[str]:
    """Names to offer for a misspelt one: LightGBM's main names and those of its scikit-learn interface.

    The latter are read from the signature: without scikit-learn the class is there, but cannot be made.
    """
    own = set(signature(_lgb().LGBMRegressor.__init__).parameters) - {"self", "kwargs"}
    return sorted({*all_names().values(), *own})
