"""Any scikit-learn regressor, or a pipeline of transformers that ends in one.

``params`` hold ``estimator``, as ``module:Class``, and the estimator's own parameters beside it. A list of
estimators is a pipeline; its steps' parameters are then named as scikit-learn names them: ``ridge__alpha``.

One thread does the arithmetic, because what BLAS sums depends on how many there are; an estimator with ``n_jobs``
(forests) trains on the fit's threads, which it splits whole trees among, and predicts on one, because threads add up
trees in whatever order they finish.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from numerai_ray.errors import FitError, nearest
from numerai_ray.models.dense import (
    DenseModel,
    FittedDense,
    Rows,
    library,
    others,
    pickled,
    prediction_change,
    tiny_rows,
    unpickled,
)
from numerai_ray.models.protocol import Params

SEEDS = ("random_state",)


class Sklearn(DenseModel):
    """``params: {estimator: "sklearn.linear_model:Ridge", alpha: 10.0}``."""

    libraries: ClassVar[tuple[str, ...]] = ("scikit-learn",)

    def canonical_params(self, params: Params) -> dict[str, Any]:
        """``params`` with the seed 0 where none is given: equal params would else give other predictions each time."""
        known = self._made(params, {}).get_params()
        unseeded = [name for name, value in known.items() if _is_seed(name) and params.get(name, value) is None]
        return {**params, **dict.fromkeys(unseeded, 0)}

    def with_seed(self, params: Params, seed: int) -> dict[str, Any]:
        """Every step's ``random_state``; an estimator without one has nothing to draw."""
        known = self._made(params, {}).get_params()
        seeds = {name: seed for name in known if _is_seed(name)}
        return {**params, **seeds}

    def problems(self, params: Params) -> list[tuple[str, str]]:
        library("sklearn", "sklearn")
        try:
            known = self._made(params, {}).get_params()
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            rule = f"must be 'module:Class' of a regressor, or a list of them ({error}); but is "
            return [("estimator", f"{rule}{params.get('estimator')!r}")]
        own = _own(params)
        found = [
            (name, f"the estimator has no such parameter{nearest(name, known)}") for name in own if name not in known
        ]
        found += [
            (name, "threads come from the machine, and predictions do not depend on them; remove it")
            for name in own
            if name.rsplit("__", 1)[-1] == "n_jobs"
        ]
        return found + self._refused(others(params, found))

    def _refused(self, params: Params) -> list[tuple[str, str]]:
        from sklearn.base import is_regressor  # noqa: PLC0415

        rows = tiny_rows()
        try:
            model = self._made(params, _own(params))
            if not is_regressor(model):
                return [("estimator", f"must be a regressor, but is {params['estimator']!r}")]
            with threadpool_limits(1):
                shape = np.shape(model.fit(rows.features, rows.target).predict(rows.features))
        except (ValueError, TypeError, AttributeError) as error:
            message = str(error).strip().splitlines()[0]
            named = re.search(r"'(\w+)' parameter of", message)
            words = [named[1]] if named else re.findall(r"\w+", message)
            own = next((name for word in words for name in params if name.rsplit("__", 1)[-1] == word), "")
            # Forty rows of three features can be too few for a setting that is right for an era.
            few = re.search(r"n_samples|n_features|n_components|samples", message) and not named
            return [] if few else [(own, f"scikit-learn says: {message}")]
        return [] if shape == (len(rows.features),) else [("estimator", "must give one prediction a row")]

    def _made(self, params: Params, own: Mapping[str, Any]) -> Any:
        named = params.get("estimator")
        names = [named] if isinstance(named, str) else named
        if not names or not isinstance(names, list):
            raise ValueError("nothing is named")
        made = [_class(name)() for name in names]
        if len(made) > 1:
            from sklearn.pipeline import make_pipeline  # noqa: PLC0415

            made = [make_pipeline(*made)]
        return made[0].set_params(**own)

    def fit_rows(self, rows: Rows, params: Params) -> "FittedSklearn":
        library("sklearn", "sklearn")
        model = self._made(params, _own(self.canonical_params(params)))
        jobs = {name: rows.threads for name in model.get_params() if name.rsplit("__", 1)[-1] == "n_jobs"}
        model.set_params(**jobs)
        weights = {} if rows.weights is None else {_weight_name(model): rows.weights}
        try:
            with threadpool_limits(1):
                model.fit(rows.features, rows.target, **weights)
        except (ValueError, TypeError) as error:
            raise FitError(f"scikit-learn says: {error}") from error
        # A forest adds up its trees in the order in which threads finish them: alone, in that of the trees.
        model.set_params(**dict.fromkeys(jobs, 1))
        return FittedSklearn(model)

    def plain(self, fitted: Any) -> bytes:
        """A pickle, which is what scikit-learn has."""
        return pickled(fitted.predictor.model)

    def restored(self, plain: bytes) -> FittedDense:
        return FittedDense(FittedSklearn(unpickled(plain)))


class FittedSklearn:
    """A fitted estimator."""

    def __init__(self, model: Any):
        self.model = model

    @property
    def native(self) -> Any:
        return self.model

    def predict(self, rows: Rows) -> npt.NDArray[np.float64]:
        with threadpool_limits(1):
            return np.asarray(self.model.predict(rows.features), np.float64)

    def importance_at(self, rows: Rows) -> tuple[str, npt.ArrayLike]:
        """What an estimator shows that tells nothing: neighbours, kernels, pipelines over components."""
        with threadpool_limits(1):
            return "permutation", prediction_change(self.model.predict, rows.features)

    def importance(self, length: int | None = None) -> tuple[str, npt.ArrayLike] | None:  # noqa: ARG002
        """Of the last step, where it sees the features themselves, each in its place: not components of them, say."""
        from sklearn.base import OneToOneFeatureMixin  # noqa: PLC0415

        *before, last = [step for _, step in getattr(self.model, "steps", [("", self.model)])]
        if not all(isinstance(step, OneToOneFeatureMixin) for step in before):
            return None
        for kind, attribute in (("impurity", "feature_importances_"), ("coefficient", "coef_")):
            found = np.ravel(getattr(last, attribute, ()))
            if len(found) == self.model.n_features_in_:
                return kind, found
        return None


def _own(params: Params) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "estimator"}


def _class(name: Any) -> Any:
    module, separator, attribute = str(name).partition(":")
    if not separator:
        raise ValueError(f"{name!r} has no colon")
    return getattr(import_module(module), attribute)


def _is_seed(name: str) -> bool:
    return name.rsplit("__", 1)[-1] in SEEDS


def _weight_name(model: Any) -> str:
    steps = getattr(model, "steps", None)
    return f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"
