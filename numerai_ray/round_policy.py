"""The method, pure: history in, next step out. No clock, no disk, no Ray.

Scouting takes the dimensions one at a time, a round each. It ends at a plateau (``patience`` rounds in a row
without a gain of ``margin``, and no required dimension untried), when nothing is left to try, or with the budget.
Then one confirm round runs base and winner at a larger scale, and the final round runs what survived on full data.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numerai_ray.results import Decision, RoundRecord, VariantRecord
from numerai_ray.significance import LEVEL, in_words

# An honest model's mean CORR lies in between (levels seen on real data); above, suspect leakage.
HONEST_CORR = (0.005, 0.04)
# A model this close to the benchmark cannot add much to it.
BENCHMARK_TWIN = 0.95


@dataclass(frozen=True)
class PolicySettings:
    """The plan's numbers that decide when a gain counts and when to stop."""

    margin: float
    patience: int
    max_rounds: int
    max_hours: float | None = None
    accept_suspect: bool = False
    accept: Literal["margin", "significant"] = "margin"

    @property
    def gain(self) -> str:
        """The gain that counts, in words."""
        return f"a gain of {self.margin:g}" + (" clear of the noise" if self.accept == "significant" else "")


@dataclass(frozen=True)
class ScoutRound:
    """Next: vary ``dimension`` around the base that ``base_changes`` lead to."""

    dimension: str
    base_changes: Mapping[str, Any]


@dataclass(frozen=True)
class ConfirmRound:
    """Next: base and challenger at the larger scale. ``challenger`` is None when no variant ever ran well."""

    challenger: Mapping[str, Any] | None
    why: str


@dataclass(frozen=True)
class FinalRound:
    """Next: this config on full data."""

    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Stop:
    """Nothing is left to do."""

    reason: str


Step = ScoutRound | ConfirmRound | FinalRound | Stop
# (dimension, changes of the base) -> whether it has values that did not run yet around that base
HasValues = Callable[[str, Mapping[str, Any]], bool]


def next_step(
    history: Sequence[RoundRecord], dimensions: Mapping[str, bool], settings: PolicySettings, has_values: HasValues
) -> Step:
    """What to do after ``history``.

    Args:
        history: decided rounds, oldest first.
        dimensions: name -> whether the plan requires it to be tried, in the plan's order.
        settings: margin, patience and budget.
        has_values: whether a dimension has untried values around a base.

    """
    last = history[-1] if history else None

    if last is not None and last.stage == "final":
        return Stop("the final run is recorded")
    if last is not None and last.stage == "confirm":
        return FinalRound(last.decision.changes)

    scouts = [record for record in history if record.stage == "scout"]
    base = scouts[-1].decision.changes if scouts else {}
    tried = {record.dimension for record in scouts}
    untried = [name for name in dimensions if name not in tried and has_values(name, base)]

    # The budget ends the search, not the experiment: what was found is still confirmed.
    if len(scouts) >= settings.max_rounds:
        return _confirm(scouts, settings, f"the budget of {settings.max_rounds} rounds is used up")
    if settings.max_hours is not None and sum(record.wall_s for record in history) >= settings.max_hours * 3600:
        return _confirm(scouts, settings, f"the budget of {settings.max_hours:g} hours is used up")

    # Plateau: the field's rule. A required dimension that was never looked at keeps the search open.
    flat = flat_rounds(scouts)
    if flat >= settings.patience and not any(dimensions[name] for name in untried):
        return _confirm(scouts, settings, f"plateau: {flat} rounds in a row without {settings.gain}")

    # New ground first, in the plan's order; then again around the new base, least recently tried first.
    if untried:
        return ScoutRound(untried[0], base)
    order = [record.dimension for record in scouts]
    again = [name for name in dimensions if has_values(name, base)]
    if again:
        return ScoutRound(min(again, key=lambda name: len(order) - order[::-1].index(name)), base)
    return _confirm(scouts, settings, "every listed value was tried around the best configuration")


def flat_rounds(scouts: Sequence[RoundRecord]) -> int:
    """Number of rounds without a promotion since the last one that had one."""
    count = 0
    for record in reversed(scouts):
        if record.decision.promoted:
            break
        count += 1
    return count


def _confirm(scouts: Sequence[RoundRecord], settings: PolicySettings, why: str) -> ConfirmRound:
    """The winner against the base; when nothing beat the base, the best other variant, lest scale hides its gain."""
    winner = scouts[-1].decision.changes if scouts else {}
    if winner:
        return ConfirmRound(winner, why)
    ran = [
        ({**record.base_changes, **variant.changes}, variant)
        for record in scouts
        for variant in record.variants
        if variant.role == "variant" and _may_win(variant, settings)
    ]
    if not ran:
        return ConfirmRound(None, why)
    return ConfirmRound(max(ran, key=lambda pair: _order(pair[1]))[0], why)


def decide(
    base: VariantRecord,
    variants: Sequence[VariantRecord],
    base_changes: Mapping[str, Any],
    settings: PolicySettings,
) -> Decision:
    """Which config the next round starts from, and why.

    Args:
        base: the round's base.
        variants: its variants; their ``changes`` are relative to the base, and so is their ``evidence``.
        base_changes: the base's changes relative to the experiment's base.
        settings: ``margin``, ``accept`` and whether suspects may win.

    """
    # Without the base's metric no variant can be judged.
    if base.metrics is None or not _is_known(base):
        reason = base.error or "its primary metric is unknown: no scored era has the benchmark"
        return Decision(None, promoted=False, gain=None, changes=base_changes, reason=f"the base failed: {reason}")

    # A failed trial or an unknown metric cannot win; a suspected leak only when the user accepts it.
    fit = [variant for variant in variants if _is_known(variant)]
    honest = [variant for variant in fit if _may_win(variant, settings)]
    pruned = sum(variant.pruned is not None for variant in variants)
    failed, suspect = len(variants) - len(fit) - pruned, len(fit) - len(honest)
    counts = ((failed, "failed"), (pruned, "pruned as hopeless"), (suspect, "set aside as suspect"))
    aside = "".join(f"; {count} {what}" for count, what in counts if count)
    if not honest:
        why = "no variant to judge" if variants else "nothing to compare with"
        return Decision(base.id, promoted=False, gain=None, changes=base_changes, reason=f"{why}{aside}")

    # Several variants may be clear of the noise; a larger gain within it does not stand in their way.
    clear = [variant for variant in honest if settings.accept == "margin" or _is_clear(variant)]
    best = max(clear or honest, key=_order)
    gain = round(_order(best)[0] - _order(base)[0], 12)
    shown = f"{best.name} changes the primary metric by {gain:+.5f}, margin {settings.margin:g}{_noise(best, settings)}"

    # The field's rule: the smallest gain that counts is the margin. With a margin of 0 a tie is still no gain.
    if clear and gain >= settings.margin and gain > 0:
        changes = {**base_changes, **best.changes}
        return Decision(best.id, promoted=True, gain=gain, changes=changes, reason=f"promoted: {shown}{aside}")
    return Decision(base.id, promoted=False, gain=gain, changes=base_changes, reason=f"base kept: {shown}{aside}")


def sanity_flags(variant: VariantRecord, base: VariantRecord | None) -> tuple[str, ...]:
    """What makes a result doubtful; a flag that starts with ``suspect`` bars promotion."""
    metrics = variant.metrics
    if metrics is None:
        return ()
    low, high = HONEST_CORR
    flags = []
    if metrics.corr.mean > high:
        flags.append(f"suspect: corr_mean {metrics.corr.mean:.4f} is above {high}, look for leakage")
    elif metrics.corr.mean < low:
        flags.append(f"weak: corr_mean {metrics.corr.mean:.4f} is below {low}")
    if metrics.avg_corr_with_benchmark > BENCHMARK_TWIN:
        flags.append(f"twin: correlates {metrics.avg_corr_with_benchmark:.3f} with the benchmark")
    if base is not None and base.metrics is not None:
        corr_up = metrics.corr.mean > base.metrics.corr.mean
        if corr_up and metrics.bmc.mean < base.metrics.bmc.mean:
            flags.append("drift: CORR rises while BMC falls, so it moves towards the benchmark")
    return tuple(flags)


def _is_known(variant: VariantRecord) -> bool:
    """Whether it ran and its primary metric is a number."""
    return variant.metrics is not None and not math.isnan(variant.metrics.primary)


def _is_clear(variant: VariantRecord) -> bool:
    """Whether noise rarely brings a best variant as good. Without an answer (None, NaN) it is not clear."""
    return variant.evidence is not None and variant.evidence.to_base.p_value <= LEVEL


def _noise(variant: VariantRecord, settings: PolicySettings) -> str:
    if variant.evidence is not None:
        return f"; {in_words(variant.evidence.to_base)}"
    return "; its per-era scores are unknown, and so is the noise" if settings.accept == "significant" else ""


def _may_win(variant: VariantRecord, settings: PolicySettings) -> bool:
    return _is_known(variant) and (settings.accept_suspect or "suspect" not in _kinds(variant))


def _kinds(variant: VariantRecord) -> set[str]:
    return {flag.split(":", 1)[0] for flag in variant.flags}


def _order(variant: VariantRecord) -> tuple[float, float]:
    """Primary metric, then the tie-break. Rounded far below any margin, so that equal results tie on every machine."""
    if variant.metrics is None:
        raise ValueError(f"{variant.id} has no metrics to order by")
    return round(variant.metrics.primary, 12), round(variant.metrics.tie_break, 12)
