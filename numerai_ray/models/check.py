"""Is a model what a round may believe? One suite for every model, on a small market of its own.

A model passes when it predicts numbers, answers twice alike and alike for any number of threads, leaves what it is
given as it is, follows its seed where it has one, tells importances of all features if of any, and does not look at
what it predicts: other labels, other rows beside, or another order of eras to predict change no prediction.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from numerai_ray.config import ModelConfig
from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.errors import FitError, NumeraiRayError
from numerai_ray.metrics.importance import Importance
from numerai_ray.models import (
    Batch,
    FitResult,
    Model,
    ModelSource,
    engine_of,
    model_for,
    model_problems,
    rule_here,
    settled,
)
from numerai_ray.models.user import UserModel

ERAS, ROWS_AN_ERA, FEATURES = 80, 100, 12
TRAIN, VALIDATION = (0, 60), (66, 80)
TRAINS = "trains and predicts"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Finding:
    """One promise: whether it is kept, and what was seen."""

    name: str
    kept: bool
    seen: str


def check_model(config: ModelConfig, source: ModelSource | None) -> list[Finding]:
    """Try every promise; the first finding tells whether the model can be made and trained at all."""
    problems = model_problems(config, source)
    if problems:
        return [Finding("parameters", kept=False, seen="; ".join(map(str, problems)))]
    model = model_for(config.type, source)
    config, note = settled(model, config)
    if config.type == "lightgbm":
        engine = engine_of(config, "2", model.canonical_params(config.params), rule_here())
        model = model_for(config.type, None, engine.name)
    bench = _Bench(model, config)
    accepted = Finding("parameters", kept=True, seen=f"accepted; {note}" if note else "accepted")
    try:
        result = bench.fit()
    except NumeraiRayError as error:
        return [accepted, Finding(TRAINS, kept=False, seen=str(error))]
    first = result.predictions
    learned = bench.learned(first)
    if not learned.kept:
        return [accepted, learned]
    found = [
        accepted,
        learned,
        _importances(result.importance),
        _compare("is the same when trained again", first, bench.predict),
        _compare("does not depend on threads", first, lambda: bench.predict(threads=3)),
        _compare("does not see validation rows in training", first, bench.predict_apart),
        _compare("predicts a row alike whatever is predicted beside it", first, bench.predict_halves),
    ]
    found += [bench.leaves_inputs_alone(), *bench.follows_its_seed(first)]
    return found


class _Bench:
    """A small market: features, labels with a planted signal, and a model trained on its early eras."""

    def __init__(self, model: Model, config: ModelConfig):
        self.model = model
        self.params = config.params
        rng = np.random.default_rng(0)
        values = rng.integers(0, 5, (FEATURES, ERAS * ROWS_AN_ERA)).astype(np.int8)
        starts = np.arange(ERAS + 1) * ROWS_AN_ERA
        self.features = FeatureMatrix(
            tuple(f"feature_{i}" for i in range(FEATURES)), tuple(values), values_seen(values, starts)
        )
        signal = (values[0] - 2.0) * 0.05 + (values[1] > 2) * 0.1
        self.labels = np.clip(0.5 + signal + rng.normal(0, 0.2, signal.shape), 0, 1).astype(np.float32)

    def batch(self, eras: tuple[int, int], *, target: bool, features: FeatureMatrix | None = None) -> Batch:
        rows = slice(eras[0] * ROWS_AN_ERA, eras[1] * ROWS_AN_ERA)
        numbers = np.repeat(np.arange(1, ERAS + 1, dtype=np.int32), ROWS_AN_ERA)[rows]
        read = {name: np.zeros(len(numbers)) for name in getattr(self.model, "benchmarks", ())}
        return Batch(
            features or self.features,
            ((rows.start, rows.stop),),
            missing_as_null=False,
            target=self.labels[rows].copy() if target else None,
            eras=numbers,
            benchmarks=read,
        )

    def fit(self, threads: int = 1, seed: int | None = None) -> FitResult:
        params = self.params if seed is None else self.model.with_seed(self.params, seed)
        train, validation = self.batch(TRAIN, target=True), self.batch(VALIDATION, target=False)
        return self.model.fit_predict(train, validation, params, threads)

    def predict(self, threads: int = 1, seed: int | None = None) -> Floats:
        return self.fit(threads, seed).predictions

    def learned(self, predictions: Floats) -> Finding:
        """What came of it; whether a model is any good is not judged, as the market may be too small for it."""
        wrong = int(np.count_nonzero(~np.isfinite(predictions)))
        if wrong:
            return Finding(TRAINS, kept=False, seen=f"{wrong} of {len(predictions)} predictions are NaN or infinite")
        if np.ptp(predictions) == 0:
            rows = (TRAIN[1] - TRAIN[0]) * ROWS_AN_ERA
            seen = f"{len(predictions)} predictions, all the same: these params learn nothing from {rows:,} rows"
            return Finding(TRAINS, kept=True, seen=seen)
        labels = self.labels[VALIDATION[0] * ROWS_AN_ERA : VALIDATION[1] * ROWS_AN_ERA]
        corr = float(np.corrcoef(predictions, labels)[0, 1])
        seen = f"{len(predictions)} predictions, their correlation with labels that it was not shown {corr:.2f}"
        return Finding(TRAINS, kept=True, seen=seen)

    def predict_apart(self) -> Floats:
        """Trained where all later eras are blank, then shown them."""
        blank = tuple(column.copy() for column in self.features.columns)
        for column in blank:
            column[TRAIN[1] * ROWS_AN_ERA :] = 0
        matrix = FeatureMatrix(self.features.names, blank, values_seen(np.stack(blank), self.features.seen.era_starts))
        fitted = self.model.fit(self.batch(TRAIN, target=True, features=matrix), self.params, 1)
        return fitted.predict(self.batch(VALIDATION, target=False), 1)

    def predict_halves(self) -> Floats:
        fitted = self.model.fit(self.batch(TRAIN, target=True), self.params, 1)
        middle = (VALIDATION[0] + VALIDATION[1]) // 2
        halves = ((VALIDATION[0], middle), (middle, VALIDATION[1]))
        return np.concatenate([fitted.predict(self.batch(half, target=False), 1) for half in halves])

    def leaves_inputs_alone(self) -> Finding:
        name = "leaves what it is given as it is"
        train = self.batch(TRAIN, target=True)
        before = (np.stack(self.features.columns), np.array(train.target))
        try:
            self.model.fit(train, self.params, 1)
        except FitError as error:
            return Finding(name, kept=False, seen=str(error))
        after = (np.stack(self.features.columns), np.array(train.target))
        same = all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
        return Finding(name, kept=same, seen="unchanged" if same else "features or target were changed in place")

    def follows_its_seed(self, first: Floats) -> list[Finding]:
        """A model whose params take a seed must give another answer for another seed, or be the same for all."""
        if self.model.with_seed(self.params, 1) == dict(self.params):
            return [Finding("follows its seed", kept=True, seen="has none: `seeds` would train the same model again")]
        again = self.predict(seed=11)
        if not np.array_equal(again, self.predict(seed=11)):
            return [Finding("follows its seed", kept=False, seen="one seed gives two answers")]
        differs = not np.array_equal(again, self.predict(seed=12)) or not np.array_equal(again, first)
        if not differs and not isinstance(self.model, UserModel):
            seen = "another seed, the same answer: these params draw nothing, and `seeds` would train it again"
            return [Finding("follows its seed", kept=True, seen=seen)]
        seen = "another seed, another answer" if differs else "it takes a seed, but ignores it; remove the parameter"
        return [Finding("follows its seed", kept=differs, seen=seen)]


def _importances(found: Importance | None) -> Finding:
    name = "tells of every feature how much it matters, or of none"
    if found is None:
        return Finding(
            name, kept=True, seen="of none: give what `fit` returns a method importance(), a number a feature"
        )
    kind, count = found.kind, len(found.values)
    return Finding(name, kept=count == FEATURES, seen=f"{kind}: {count} numbers for {FEATURES} features")


def _compare(name: str, first: Floats, again: Callable[[], Floats]) -> Finding:
    try:
        other = again()
    except NumeraiRayError as error:
        return Finding(name, kept=False, seen=str(error))
    if np.array_equal(first, other):
        return Finding(name, kept=True, seen="equal to the last bit")
    gap = float(np.abs(first - other).max()) if first.shape == other.shape else float("nan")
    return Finding(name, kept=False, seen=f"predictions differ by up to {gap:.3g}")
