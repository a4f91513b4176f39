"""Costs of a gain: what a variant that gains in the primary metric loses in CORR and in Sharpe ratios."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from numerai_ray.experiment.decision import TRADE_OFF
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.experiment.scores import ScoreReader, StoredScores
from numerai_ray.experiment.standing import listed
from numerai_ray.metrics.era_columns import FloatArray
from numerai_ray.metrics.selection import LEVEL, best_of
from numerai_ray.metrics.series import sharpe_values
from numerai_ray.metrics.significance import Comparison, Series, paired_delta

# Title, and per-era values whose mean it is.
_Asked = tuple[str, Callable[[StoredScores], FloatArray]]
_MEANS: dict[str, _Asked] = {
    "bmc": ("BMC", lambda stored: stored.scores.bmc),
    "corr": ("CORR", lambda stored: stored.scores.corr),
}
_SHARPES: tuple[_Asked, ...] = (
    ("BMC Sharpe", lambda stored: sharpe_values(stored.scores.bmc)),
    ("CORR Sharpe", lambda stored: sharpe_values(stored.scores.corr)),
)


def losses(ours: StoredScores, theirs: StoredScores, comparison: Comparison) -> tuple[str, ...]:
    """Titles of what ``ours`` loses against ``theirs`` by more than noise does, as the worst of all that is asked."""
    asked = [each for name, each in _MEANS.items() if name != ours.primary.series] + [*_SHARPES]
    found = []
    for title, values in asked:
        paired = paired_delta(Series(ours.eras, values(ours)), Series(theirs.eras, values(theirs)), comparison)
        if paired is not None and paired.mean < 0 and best_of(paired.p_loss, len(asked)) <= LEVEL:
            found.append(title)
    return tuple(found)


def with_costs(
    base: VariantRecord, variants: Sequence[VariantRecord], reader: ScoreReader, comparison: Comparison
) -> list[VariantRecord]:
    """``variants`` of a round with a flag on each that gains over ``base`` and pays for it."""
    theirs = reader.read(base.id) if base.metrics is not None else None
    found = []
    for each in variants:
        gains = each.evidence is not None and each.evidence.to_base.mean > 0
        ours = reader.read(each.id) if gains else None
        lost = losses(ours, theirs, comparison) if ours is not None and theirs is not None else ()
        flag = (f"{TRADE_OFF}: loses {listed(lost)} by more than noise does",) if lost else ()
        found.append(replace(each, flags=each.flags + flag))
    return found
