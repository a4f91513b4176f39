"""Verdicts over the whole experiment: every configuration against the experiment's base, as what the search found."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from numerai_ray.data.eras import least_honest_gap
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader, chosen_by, difference, search_of, share_of
from numerai_ray.metrics.selection import best_of
from numerai_ray.metrics.significance import ALL_ERAS, ALONE, Comparison, PairedDelta, Verdict, verdict


def overall_verdicts(
    history: Sequence[RoundRecord],
    reader: ScoreReader,
    comparison: Comparison,
    variants: Collection[str] | None = None,
) -> dict[tuple[str, str], Verdict]:
    """Verdict by stage and variant id; none for what the search did not find: bases, baselines, benchmarks.

    Args:
        history: decided rounds.
        reader: of the experiment's results files.
        comparison: how differences are judged.
        variants: ids to judge; all unless given. A verdict takes some milliseconds.

    The final stage's winner stands against its baseline, as in the answer.
    A round's own verdict says whether a variant is the best of that round by luck. This one counts all rounds, and
    all steps that the base had taken when the variant ran.

    """
    found: dict[tuple[str, str], Verdict] = {}
    bases: dict[str, VariantRecord] = {}
    chosen = chosen_by(history, reader)
    for number, record in enumerate(history):
        base = record.find("base")
        if base is not None and not record.base_changes:
            bases.setdefault(record.stage, base)
        start, baseline = bases.get(record.stage), record.find("baseline")
        if record.stage == "final" and base is not None and baseline is not None:
            whole = search_of(history, to_baseline=True)
            share = share_of(chosen, (base, baseline), reader, comparison.overlap_eras)
            how = whole if whole == ALONE else replace(whole, share=share)
            paired = difference(base, baseline, reader, comparison, how)
            found[record.stage, base.id] = verdict(paired)
        if start is None or record.stage == "interpret":
            continue
        search = search_of(history)
        own = record.stage == "scout"
        steps = (search_of(history[:number]).moves if record.base_changes else 0) + 1 if own else search.moves
        judged = replace(search, moves=min(max(1, steps), len(search.judged)))
        for variant in record.variants:
            asked = variant.role == "variant" and (variants is None or variant.id in variants)
            if asked and record.stage != "holdout" and (record.stage, variant.id) not in found:
                share = share_of(chosen, (variant, start), reader, comparison.overlap_eras)
                how = judged if judged == ALONE else replace(judged, share=share)
                paired = difference(variant, start, reader, comparison, how)
                if paired is not None and own and variant.id != record.decision.winner:
                    # One of many that nobody chose: it is a loss as the worst of them.
                    paired = replace(paired, p_loss=best_of(paired.p_loss, search.variants))
                found[record.stage, variant.id] = verdict(paired)
    return found


def confirmation(paired: PairedDelta) -> str:
    """What a difference on eras that chose nothing says about the gain that was found, by its interval."""
    if paired.low > 0:
        return "the gain is there"
    if paired.high < 0:
        return "it loses there"
    return "which neither confirms the gain nor refutes it"


def stored_comparison(history: Sequence[RoundRecord], reader: ScoreReader) -> Comparison:
    """How differences over all scored eras are judged, by what the results files say was scored."""
    for record in history:
        for variant in record.variants:
            stored = None if variant.metrics is None else reader.read(variant.id)
            target = None if stored is None else stored.data.get("score_target")
            if isinstance(target, str):
                return Comparison(ALL_ERAS, least_honest_gap((target,)) - 1)
    return Comparison(ALL_ERAS)
