"""Both engines side by side: LightGBM's trees by LightGBM and by ours, on a small market, with the seconds of each."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from numerai_ray.config import ModelConfig
from numerai_ray.data.features import FeatureMatrix, values_seen
from numerai_ray.models import Batch, Fitted, engine_of, model_for, rule_here
from numerai_ray.models.engine import FIVE_VALUES, LIGHTGBM

ERAS, ROWS_AN_ERA, FEATURES = 50, 2000, 200
TREES = 50  # at most: enough to tell the ratio


@dataclass(frozen=True)
class EngineComparison:
    """What came of it: ``engine`` is what a round would take for these params, with the reason where it is LightGBM.

    ``trees`` were grown by each, of which ``same_trees`` have the same splits in the same order; ``difference`` is the
    largest between predictions of the target; seconds are CPU seconds of one thread, LightGBM's binning included.
    """

    engine: str
    trees: int = 0
    same_trees: int = 0
    difference: float = 0.0
    own_seconds: float = 0.0
    lightgbm_seconds: float = 0.0

    @property
    def ratio(self) -> float:
        """How many times as fast ours is."""
        return self.lightgbm_seconds / self.own_seconds if self.own_seconds else 0.0

    def __str__(self) -> str:
        """As ``check-model`` says it."""
        if not self.trees:
            return f"engine: {self.engine}"
        return (
            f"engine: {self.engine}; of {self.trees} trees {self.same_trees} are LightGBM's, predictions differ by at "
            f"most {self.difference:.1e}; {self.own_seconds:.2f} s of one core against LightGBM's "
            f"{self.lightgbm_seconds:.2f}, binning included ({self.ratio:.1f} times as fast here)"
        )


def compare_engines(config: ModelConfig) -> EngineComparison:
    """Train both on one market; where a round would leave the params to LightGBM, say so and train nothing."""
    plain = model_for("lightgbm")
    engine = engine_of(config, "2", plain.canonical_params(config.params), rule_here())
    if engine.name != FIVE_VALUES:
        return EngineComparison(str(engine))
    params = dict(plain.canonical_params(config.params))
    params["num_iterations"] = min(TREES, int(params.get("num_iterations", TREES)))
    train, validation = _market()
    texts, answers, seconds = [], [], []
    for name in (FIVE_VALUES, LIGHTGBM):
        model = model_for("lightgbm", None, name)
        model.fit(train, {**params, "num_iterations": 1}, 1)  # compiled, loaded, warm
        fitted, spent = _timed(lambda model=model: model.fit(train, params, 1))  # type: ignore[misc]
        texts.append(_splits(model.plain(fitted)))
        answers.append(fitted.predict(validation, 1))
        seconds.append(spent)
    same = sum(ours == theirs for ours, theirs in zip(*texts, strict=False))
    gap = float(np.abs(answers[0] - answers[1]).max())
    return EngineComparison(str(engine), len(texts[0]), same, gap, *seconds)


def _timed(action: Callable[[], Fitted]) -> tuple[Fitted, float]:
    started = time.process_time()
    return action(), time.process_time() - started


def _splits(text: str) -> list[tuple[str, ...]]:
    """Of each tree of a model's text, what it splits, and where."""
    kept = ("split_feature=", "threshold=", "left_child=", "right_child=")
    bodies = text.partition("\nend of trees")[0].split("\nTree=")[1:]
    return [tuple(line for line in body.splitlines() if line.startswith(kept)) for body in bodies]


def _market() -> tuple[Batch, Batch]:
    rng = np.random.default_rng(0)
    n = ERAS * ROWS_AN_ERA
    factors = rng.normal(size=(8, n)).astype(np.float32)
    columns = []
    for _ in range(FEATURES):
        value = rng.normal(size=8).astype(np.float32) @ factors * np.float32(0.4) + rng.normal(size=n)
        columns.append(np.digitize(value, [-0.9, -0.27, 0.27, 0.9]).astype(np.int8))
    signal = sum((column - 2.0) * rng.normal() for column in columns[:20])
    noisy = 0.05 * signal / np.std(signal) + rng.normal(size=n)
    target = (np.digitize(noisy, np.quantile(noisy, [0.05, 0.25, 0.75, 0.95])) / 4).astype(np.float32)
    starts = np.arange(ERAS + 1) * ROWS_AN_ERA
    names = tuple(f"feature_{place}" for place in range(FEATURES))
    features = FeatureMatrix(names, tuple(columns), values_seen(columns, starts))
    trained = 4 * n // 5
    train = Batch(features, ((0, trained),), missing_as_null=False, target=target[:trained])
    return train, Batch(features, ((trained, n),), missing_as_null=False)
