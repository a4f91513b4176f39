"""Answer: what an experiment found so far, what it costs, how sure it is, and what to do next.

:func:`answer_of` is the only place that says so: report, page, the last lines of a run and the JSON of `report`,
`status` and `run` show the one :class:`Answer`, each in its form.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.search_space import changes_label
from numerai_ray.experiment.answer_table import TableRow, answer_table, costs_of
from numerai_ray.experiment.decision import TRADE_OFF
from numerai_ray.experiment.front import FrontPoint, front_of, front_sentence
from numerai_ray.experiment.ledger import chosen_interpretation
from numerai_ray.experiment.next_steps import NextStep, next_steps
from numerai_ray.experiment.own_ensemble import OwnEnsemble, own_ensemble
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import difference
from numerai_ray.experiment.standing import Headline, Standing, counted, listed, p_text, searched
from numerai_ray.experiment.verdicts import confirmation
from numerai_ray.metrics.shrinkage import expected_gain, spread_of_gains
from numerai_ray.metrics.significance import RULE, PairedDelta, Search, e4, verdict
from numerai_ray.metrics.standard_error import Persistence

Kind = Literal["nothing yet", "no change", "gain", "trade-off", "too small", "not settled", "loss"]

# What a verdict begins with.
WORDS: dict[Kind, str] = {
    "nothing yet": "Nothing yet",
    "no change": "No change counts",
    "gain": "Better",
    "trade-off": "Better at a cost",
    "too small": "Too small to count",
    "not settled": "Not settled",
    "loss": "Worse",
}


@dataclass(frozen=True)
class Answer:
    """The answer so far; numbers are NaN and texts empty where unknown.

    ``verdict`` is one sentence. ``winner`` (an id) minus ``against`` in the primary's per-era scores over all scored
    eras of ``stage`` is ``gain``, between ``low`` and ``high`` (90 % interval of the pair); ``p_value`` allows for the
    whole search of ``variants`` in ``rounds`` that moved the base ``moves`` times, and is NaN for a loss. ``expected``
    is the gain to expect: the found one, shrunk by what all variants of the experiment gained. ``costs`` say what the
    gain costs in other metrics, ``checks`` what eras say that chose nothing, ``flags`` what makes it doubtful, ``rule``
    by which rule the rounds were decided. ``front`` are the variants that no other beats in both metrics, where two are
    searched at once; ``ensemble`` is that of the experiment's own variants, None where the plan asks for none.
    """

    kind: Kind
    verdict: str
    finished: bool
    stage: str
    winner: str
    changes: str
    against: str
    metric: str
    gain: float
    low: float
    high: float
    expected: float
    p_value: float
    variants: int
    rounds: int
    moves: int
    table: tuple[TableRow, ...]
    costs: tuple[str, ...]
    checks: tuple[str, ...]
    front: tuple[FrontPoint, ...]
    flags: tuple[str, ...]
    next: tuple[NextStep, ...]
    rule: str
    ensemble: OwnEnsemble | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, NaN where unknown."""
        return asdict(self, dict_factory=_told)

    def lines(self) -> list[str]:
        """The answer as text: verdict, costs, doubts, what to do next."""
        steps = [f"next: {step.command}" + (f"  ({step.why})" if step.why else "") for step in self.next]
        front = [front_sentence(self.front)] if self.front else []
        told = [*self.costs, *self.checks, *front, *self.blended]
        return [self.verdict, *told, *(f"note: {flag}" for flag in self.notes), *steps]

    @property
    def blended(self) -> tuple[str, ...]:
        """How the ensemble of its variants stands, where there is something to say of it."""
        return (self.ensemble.sentence,) if self.ensemble is not None and self.ensemble.sentence else ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The flags but for a trade-off that the verdict has told."""
        if self.kind != TRADE_OFF:
            return self.flags
        return tuple(flag for flag in self.flags if not flag.startswith(f"{TRADE_OFF}:"))


def _told(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """All but how a table formats a row."""
    return {name: value for name, value in items if name not in ("digits", "in_e4")}


def answer_of(standing: Standing, folder: str | Path | None = None) -> Answer:
    """The experiment's answer.

    Args:
        standing: its plan, files and rounds.
        folder: how commands name it; its folder as seen from beside ``experiments/`` unless given.

    """
    stage = standing.latest_stage
    best = standing.best(stage) if stage else None
    headline = next((h for s in reversed(_judging(standing)) if (h := standing.headline(s)) is not None), None)
    search = standing.search(headline.stage) if headline else standing.search("scout")
    paired = headline.paired if headline else None
    found = headline is not None and bool(standing.best_changes)
    table = () if best is None or stage is None else answer_table(standing, stage, best)
    costs, lost = costs_of(table, standing.metric.series) if found else ((), ())
    kind = _kind(standing, best, headline if found else None, lost)
    plan = standing.loaded.plan
    root = standing.paths.root.resolve()
    beside = "experiments/" if root.parent.name == "experiments" else ""
    name = str(folder) if folder is not None else f"{beside}{root.name}"
    ensemble = own_ensemble(plan.stages.ensemble, standing.paths, standing.history, finished=standing.finished)
    return Answer(
        kind=kind,
        verdict=f"{WORDS[kind]}: {_sentence(standing, kind, headline, search, lost)}",
        finished=standing.finished,
        stage=stage or "",
        winner="" if best is None else best.id,
        changes=changes_label(standing.best_changes),
        against=headline.theirs if headline and found else "",
        metric=standing.metric.name,
        gain=headline.difference if headline and found else math.nan,
        low=paired.low if paired and found else math.nan,
        high=paired.high if paired and found else math.nan,
        expected=_expected(standing, headline, search) if found else math.nan,
        p_value=paired.p_value if paired and found and paired.mean > 0 else math.nan,
        variants=standing.tried,
        rounds=len(standing.searched),
        moves=search.moves if found else 0,
        table=table,
        costs=costs,
        checks=_checks(standing) if found else (),
        front=front_of(standing.history, tuple(plan.rounds.metrics or ())),
        flags=_flags(standing, best, headline if found else None, lost),
        next=next_steps(standing, kind, paired, ensemble, name),
        rule=_rule(standing),
        ensemble=ensemble,
    )


def experiment_answer(
    loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord], folder: str | Path | None = None
) -> Answer:
    """The answer of an experiment's plan, files and rounds; see :func:`answer_of`."""
    interpreted = loaded.interpreted(chosen_interpretation(history))
    return answer_of(Standing(interpreted, paths, tuple(history)), folder)


def _rule(standing: Standing) -> str:
    """That of the search; stages after it have no seeds to wait for, and no two metrics."""
    accept = standing.loaded.plan.rounds.accept
    decided = standing.scouts or standing.history
    return (decided[-1].decision.rule or f"{accept}/1") if decided else f"{accept}/{RULE}"


def _judging(standing: Standing) -> list[Any]:
    """Stages whose comparison answers the question; a holdout checks it."""
    return [stage for stage in standing.stages if stage != "holdout"]


def _kind(standing: Standing, best: VariantRecord | None, headline: Headline | None, lost: tuple[str, ...]) -> Kind:
    if best is None:
        return "nothing yet"
    if headline is None:
        return "no change"
    found = verdict(headline.paired)
    if found == "clear loss":
        return "loss"
    if found != "clear gain":
        return "not settled"
    if headline.difference < standing.loaded.plan.rounds.margin:
        return "too small"
    return "trade-off" if lost else "gain"


def _sentence(standing: Standing, kind: Kind, headline: Headline | None, search: Search, lost: tuple[str, ...]) -> str:
    if kind == "nothing yet":
        return "no configuration has been scored."
    tried = f"{counted(standing.tried, 'variant')} in {counted(len(standing.searched), 'round')}"
    margin = e4(standing.loaded.plan.rounds.margin, sign=False)
    if kind == "no change" or headline is None:
        return f"{tried}, and the experiment's base stands (margin {margin}){_to_baseline(headline)}."
    title = standing.metric.metric.title
    who = f"{changes_label(standing.best_changes)} against {headline.theirs}"
    shown = f"{title} {headline.shown} in the {headline.stage} run"
    paired = headline.paired
    if paired is None or not headline.sure:
        return f"{who}: {shown}; too few eras tell how much of it is noise."
    if kind == "loss":
        return f"{who}: {shown}, clear of the noise."
    if paired.mean <= 0:
        return f"{who}: {shown}, inside the noise."
    luck = f"p = {p_text(paired.p_value)} for {searched(search)}"
    if kind == "not settled":
        return f"{who}: {shown}, inside the noise ({luck})."
    cost = f"; a {TRADE_OFF}, as it loses {listed(lost)}" if kind == TRADE_OFF else ""
    return f"{who}: {shown}, clear of the noise ({luck}){cost}."


def _to_baseline(headline: Headline | None) -> str:
    """What stands may be another configuration than the baseline, and worse."""
    if headline is None or headline.stage != "final" or verdict(headline.paired) in ("no difference", "unknown"):
        return ""
    return f"; to the baseline it differs by {headline.shown}, {verdict(headline.paired)}"


def _expected(standing: Standing, headline: Headline | None, search: Search) -> float:
    """The gain to expect, given what all variants gained over their bases."""
    if headline is None or headline.paired is None:
        return math.nan
    deltas = [delta for record in standing.scouts for delta in _gains(standing, record)]
    variance = spread_of_gains([each.mean for each in deltas], [each.standard_error for each in deltas])
    return expected_gain(headline.paired.mean, headline.paired.standard_error, variance, search.moves)


def _gains(standing: Standing, record: RoundRecord) -> list[PairedDelta]:
    """What a round's variants gained over its base: as decided, or from the results files of older ledgers."""
    base, variants = record.find("base"), [each for each in record.variants if each.role == "variant"]
    if all(each.evidence is None for each in variants):
        found = [difference(each, base, standing.reader, standing.comparison) for each in variants]
    else:
        found = [each.evidence.to_base if each.evidence else None for each in variants]
    return [each for each in found if each is not None]


def _checks(standing: Standing) -> tuple[str, ...]:
    """What the eras say that were kept out, with the interval: few eras confirm little."""
    headline = standing.headline("holdout")
    if headline is None:
        return ()
    paired = headline.paired
    if paired is None or not headline.sure:
        return (f"On the kept eras it differs from {headline.theirs} by {headline.shown}",)
    return (f"On {counted(paired.eras, 'era')} kept out of the search: {headline.shown}, {confirmation(paired)}",)


def _flags(
    standing: Standing, best: VariantRecord | None, headline: Headline | None, lost: tuple[str, ...]
) -> tuple[str, ...]:
    """What makes the answer doubtful, or dear."""
    found = [f"{TRADE_OFF}: it loses {listed(lost)} by more than noise does"] if lost else []
    # What the winner's own round said of its costs is said of all scored eras here.
    found += [] if best is None else [flag for flag in best.flags if not (lost and flag.startswith(f"{TRADE_OFF}:"))]
    found += _repeated(standing)
    if headline is not None and (swings := standing.persistence(headline.stage)) is not None and swings.shows:
        found.append(_persistent(headline, swings))
    return tuple(dict.fromkeys(found))


def _repeated(standing: Standing) -> list[str]:
    """A confirm stage that repeats the scout's runs is no evidence."""
    if not standing.of("confirm"):
        return []
    same = standing.loaded.config("confirm", {}).fingerprint() == standing.loaded.config("scout", {}).fingerprint()
    return ["same data: the confirm stage repeats the scout's runs, so it adds nothing"] if same else []


def _persistent(headline: Headline, swings: Persistence) -> str:
    return (
        f"persistence: the difference swings longer than labels overlap (p = {p_text(swings.p_value)}); by its slowest "
        f"swings alone its standard error is {e4(swings.standard_error, sign=False)}, not "
        f"{e4(headline.paired.standard_error if headline.paired else math.nan, sign=False)}"
    )
