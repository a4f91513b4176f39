"""LightGBM: binned once for all fits, the same trees for any number of threads.

A Numerai feature has five values, so the bins of all rows are the bins of any fold, and a fold cuts its rows out of
one binned copy (measured on 384,000 x 400: 0.16 s instead of 10.6 s from pandas, identical trees). Where a feature
does not take all its values in the training window, bins made of the window alone would differ: such a fold is
binned by itself, so that a fit is always what LightGBM makes of exactly its rows.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from numerai_ray.config import nearest
from numerai_ray.errors import FitError
from numerai_ray.feature_matrix import FeatureMatrix, joined
from numerai_ray.models.binned_rows import StoredBytes
from numerai_ray.models.boosters import FittedLightGBM, grown, rows_of, tell_gain
from numerai_ray.models.dense import blamed, others
from numerai_ray.models.few_rows import write_by_few
from numerai_ray.models.joined_bins import save, save_joined
from numerai_ray.models.protocol import Batch, NoDevice, Params, Prepared, Rungs
from numerai_ray.models.pulse import beat
from numerai_ray.models.shared_bins import SharedBins
from numerai_ray.models.telling import tell_model
from numerai_ray.models.wide_bins import width_matters
from numerai_ray.resource_plan import WIDE_BYTES_PER_VALUE, fit_bytes_per_value

# Parameters that the resource plan or this file sets.
OURS = {
    "num_threads": "threads come from the machine, and predictions do not depend on them; remove it",
    "verbosity": "logs are kept for you; remove it",
    "feature_pre_filter": "is set for you, so that fits can share one binned copy; remove it",
    "data": "data comes from the config's data section; remove it",
    "valid": "validation eras come from the config's cv section; remove it",
    "early_stopping_round": "stopping on validation eras would leak them; set n_estimators instead",
    "linear_tree": "needs raw values, which are not kept; remove it",
}
# What LightGBM's bins depend on; everything else can change without binning again.
BINNING = (
    "max_bin",
    "max_bin_by_feature",
    "min_data_in_bin",
    "bin_construct_sample_cnt",
    "data_random_seed",
    "enable_bundle",
    "use_missing",
    "zero_as_missing",
    "categorical_feature",
    "forcedbins_filename",
)
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
# The same trees for 1 and many threads (LightGBM otherwise times both histogram layouts and takes the faster one),
# and for a shared and an own copy of the bins (it otherwise drops features that min_data_in_leaf could never split).
SAME_TREES = {"deterministic": True, "force_col_wise": True, "feature_pre_filter": False}
# What only a GPU has a use for; the processor would read past them, but they would be in the fit's key.
ON_GPU = ("device_type", "gpu_platform_id", "gpu_device_id", "gpu_device_id_list", "gpu_use_dp", "num_gpu")
QUIET = {"verbosity": -1}


class LightGBM:
    """Gradient-boosted trees (``lightgbm.train``); params under any name that LightGBM knows."""

    libraries: ClassVar[tuple[str, ...]] = ("lightgbm",)

    def canonical_params(self, params: Params) -> dict[str, Any]:
        names = _main_names()
        own = {names.get(name, name): value for name, value in params.items()}
        fixed = dict(SAME_TREES)
        if own.get("force_row_wise"):
            del fixed["force_col_wise"]
        if str(own.get("device_type")).lower() == "cpu":
            del own["device_type"]  # what it is anyway
        return {"objective": "regression", **own, **fixed}

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        names = _main_names()
        return {name: value for name, value in params.items() if names.get(name) != "seed"} | {"random_state": seed}

    def gpus(self, params: Params) -> float:
        names = _main_names()
        asked = {str(value).lower() for name, value in params.items() if names.get(name) == "device_type"}
        return 1.0 if asked & {"gpu", "cuda"} else 0.0

    def no_device(self, params: Params) -> NoDevice | None:
        names = _main_names()
        name = next((name for name in params if names.get(name) == "device_type"), "device_type")
        refusal = self._refusal({name: params.get(name)})
        if refusal is None:
            return None
        words = refusal[1].splitlines()[0].rstrip(".")
        return NoDevice(name, words, in_build="in this build" in words)

    def on_processor(self, params: Params) -> dict[str, Any]:
        names = _main_names()
        return {name: value for name, value in params.items() if names.get(name) not in ON_GPU}

    def problems(self, params: Params) -> list[tuple[str, str]]:
        names = _main_names()
        found = []
        given: dict[str, str] = {}
        for name, value in params.items():
            main = names.get(name)
            if main is None:
                found.append((name, f"LightGBM has no such parameter{nearest(name, _usual_names())}"))
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
        return found + self._refused(others(params, found))

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
        names = _main_names()
        for name, value in params.items():
            whole = isinstance(value, int) and not isinstance(value, bool)
            if names[name] == "num_iterations" and not (whole and value >= 1):
                return name, f"must be a whole number of trees, at least 1, but is {value!r}"
        rows = np.array([[0, 1], [1, 0], [2, 3], [3, 2]] * 10, np.float32)
        tiny = {**self.canonical_params(params), **QUIET, "num_iterations": 2, "num_threads": 1}
        tiny = {name: value for name, value in tiny.items() if name not in SHAPED}
        try:
            with _unheard():
                booster = lgb.train(tiny, lgb.Dataset(rows, rows[:, 0] / 3, params=tiny))
                shape = np.shape(booster.predict(rows))
        except (lgb.basic.LightGBMError, ValueError, TypeError) as error:
            message = str(error).strip()
            own = blamed(message, params, names)
            if rule := re.match(r"Check failed: \(?(\w+)\)? *([<>=!]+) *\(?([^()]+)\)?", message):
                message = f"{rule[1]} must be {rule[2]} {rule[3]}"
            return own, f"LightGBM says: {message}" + (f"; but is {params[own]!r}" if own else "")
        if shape != (len(rows),):
            return "objective", f"must give one prediction a row, but gives {shape[1:]} of them"
        return None

    def prepared_params(self, params: Params) -> dict[str, Any] | None:
        canonical = self.canonical_params(params)
        if canonical.get("extra_trees"):
            return None  # its random thresholds come out differently from a copy of the bins (measured)
        if self.gpus(params):
            return None  # a GPU learner wants a dataset that was made for it
        return {name: canonical[name] for name in BINNING if name in canonical}

    def prepare(
        self, blocks: Iterable[FeatureMatrix], params: Params, threads: int, path: Path, *, missing_as_null: bool
    ) -> None:
        settings = {**(self.prepared_params(params) or {}), **QUIET, **SAME_TREES, "num_threads": threads}
        path.unlink(missing_ok=True)  # LightGBM does not write over a file
        write = partial(_save_bins, settings=settings, missing_as_null=missing_as_null)
        # Settings with an entry a feature are read with all of them; blocks that cannot be joined are rare.
        if not settings.keys().isdisjoint(SHAPED) or not save_joined(blocks, write, path, settings):
            write(joined(list(blocks)), path)

    def predicts_prepared(self, params: Params) -> bool:
        return not self.gpus(params) and bool(self.canonical_params(params).get("boosting", "gbdt") == "gbdt")

    def fit(self, batch: Batch, params: Params, threads: int, prepared: Prepared | None) -> FittedLightGBM:
        if batch.target is None:
            raise ValueError("a training batch needs a target")
        settings = {**self.canonical_params(params), **QUIET, "num_threads": threads}
        bins = self._shared_bins(batch, prepared, params, threads)
        try:
            return FittedLightGBM(
                lgb.train(
                    settings, _own_bins(batch, settings) if bins is None else rows_of(bins, batch), callbacks=[_beat]
                )
            )
        except lgb.basic.LightGBMError as error:
            raise FitError(f"LightGBM says: {error}") from error

    def fit_predict(
        self, train: Batch, validation: Batch, params: Params, threads: int, prepared: Prepared | None
    ) -> npt.NDArray[np.float64]:
        """Predictions out of the shared bins: the same numbers as of rows turned into floats again, to the last bit."""
        bins = self._shared_bins(train, prepared, params, threads)
        if bins is None or not self.predicts_prepared(params):
            fitted = self.fit(train, params, threads, prepared)
            tell_gain(fitted.booster)
            tell_model(fitted)
            return fitted.predict(validation, threads)
        settings = {**self.canonical_params(params), "num_threads": threads}
        return grown(settings, bins, train, validation, [_trees(settings)])[0]

    def _shared_bins(self, batch: Batch, prepared: Prepared | None, params: Params, threads: int) -> SharedBins | None:
        """The bins of all rows, or None where the batch's rows by themselves could be binned differently.

        They say how many ``threads`` there are, because LightGBM takes the last word on it for the whole process: a
        dataset that leaves it open, made after the booster, would have the booster train on all cores, side by side
        with the other fits (measured: 7 times slower).
        """
        if prepared is None or not prepared.seen.same_within(batch.ranges, missing_as_null=batch.missing_as_null):
            return None
        settings = {**(self.prepared_params(params) or {}), "num_threads": threads, **QUIET, **SAME_TREES}
        held = fit_bytes_per_value(batch.n_rows, prepared.seen.bits.shape[1])
        wide = held == WIDE_BYTES_PER_VALUE and not width_matters(self.canonical_params(params))
        return SharedBins(StoredBytes(prepared.chunks), settings, wide=wide)

    def length(self, params: Params) -> int | None:
        settings = self.canonical_params(params)
        # DART rescales earlier trees as it goes, and a random forest divides by their number.
        return _trees(settings) if settings.get("boosting", "gbdt") == "gbdt" else None

    def at_length(self, params: Params, length: int) -> dict[str, Any]:
        return {**self.canonical_params(params), "num_iterations": length}

    def fit_predict_lengths(
        self, train: Batch, validation: Batch, ladder: Rungs, threads: int, prepared: Prepared | None
    ) -> list[npt.NDArray[np.float64]]:
        params = self.at_length(ladder.params, max(ladder.lengths))
        bins = self._shared_bins(train, prepared, params, threads)
        if bins is None or not self.predicts_prepared(params):
            fitted = self.fit(train, params, threads, prepared)
            for length in ladder.lengths:
                tell_gain(fitted.booster, length)
            tell_model(fitted)
            return [fitted.predict(validation, threads, length) for length in ladder.lengths]
        settings = {**params, "num_threads": threads}
        return grown(settings, bins, train, validation, ladder.lengths)

    def plain(self, fitted: FittedLightGBM) -> str:
        """LightGBM's model text: its numbers have 17 digits, so nothing is lost, and other versions read it.

        It also says how many threads trained it, which decides nothing, and would make equal models differ.
        """
        text = str(fitted.booster.model_to_string())
        return re.sub(r"^\[num_threads: \d+\]$", "[num_threads: 1]", text, flags=re.M)

    def restored(self, plain: str) -> FittedLightGBM:
        return FittedLightGBM(lgb.Booster(model_str=plain))


def _beat(env: Any) -> None:
    beat(env.iteration + 1, env.end_iteration)


def _trees(settings: Params) -> int:
    return int(settings.get("num_iterations", 100))


def _own_bins(batch: Batch, settings: Params) -> lgb.Dataset:
    """The batch's rows, binned by themselves."""
    table = batch.matrix().to_arrow(batch.ranges, missing_as_null=batch.missing_as_null)
    table = table if batch.keep is None else table.take(batch.keep)
    return lgb.Dataset(table, batch.target, weight=batch.weights, params=dict(settings))


def _save_bins(features: FeatureMatrix, path: Path, settings: Params, *, missing_as_null: bool) -> None:
    """Save all rows of ``features``, binned; where a few rows do not tell how, as LightGBM does it."""
    if missing_as_null or not write_by_few(features, path, settings):
        table = features.to_arrow(((0, features.seen.n_rows),), missing_as_null=missing_as_null)
        label = np.zeros(table.num_rows, np.float32)
        save(lgb.Dataset(table, label, params=dict(settings)).construct(), path, settings)


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


@cache
def _main_names() -> dict[str, str]:
    """Every parameter name that LightGBM knows -> its main name."""
    aliases = lgb.basic._ConfigAliases._get_all_param_aliases()
    return {name: main for main, others in aliases.items() for name in (main, *others)}


def _usual_names() -> list[str]:
    """Names to offer for a misspelt one: LightGBM's main names and those of its scikit-learn interface.

    The latter are read from the signature: without scikit-learn the class is there, but cannot be made.
    """
    own = set(signature(lgb.LGBMRegressor.__init__).parameters) - {"self", "kwargs"}
    return sorted({*_main_names().values(), *own})
