"""What a model is to the rest of the program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from numerai_ray.data.features import FeatureMatrix, RowRange
from numerai_ray.metrics.importance import Importance

Params = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a dataset, read-only.

    ``ranges`` are the rows (start, stop); ``keep`` (k,) ascending positions within them, or None for all of them;
    ``target`` (k,) is aligned with what is kept, and None for prediction; so are ``eras`` (k,), the era number of each
    row, ``weights`` (k,), None where all rows weigh alike, and the columns of ``benchmarks`` (k,), NaN where unknown.
    """

    features: FeatureMatrix
    ranges: tuple[RowRange, ...]
    missing_as_null: bool
    target: npt.NDArray[np.float32] | None = None
    keep: npt.NDArray[np.int64] | None = None
    eras: npt.NDArray[np.int32] | None = None
    weights: npt.NDArray[np.float64] | None = None
    benchmarks: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """How many rows there are, after dropping."""
        return sum(stop - start for start, stop in self.ranges) if self.keep is None else len(self.keep)

    def rows(self) -> npt.NDArray[np.int64]:
        """Row numbers in the dataset, ascending."""
        rows = np.concatenate([np.arange(start, stop) for start, stop in self.ranges])
        return rows if self.keep is None else rows[self.keep]


class Fitted(Protocol):
    """A trained model."""

    def predict(self, batch: Batch, threads: int, length: int | None = None) -> npt.NDArray[np.float64]:
        """(n,) predictions of the batch's rows, equal for any number of threads; of a ladder, at ``length``."""
        ...

    @property
    def native(self) -> Any:
        """The library's own object."""
        ...


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit brings.

    ``predictions`` (n,) of the validation rows; ``importance`` of the features, in the batch's order, None where the
    model does not say; ``model`` as it was trained: of a ladder's lengths, the longest.
    """

    predictions: npt.NDArray[np.float64]
    importance: Importance | None
    model: Fitted


class Model(Protocol):
    """A way to train. Equal params, batch and library versions give equal predictions, whatever ``threads`` is."""

    libraries: tuple[str, ...]

    def canonical_params(self, params: Params) -> dict[str, Any]:
        """``params`` under their main names, with what this model adds: equal models get equal fit keys."""
        ...

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        """``params`` with the library's seed set to ``seed``, under whatever name it stood."""
        ...

    def problems(self, params: Params) -> list[tuple[str, str]]:
        """(parameter, what is wrong with it) of params that would fail or be ignored, in the library's words."""
        ...

    def fit(self, batch: Batch, params: Params, threads: int) -> Fitted:
        """Train on a batch that has a target; raises :class:`~numerai_ray.errors.FitError`."""
        ...

    def fit_predict(self, train: Batch, validation: Batch, params: Params, threads: int) -> FitResult:
        """Train on ``train``; predictions of ``validation`` equal those of :meth:`fit` and predict after it."""
        ...

    def plain(self, fitted: Any) -> Any:
        """A trained model as text, bytes, numbers, lists and mappings, in the library's own format where it has one.

        Raises:
            FitError: it cannot be written down.

        """
        ...

    def restored(self, plain: Any) -> Fitted:
        """Inverse of :meth:`plain`: predicts the same to the last bit. Bytes that are a pickle run code."""
        ...


@dataclass(frozen=True)
class NoDevice:
    """Why a GPU cannot be had: the parameter that asks for it, the library's words, whether its build lacks it."""

    parameter: str
    words: str
    in_build: bool


@runtime_checkable
class Accelerated(Protocol):
    """What a :class:`Model` may also be: one that trains on a GPU when its params say so."""

    def gpus(self, params: Params) -> float:
        """How many GPUs a fit takes; 0 where it trains on the processor."""
        ...

    def no_device(self, params: Params) -> NoDevice | None:
        """Why the GPU that ``params`` ask for cannot be had on this machine; None where it can."""
        ...

    def on_processor(self, params: Params) -> dict[str, Any]:
        """The same params without anything that asks for a GPU."""
        ...


@dataclass(frozen=True)
class Rungs:
    """One set of params asked for at several lengths (LightGBM: numbers of trees), ascending."""

    params: Params
    lengths: tuple[int, ...]


@runtime_checkable
class Compiled(Protocol):
    """What a :class:`Model` may also be: one with code to compile, which a worker does before its first fit."""

    def warm_up(self) -> None:
        """Compile, or load, what fits need."""
        ...


@runtime_checkable
class Ladder(Protocol):
    """What a :class:`Model` may also be: one whose fit of many steps holds those of fewer.

    Variants that differ in their length alone are then one fit, the longest, read at each length.
    """

    def length(self, params: Params) -> int | None:
        """The steps of a fit; None where a longer fit with these params does not hold the shorter one."""
        ...

    def at_length(self, params: Params, length: int) -> dict[str, Any]:
        """Canonical params of the same fit with another length."""
        ...

    def fit_predict_lengths(self, train: Batch, validation: Batch, ladder: Rungs, threads: int) -> list[FitResult]:
        """A result at each length, its predictions equal to those of separate fits to the last bit."""
        ...
