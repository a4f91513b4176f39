"""From a round's results to its decision, and what makes a result doubtful. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from numerai_ray.experiment.front import undominated
from numerai_ray.experiment.records import Decision, RoundRecord, VariantRecord
from numerai_ray.metrics.registry import BMC, MEAN
from numerai_ray.metrics.significance import LEVEL, RULE, delta_text, e4

# An honest model's mean CORR lies in between (levels seen on real data); above, suspect leakage.
HONEST_CORR = (0.005, 0.04)
# The kind of flag of a variant that loses in CORR or a Sharpe ratio.
TRADE_OFF = "trade-off"
# A model this close to the benchmark cannot add much to it.
BENCHMARK_TWIN = 0.95


@dataclass(frozen=True)
class PolicySettings:
    """The plan's numbers that decide when a gain counts and when to stop, and which stages there are.

    With ``metrics`` only a variant that none of its round beats in both of them may win.
    ``extend`` goes on scouting after a finished experiment. ``over`` says why a budget ended the search before it was
    used up to its last: within a round, or because the next one would go beyond it.
    """

    margin: float
    patience: int
    max_rounds: int
    max_hours: float | None = None
    accept_suspect: bool = False
    accept: Literal["margin", "significant", "pareto", "replicated"] = "margin"
    max_fits: int | None = None
    max_core_hours: float | None = None
    focus_ratio: float = 3.0
    interpret: bool = False
    scale: bool = False
    holdout: bool = False
    extend: bool = False
    over: str = ""
    metrics: tuple[str, ...] = ()

    def of_stage(self, stage: str) -> "PolicySettings":
        """Two metrics are searched; which of what was found holds at a larger scale, the plan's `metric` decides.

        What is judged at another scale has no fresh seeds to wait for.
        """
        if stage == "scout":
            return self
        return replace(self, metrics=(), accept="significant" if self.accept == "replicated" else self.accept)

    @property
    def rule(self) -> str:
        """What decides, as the ledger names it."""
        return f"{self.accept} on the front of {' and '.join(self.metrics)}" if self.metrics else self.accept

    @property
    def gain(self) -> str:
        """The gain that counts, in words."""
        also = {
            "significant": " clear of the noise",
            "pareto": " that costs nothing",
            "replicated": " that fresh seeds show again",
        }
        return f"a gain of {self.margin:g}{also.get(self.accept, '')}"


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
    if base.metrics is None or not is_known(base):
        reason = f"the base failed: {_why_unknown(base)}"
        return Decision(None, promoted=False, gain=None, changes=base_changes, reason=reason)

    # A failed trial or an unknown metric cannot win; a suspected leak only when the user accepts it.
    fit = [variant for variant in variants if is_known(variant)]
    honest = [variant for variant in fit if may_win(variant, settings)]
    pruned = sum(variant.pruned is not None for variant in variants)
    failed, suspect = len(variants) - len(fit) - pruned, len(fit) - len(honest)
    free = [variant for variant in honest if is_free(variant, settings)]
    front = _on_front(free, base, settings)
    counts = (
        (failed, "failed"),
        (pruned, "pruned as hopeless"),
        (suspect, "set aside as suspect"),
        (len(honest) - len(free), "set aside for what they cost"),
        (len(free) - len(front), f"beaten in both {' and '.join(settings.metrics)}"),
    )
    honest = front
    aside = "".join(f"; {count} {what}" for count, what in counts if count)
    if not honest:
        why = "no variant to judge" if variants else "nothing to compare with"
        return Decision(base.id, promoted=False, gain=None, changes=base_changes, reason=f"{why}{aside}")

    # Several variants may be clear of the noise; a larger gain within it does not stand in their way.
    clear = [variant for variant in honest if settings.accept != "significant" or _is_clear(variant)]
    best = max(clear or honest, key=order)
    gain = round(order(best)[0] - order(base)[0], 12)
    noise = f"{_noise(best, settings)}{aside}"
    title = base.metrics.metric.metric.noun
    margin = e4(settings.margin, sign=False)

    # The field's rule: the smallest gain that counts is the margin. With a margin of 0 a tie is still no gain.
    if settings.accept == "replicated" and gain >= settings.margin and gain > 0:
        shown = f"{best.name} gains {e4(gain)} {title} over the base, margin {margin}"
        reason = f"base kept until fresh seeds show it again: {shown}{noise}"
        return Decision(base.id, promoted=False, gain=gain, changes=base_changes, reason=reason, again=best.id)
    if clear and gain >= settings.margin and gain > 0:
        changes = {**base_changes, **best.changes}
        reason = f"promoted: {best.name} gains {e4(gain)} {title} over the base, margin {margin}{noise}"
        return Decision(best.id, promoted=True, gain=gain, changes=changes, reason=reason)
    if gain <= 0:
        shown = f"the best variant, {best.name}, differs from it by {e4(gain)} {title}"
    elif gain < settings.margin:
        shown = f"{best.name} gains {e4(gain)} {title} over it, less than the margin of {margin}"
    else:
        shown = f"{best.name} gains {e4(gain)} {title} over it, margin {margin}, but that may be noise"
    return Decision(base.id, promoted=False, gain=gain, changes=base_changes, reason=f"base kept: {shown}{noise}")


def choose(readings: Sequence[VariantRecord], settings: PolicySettings) -> Decision:
    """Which interpretation becomes the experiment's base: the best by the primary metric, whatever its margin.

    Its changes become part of the base, so the decision's own are none.
    """
    honest = [each for each in readings if may_win(each, settings)]
    if not honest:
        told = ((each.name, ", ".join(each.flags) if is_known(each) else _why_unknown(each)) for each in readings)
        reason = f"no interpretation can be judged: {'; '.join(f'{name}: {why}' for name, why in told)}"
        leak = any(is_known(each) for each in readings)
        remedy = "; where there is no leak, --accept-suspect lets one of them be the base" if leak else ""
        return Decision(None, promoted=False, gain=None, changes={}, reason=f"{reason}{remedy}")
    best, *rest = sorted(honest, key=order, reverse=True)
    ahead = f", {e4(order(best)[0] - order(rest[0])[0], sign=False)} ahead of {rest[0].name}" if rest else ""
    failed = f"; {len(readings) - len(honest)} failed or set aside" if len(honest) < len(readings) else ""
    reason = f"{best.name} becomes the base: its {metric_name(best)} is {order(best)[0]:.5f}{ahead}{failed}"
    return Decision(best.id, promoted=True, gain=None, changes={}, reason=reason)


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


def is_known(variant: VariantRecord) -> bool:
    """Whether it ran and its primary metric is a number."""
    return variant.metrics is not None and not math.isnan(variant.metrics.primary)


def _why_unknown(variant: VariantRecord) -> str:
    """Why its primary metric is no number."""
    constant = variant.metrics is not None and variant.metrics.constant_eras
    lacks = "meta model" if variant.metrics and variant.metrics.metric.series == "mmc" else "benchmark"
    why = "its predictions are constant" if constant else f"no scored era has the {lacks}"
    return variant.error or f"its primary metric is unknown: {why}"


def metric_name(variant: VariantRecord | None) -> str:
    """What decides, as tables of numbers call it: ``bmc_last_200_eras``."""
    metric = BMC if variant is None or variant.metrics is None else variant.metrics.metric
    return metric.name.removesuffix(MEAN)


def _is_clear(variant: VariantRecord) -> bool:
    """Whether noise rarely brings a best variant as good. Without an answer (None, NaN) it is not clear."""
    return variant.evidence is not None and variant.evidence.to_base.p_value <= LEVEL


def _noise(variant: VariantRecord, settings: PolicySettings) -> str:
    if variant.evidence is not None:
        return f"; {delta_text(variant.evidence.to_base)}"
    return "; its per-era scores are unknown, and so is the noise" if settings.accept == "significant" else ""


def _on_front(variants: Sequence[VariantRecord], base: VariantRecord, settings: PolicySettings) -> list[VariantRecord]:
    """Those that no other of the round, its base among them, beats in both metrics that are searched."""
    if not settings.metrics:
        return list(variants)
    kept = {each.id for each in undominated([base, *variants], settings.metrics)}
    return [each for each in variants if each.id in kept]


def may_win(variant: VariantRecord, settings: PolicySettings) -> bool:
    """Whether it ran, its metric is known, and it is no suspected leak (unless those are accepted)."""
    return is_known(variant) and (settings.accept_suspect or not is_suspect(variant))


def is_free(variant: VariantRecord, settings: PolicySettings) -> bool:
    """Whether what it costs does not bar it: where ``accept`` is pareto, a trade-off is barred in every stage."""
    return settings.accept != "pareto" or TRADE_OFF not in _kinds(variant)


def is_suspect(variant: VariantRecord) -> bool:
    """Whether it looks like a leak."""
    return "suspect" in _kinds(variant)


def _kinds(variant: VariantRecord) -> set[str]:
    return {flag.split(":", 1)[0] for flag in variant.flags}


def order(variant: VariantRecord) -> tuple[float, float]:
    """Primary metric, then the tie-break. Rounded far below any margin, so that equal results tie on every machine."""
    if variant.metrics is None:
        raise ValueError(f"{variant.id} has no metrics to order by")
    return round(variant.metrics.primary, 12), round(variant.metrics.tie_break, 12)


def rule_version(history: Sequence[RoundRecord]) -> int:
    """The version of the rule that an experiment is judged by: the one that it began with."""
    if not history:
        return RULE
    _, _, version = history[0].decision.rule.partition("/")
    return int(version) if version.isdecimal() else 1


def is_finished(history: Sequence[RoundRecord]) -> bool:
    """Whether nothing is left of an experiment: its final stage is decided and, where eras were kept out, scored.

    The ledger tells whether they were, and a run refuses a plan that says otherwise than its rounds.
    """
    if not history:
        return False
    last = history[-1]
    return last.stage == "holdout" or (last.stage == "final" and last.origin.get("holdout_eras", "None") == "None")


def last_compared(history: Sequence[RoundRecord]) -> RoundRecord | None:
    """The last round whose winner and scores stand for the experiment; None before the first.

    Not a holdout: its few eras check the winner of the stage before, and chose nothing.
    """
    return next((record for record in reversed(history) if record.stage != "holdout"), None)


def spreads(history: Sequence[RoundRecord]) -> dict[str, float]:
    """Largest difference of the primary metric that each dimension made within one of its scout rounds."""
    found: dict[str, float] = {}
    for record in history:
        known = [
            variant.metrics.primary
            for variant in record.variants
            if variant.role in ("base", "variant") and variant.metrics and math.isfinite(variant.metrics.primary)
        ]
        if record.stage == "scout" and record.dimension is not None and len(known) > 1:
            found[record.dimension] = max(found.get(record.dimension, 0.0), max(known) - min(known))
    return found
