"""Lines of a ledger: a variant and a decided round with plain numbers."""

from dataclasses import replace
from typing import Any

import numpy as np

from numerai_ray.experiment.records import Decision, RoundRecord, VariantRecord
from numerai_ray.metrics.scoring import EraScores, Metrics, metrics_of


def metrics(mean: float = 0.004) -> Metrics:
    return metrics_of(EraScores(np.full(4, 0.02), np.array([np.nan, 0, 0, 3 * mean]), np.full(4, 0.5)), 2)


def variant(name: str, **more: Any) -> VariantRecord:
    return replace(VariantRecord(name, name, "variant", f"print-{name}", {"a.b": 1}, metrics()), **more)


def decided(number: int = 1, *variants: VariantRecord) -> RoundRecord:
    decision = Decision("base", promoted=False, gain=None, changes={}, reason="base kept")
    return RoundRecord(number, "scout", "leaves", {}, variants, decision, {"the base config": "0" * 12})
