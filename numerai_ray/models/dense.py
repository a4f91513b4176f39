"""Models that take rows of numbers: what a batch looks like as a matrix, and what such models have in common."""

import pickle
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from numerai_ray.data.features import Order
from numerai_ray.errors import DataError, EnvironmentFault, FitError
from numerai_ray.metrics.importance import Importance, importance_of
from numerai_ray.models.protocol import Batch, FitResult, Params, Rungs
from numerai_ray.system.services import install_hint

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch as arrays, all read-only: n rows of k features.

    ``features`` (n, k) float32 holds 0..4, NaN where a feature is missing and the config says ``missing: nan``;
    ``eras`` (n,) are era numbers, ascending; ``target`` and ``weights`` (n,) are None for prediction, ``weights`` also
    where all rows weigh alike; ``benchmarks`` (n,) by name are those that the model asked for, NaN where unknown.
    ``threads`` is how many the model may use; what it predicts must not depend on it.
    """

    features: npt.NDArray[np.float32]
    names: tuple[str, ...]
    eras: npt.NDArray[np.int32]
    target: npt.NDArray[np.float32] | None = None
    weights: Floats | None = None
    benchmarks: Mapping[str, Floats] = field(default_factory=dict)
    threads: int = 1


class Predictor(Protocol):
    """What a dense model trains to."""

    def predict(self, rows: Rows) -> npt.NDArray[Any]:
        """(n,) predictions; of a ladder's fit, also those after its first steps, given as ``length``."""
        ...

    @property
    def native(self) -> Any:
        """The library's own object."""
        ...


@runtime_checkable
class Explains(Protocol):
    """What a :class:`Predictor` may also be: one that knows how much each feature matters to it."""

    def importance(self, length: int | None = None) -> tuple[str, npt.ArrayLike] | None:
        """What is measured (``gain``, ``coefficient``) and a number a feature; None where there is nothing to say.

        ``length`` asks for the first so many steps of a ladder's fit.
        """
        ...


@runtime_checkable
class Probed(Protocol):
    """What a :class:`Predictor` may be instead: one of which it can be found out at rows that it predicts."""

    def importance_at(self, rows: Rows) -> tuple[str, npt.ArrayLike] | None:
        """As :meth:`Explains.importance`, measured at ``rows``, whose labels are not looked at."""
        ...


def importance_in(predictor: Predictor, length: int | None = None, rows: Rows | None = None) -> Importance | None:
    """How much each feature matters, where the predictor knows or shows it at ``rows``."""
    found = predictor.importance(length) if isinstance(predictor, Explains) else None
    if found is None and rows is not None and isinstance(predictor, Probed):
        found = predictor.importance_at(rows)
    return None if found is None else importance_of(*found)


@dataclass(frozen=True, eq=False)
class FittedDense:
    """A trained dense model, for batches."""

    predictor: Predictor

    def predict(self, batch: Batch, threads: int, length: int | None = None) -> Floats:
        predict: Any = self.predictor.predict
        steps = {} if length is None else {"length": length}  # which a ladder's predictor knows
        return np.asarray(predict(rows_of(batch, threads), **steps), np.float64)

    @property
    def native(self) -> Any:
        return self.predictor.native


class DenseModel:
    """What models over :class:`Rows` share: they predict after training.

    ``order`` is how the features that they are handed lie: row after row (``C``), or column after column (``F``).
    """

    order: ClassVar[Order] = "C"

    def fit_rows(self, rows: Rows, params: Params) -> Predictor:
        """Train on ``rows``, which have a target; raises :class:`~numerai_ray.errors.FitError`."""
        raise NotImplementedError

    def fit(self, batch: Batch, params: Params, threads: int) -> FittedDense:
        return FittedDense(self.fit_rows(rows_of(batch, threads, self.order), params))

    def fit_predict(self, train: Batch, validation: Batch, params: Params, threads: int) -> FitResult:
        fitted = self.fit(train, params, threads)
        rows = rows_of(validation, threads, self.order)
        importance = importance_in(fitted.predictor, rows=rows)
        return FitResult(np.asarray(fitted.predictor.predict(rows), np.float64), importance, fitted)


class DenseLadder(DenseModel, ABC):
    """A dense model whose predictor, trained at length, also predicts after its first ``length`` steps."""

    @abstractmethod
    def at_length(self, params: Params, length: int) -> dict[str, Any]:
        """``params`` with so many steps."""

    def fit_predict_lengths(self, train: Batch, validation: Batch, ladder: Rungs, threads: int) -> list[FitResult]:
        longest = self.at_length(ladder.params, max(ladder.lengths))
        fitted = self.fit(train, longest, threads)
        rows = rows_of(validation, threads, self.order)
        predict: Any = fitted.predictor.predict
        return [
            FitResult(np.asarray(predict(rows, length), np.float64), importance_in(fitted.predictor, length), fitted)
            for length in ladder.lengths
        ]


def pickled(model: Any) -> bytes:
    """A model that has no format of its own.

    Raises:
        FitError: it cannot be pickled.

    """
    try:
        return pickle.dumps(model)
    except Exception as error:  # whatever a user's class does when it is pickled
        raise FitError(f"it cannot be pickled: {type(error).__name__}: {error}") from error


def unpickled(content: bytes) -> Any:
    """Inverse of :func:`pickled`; runs whatever the pickle says.

    Raises:
        DataError: its classes are not there any more, or have changed.

    """
    try:
        return pickle.loads(content)
    except Exception as error:
        raise DataError(f"the model cannot be unpickled: {type(error).__name__}: {error}; train it again") from error


def rows_of(batch: Batch, threads: int, order: Order = "C") -> Rows:
    """The batch as read-only arrays (a copy of its features)."""
    matrix = batch.features
    features = np.asarray(matrix.to_numpy(batch.ranges, np.float32, order), np.float32)
    if batch.missing_as_null:
        era_of_row = np.repeat(np.arange(len(matrix.seen.bits)), np.diff(matrix.seen.era_starts))
        inside = np.concatenate([era_of_row[start:stop] for start, stop in batch.ranges])
        features[matrix.seen.missing()[inside]] = np.nan
    if batch.keep is not None:
        features = np.asarray(features[batch.keep], order=order)
    eras = np.zeros(len(features), np.int32) if batch.eras is None else batch.eras
    arrays = (features, eras, batch.target, batch.weights, *batch.benchmarks.values())
    for array in arrays:
        if array is not None and array.flags.writeable:
            array.flags.writeable = False
    return Rows(features, matrix.names, eras, batch.target, batch.weights, batch.benchmarks, threads)


def library(module: str, extra: str) -> Any:
    """An optional library, imported on use.

    Raises:
        EnvironmentFault: it is not there; says how to get it.

    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.split(".", 1)[0]
        raise EnvironmentFault(
            f"the model needs {package}, which cannot be imported ({error}); install it with "
            f"{install_hint(extra)}, on every node of a cluster"
        ) from None


def main_names(params: Params, aliases: Mapping[str, str]) -> dict[str, Any]:
    """``params`` under their main names."""
    return {aliases.get(name, name): value for name, value in params.items()}


def alias_problems(params: Params, aliases: Mapping[str, str], ours: Mapping[str, str]) -> list[tuple[str, str]]:
    """Params that are set by us, or given twice under two names."""
    found = []
    given: dict[str, str] = {}
    for name in params:
        main = aliases.get(name, name)
        if main in ours:
            found.append((name, ours[main]))
        elif main in given:
            found.append((name, f"means the same as {given[main]!r}, which is given too; remove one"))
        given.setdefault(main, name)
    return found


def others(params: Params, found: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """``params`` without those that a problem was found with: what the library thinks of them is asked as well."""
    told = {name for name, _ in found}
    return {name: value for name, value in params.items() if name not in told}


def blamed(message: str, params: Params, aliases: Mapping[str, str] | None = None) -> str:
    """The parameter that a library's ``message`` is about: one that it names, or whose value it shows; "" if none."""
    given = {(aliases or {}).get(name, name): name for name in params}
    named = next((given[word] for word in re.findall(r"\w+", message) if word in given), "")
    shown = (name for name, value in params.items() if isinstance(value, str) and value and value in message)
    return named or next(shown, "")


def shortened(message: str, limit: int) -> str:
    """A library's message as one line of at most so many characters; some list all that there is."""
    line = "; ".join(each.strip() for each in message.splitlines() if each.strip())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def whole_trees(params: Params, names: Sequence[str]) -> list[tuple[str, str]]:
    """Numbers of trees that are none."""
    return [
        (name, f"must be a whole number of trees, at least 1, but is {params[name]!r}")
        for name in names
        if name in params
        and not (isinstance(params[name], int) and not isinstance(params[name], bool) and params[name] >= 1)
    ]


def tiny_rows() -> Rows:
    """Forty rows on which a library is asked what it thinks of its params."""
    features = np.array([[0, 1, 2], [1, 0, 4], [2, 3, 1], [3, 2, 0]] * 10, np.float32)
    eras = np.repeat(np.arange(1, 41, 4, dtype=np.int32), 4)
    return Rows(features, ("a", "b", "c"), eras, np.asarray(features[:, 0] / 3, np.float32))


Features = npt.NDArray[np.float32]
# Rows that are looked at: fewer say too little of a feature with five values, more say nothing new.
FEWEST_ROWS, MOST_ROWS = 32, 1_000
# Rows handed to a model at a time.
ROWS_AT_ONCE = 8_192


def spread_rows(features: Features, most: int) -> Features:
    """At most so many rows of ``features`` (n, k), evenly spread over all of them; a copy."""
    places = np.linspace(0, len(features) - 1, min(most, len(features))).astype(np.int64)
    return np.array(features[places])


def prediction_change(
    predict: Callable[[Features], npt.NDArray[np.float64]], features: Features
) -> npt.NDArray[np.float64]:
    """(k,): mean squared change of predictions when a feature takes the values of other rows, one feature at a time.

    That is permutation importance without labels (Fisher, Rudin and Dominici 2019, with the prediction itself in the
    place of the loss). Rows are evenly spread over ``features`` (n, k), and each takes the value of the row half of
    them away, usually one of other eras.
    """
    n, k = features.shape
    rows = spread_rows(features, min(MOST_ROWS, max(FEWEST_ROWS, n // max(1, k))))
    count = len(rows)
    others, before = np.roll(rows, count // 2, axis=0), np.asarray(predict(rows), np.float64)
    changes = np.empty(k)
    at_once = max(1, ROWS_AT_ONCE // max(1, count))
    for start in range(0, k, at_once):
        moved = range(start, min(start + at_once, k))
        block = np.tile(rows, (len(moved), 1))
        for place, feature in enumerate(moved):
            block[place * count : (place + 1) * count, feature] = others[:, feature]
        after = np.asarray(predict(block), np.float64).reshape(len(moved), count)
        changes[start : start + len(moved)] = ((after - before) ** 2).mean(axis=1)
    return changes
