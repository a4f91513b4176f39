"""What a model is to the rest of the program."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from numerai_ray.feature_matrix import FeatureMatrix, RowRange, ValuesSeen

Params = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a model makes once of all features and shares between fits: for LightGBM, the binned copy.

    ``key`` tells contents apart; ``chunks`` are its bytes in order, (n,) uint8 each; ``seen`` is what the features
    hold.
    """

    key: str
    chunks: tuple[npt.NDArray[np.uint8], ...]
    seen: ValuesSeen


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of a dataset, read-only.

    ``features`` is None where a fit is made of the prepared copy alone.
    ``ranges`` are the rows (start, stop); ``keep`` (k,) ascending positions within them, or None for all of them;
    ``target`` (k,) is aligned with what is kept, and None for prediction; so are ``eras`` (k,), the era number of each
    row, ``weights`` (k,), None where all rows weigh alike, and the columns of ``benchmarks`` (k,), NaN where unknown.
    """

    features: FeatureMatrix | None
    ranges: tuple[RowRange, ...]
    missing_as_null: bool
    target: npt.NDArray[np.float32] | None = None
    keep: npt.NDArray[np.int64] | None = None
    eras: npt.NDArray[np.int32] | None = None
    weights: npt.NDArray[np.float64] | None = None
    benchmarks: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def matrix(self) -> FeatureMatrix:
        """The features; raises ``ValueError`` where the batch comes without."""
        if self.features is None:
            raise ValueError("this batch has no features: the model said that it does without")
        return self.features

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

    def prepared_params(self, params: Params) -> dict[str, Any] | None:
        """The params that :meth:`prepare` depends on; None when there is nothing worth preparing."""
        ...

    def prepare(
        self, blocks: Iterable[FeatureMatrix], params: Params, threads: int, path: Path, *, missing_as_null: bool
    ) -> None:
        """Write what every fit on these features shares to ``path``.

        ``blocks`` are some of the features each, and can be gone through again; a block that is done with is let go,
        so that all of them need not have room at once.
        """
        ...

    def predicts_prepared(self, params: Params) -> bool:
        """Whether :meth:`fit_predict` needs the prepared copy alone, where the training rows hold all its values."""
        ...

    def fit(self, batch: Batch, params: Params, threads: int, prepared: Prepared | None) -> Fitted:
        """Train; ``prepared`` is what :meth:`prepare` made of the same features, or None."""
        ...

    def fit_predict(
        self, train: Batch, validation: Batch, params: Params, threads: int, prepared: Prepared | None
    ) -> npt.NDArray[np.float64]:
        """(n,) predictions of ``validation``, equal to those of :meth:`fit` on ``train`` and predict after it."""
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

    def fit_predict_lengths(
        self, train: Batch, validation: Batch, ladder: Rungs, threads: int, prepared: Prepared | None
    ) -> list[npt.NDArray[np.float64]]:
        """Predictions (n,) of ``validation`` at each length, equal to those of separate fits to the last bit."""
        ...
