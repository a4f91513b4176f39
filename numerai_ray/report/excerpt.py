"""Excerpt of a reading: some of its variants, on the eras from one on; what a picture shows that was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import FOREIGN
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.report.reading import Reading


@dataclass(frozen=True)
class Excerpt(Reading):
    """A reading of which every score begins at ``start_era``; what rounds decided stays as they decided it.

    ``wanted`` are ids of variants, and of predictions of others, that are shown beside what they are held against;
    empty where all are.
    """

    wanted: tuple[str, ...] = ()

    @cached_property
    def reader(self) -> ScoreReader:
        return ScoreReader(self.paths, self.start_era)

    def in_one_stage(self) -> "Excerpt":
        """The rounds of the stage in which all that is wanted ran: scores of several stages do not compare.

        Raises:
            RequestError: there is no such stage.

        """
        if not self.wanted:
            return self
        ran = {name: {r.stage for r in self.history for v in r.variants if v.id == name} for name in self.wanted}
        both = set.intersection(*ran.values())
        # Predictions of others are on the data of one stage, which nothing says; alone they stand in the latest.
        stage = next((record.stage for record in reversed(self.history) if record.stage in both), None)
        if stage is None:
            listed = ", ".join(f"{name} ran in {' and '.join(sorted(stages))}" for name, stages in ran.items())
            raise RequestError(
                f"variants: scores of different stages do not compare, and {listed}; ask for those of one stage, or "
                f"draw cumulative(variants=[…])"
            )
        return replace(self, history=tuple(record for record in self.history if record.stage == stage))


def excerpt(reading: Reading, wanted: Sequence[str] | None = None, start_era: int | None = None) -> Excerpt:
    """``reading`` with the variants ``wanted`` alone (ids; None: all), and their scores from ``start_era`` on.

    Raises:
        RequestError: nothing was scored from that era on.

    """
    whole = Excerpt(reading.loaded, reading.paths, reading.history, start_era, tuple(wanted or ()))
    history = whole.history
    if start_era is not None:
        history = tuple(_since(whole, record) for record in history)
        scored = [v.metrics for record in history for v in record.variants if v.metrics is not None]
        if history and not any(each.corr.n_eras + each.bmc.n_eras for each in scored):
            raise RequestError(f"start_era: no era from {start_era} on was scored; give an earlier one")
    if wanted is None:
        return replace(whole, history=history)
    foreign = [_foreign(whole, name) for name in whole.wanted if name.startswith(FOREIGN)]
    kept = []
    for place, record in enumerate(history):
        own = [each for each in record.variants if each.role != "variant" or each.id in whole.wanted]
        last = place + 1 == len(history) or history[place + 1].stage != record.stage
        kept.append(replace(record, variants=(*own, *(foreign if last else ()))))
    return replace(whole, history=tuple(kept))


def _since(whole: Excerpt, record: RoundRecord) -> RoundRecord:
    """A round with metrics and evidence of the eras that are left."""
    reader = whole.reader
    variants = []
    for each in record.variants:
        stored = None if each.metrics is None else reader.read(each.id)
        metrics = None if stored is None or each.metrics is None else stored.metrics(each.metrics.bmc_last.n_eras)
        variants.append(replace(each, metrics=metrics, evidence=None))
    base = next((each for each in variants if each.role == "base"), None)
    judged: dict[str, VariantRecord] = {}
    for role in ("variant", "baseline"):
        own = [each for each in variants if each.role == role]
        if base is not None and own:
            judged |= {each.id: each for each in with_evidence(base, own, reader, whole.comparison)}
    return replace(record, variants=tuple(judged.get(each.id, each) for each in variants))


def _foreign(whole: Excerpt, name: str) -> VariantRecord:
    """Predictions of others as a variant that nothing was decided on."""
    stored = whole.reader.read(name)
    metrics = None if stored is None else stored.metrics(whole.score_config.score.last_eras)
    return VariantRecord(name, name, "variant", name, {}, metrics)
