"""The trained model of a fold, read back from the store: to look into, and to predict other rows with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.errors import DataError, RequestError
from numerai_ray.models import Batch, Fitted
from numerai_ray.system.machine import this_machine
from numerai_ray.training.batches import Training, carry_out
from numerai_ray.training.fit import run_fits
from numerai_ray.training.rows import inputs_of
from numerai_ray.training.spec import FitSpec, VariantPlan
from numerai_ray.training.store.fits import FitStore, serving
from numerai_ray.training.store.models import ModelStore


@dataclass(frozen=True, eq=False)
class FoldModel:
    """The model that predicted one fold of a variant; ``spec`` says what it was trained on."""

    spec: FitSpec
    fitted: Fitted

    @property
    def features(self) -> tuple[str, ...]:
        """Names of its features, in their order."""
        return self.spec.features

    @property
    def native(self) -> Any:
        """The library's own object: a booster, an estimator, a network, or what a user's ``fit`` returned.

        One model serves all lengths of a ladder, so a booster may have more trees than the fit; :meth:`predict` reads
        the first ``spec.length`` of them.
        """
        return self.fitted.native

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """(n,) predictions as the fit makes them, before ``post``: for the fold's own rows, to the last bit those kept.

        ``rows`` (n, …) have the fit's features as whole numbers, the benchmark columns that its model reads, and the
        era where something depends on it; they are sorted by era.

        Raises:
            RequestError: a column is missing, a feature is no whole number, or an era comes twice.

        """
        spec = self.spec
        self._check(rows)
        era = spec.config.data.era_col
        labels = rows[era].to_numpy() if era in rows else np.zeros(len(rows))
        starts = np.concatenate([[0], np.flatnonzero(labels[1:] != labels[:-1]) + 1, [len(rows)]]).astype(np.int64)
        if len(starts) - 1 > len(pd.unique(pd.Series(labels))):
            raise RequestError(f"rows must be sorted by {era}, but an {era} comes twice; sort them")
        values = [np.ascontiguousarray(rows[name].to_numpy(), np.int8) for name in spec.features]
        matrix = FeatureMatrix(spec.features, tuple(values), values_seen(values, starts))
        batch = Batch(
            matrix,
            ((0, len(rows)),),
            missing_as_null=spec.config.data.missing == "nan",
            eras=pd.to_numeric(pd.Series(labels), errors="coerce").fillna(0).to_numpy(np.int32),
            benchmarks={name: rows[name].to_numpy(np.float64) for name in spec.asked.read_benchmarks},
        )
        return self.fitted.predict(batch, this_machine().cores, spec.length)

    def _check(self, rows: pd.DataFrame) -> None:
        data = self.spec.config.data
        needed = [*self.spec.features, *self.spec.asked.read_benchmarks]
        needed += [data.era_col] if data.missing == "nan" else []
        lacking = [name for name in needed if name not in rows]
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            raise RequestError(f"rows lack {', '.join(lacking[:3])}{more}; give every column that the fit reads")
        strange = [name for name in self.spec.features if rows[name].dtype.kind not in "iu"]
        if strange:
            rule = f"must be whole numbers (int8), but is {rows[strange[0]].dtype}"
            raise RequestError(f"rows, {strange[0]}: {rule}; read it as it is in the data file")
        if not len(rows):
            raise RequestError("rows must hold at least one; give those to predict")

    def __repr__(self) -> str:
        length = "" if self.spec.length is None else f", {self.spec.length} steps"
        return f"<FoldModel {self.spec.config.model.type}, {self.spec.place}{length}>"


def fit_of(plan: VariantPlan, fold: int, part: str | None = None) -> FitSpec:
    """The fit of a fold; ``part`` tells several apart, as in ``fits`` of the results.

    Raises:
        RequestError: there is no such fold or part, or it is not said which.

    """
    fits = {spec.asked.part: spec for spec in plan.fits if spec.fold.index == fold}
    if not fits:
        known = ", ".join(str(each.index) for each in plan.folds.trainable)
        raise RequestError(f"{plan.id}: no fold {fold}; its folds are {known}")
    if part is None and len(fits) == 1:
        return next(iter(fits.values()))
    if part not in fits:
        said = "several fits make a fold" if part is None else f"no part {part!r}"
        raise RequestError(f"{plan.id}, fold {fold}: {said}; give part as one of {', '.join(map(repr, fits))}")
    return fits[part]


def fold_model(spec: FitSpec, store: FitStore, *, train: bool = False) -> FoldModel:
    """The model of a fit out of the store; with ``train`` one that is lacking is trained here, and kept.

    Raises:
        DataError: it is not there, or could not be written down.
        FitError: training failed.
        EnvironmentFault: the store cannot be written.

    """
    models = ModelStore(store.root)
    name = serving(models, spec)
    kept = None if name is None else models.get(name)
    if kept is None and train:
        _train(spec, store)
        name = serving(models, spec)
        kept = None if name is None else models.get(name)
    if kept is None:
        raise DataError(
            f"{store.root}: no model of {spec.place}; set keep_models: true in experiment.yaml before it is trained, "
            f"or give train=True to train it once more"
        )
    if "refused" in kept.facts:
        raise DataError(f"the model of {spec.place} could not be kept: {kept.facts['refused']}")
    return FoldModel(spec, spec.model.restored(kept.model))


def _train(spec: FitSpec, store: FitStore) -> None:
    threads = this_machine().cores
    features, columns = inputs_of(spec)
    carry_out(
        Training((spec,)),
        store,
        lambda specs: run_fits(specs, features, columns, threads, keep_model=True),
    )
