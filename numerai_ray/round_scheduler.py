"""The loop: propose, enforce one variable, run, record, decide, stop; and go on where it stopped."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
import yaml

from numerai_ray.atomic_files import write_text
from numerai_ray.config import Config, fingerprint
from numerai_ray.errors import ConfigError, FitError, Problem, RequestError
from numerai_ray.evidence import ScoreReader, comparison_of, selection_looks, with_evidence
from numerai_ray.experiment_plan import LoadedPlan, Stage
from numerai_ray.fold_runner import Progress, RoundRunner, VariantOutcome, take
from numerai_ray.proposer import Proposer
from numerai_ray.results import (
    ExperimentPaths,
    Role,
    RoundRecord,
    VariantRecord,
    append_ledger,
    known_by_fingerprint,
    metrics_of,
    official_metrics,
    read_ledger,
    write_json,
)
from numerai_ray.round_policy import (
    ConfirmRound,
    FinalRound,
    PolicySettings,
    ScoutRound,
    Step,
    Stop,
    decide,
    next_step,
    sanity_flags,
)
from numerai_ray.scoring import score_eras
from numerai_ray.search_space import Variant, changes_for, check_one_variable, variants
from numerai_ray.trial_plan import Catalog, TrialPlan
from numerai_ray.variant_output import per_era_json, write_variant


@dataclass(frozen=True)
class Candidate:
    """One line of a round before it runs. ``changes`` are relative to the round's base."""

    name: str
    role: Role
    changes: Mapping[str, Any]
    config: Config


@dataclass(frozen=True)
class RoundStart:
    """What a watcher is told when a round begins; ``trials`` maps ids to names, ``known`` ran in earlier rounds."""

    number: int
    stage: Stage
    dimension: str | None
    trials: Mapping[str, str]
    folds: Mapping[str, int]
    known: tuple[VariantRecord, ...]


class Watcher(Protocol):
    """Shows what happens; never decides anything."""

    def round_started(self, start: RoundStart) -> None: ...

    def trial_progress(self, progress: Progress) -> None: ...

    def round_decided(self, record: RoundRecord) -> None: ...


Reporter = Callable[[Sequence[RoundRecord]], object]


@dataclass(frozen=True)
class Workshop:
    """What a scheduler is handed: it looks nothing up."""

    paths: ExperimentPaths
    catalog: Catalog
    runner: RoundRunner
    proposer: Proposer
    reporter: Reporter
    watcher: Watcher


class RoundScheduler:
    """Runs one experiment from wherever its ledger stands to its end."""

    def __init__(self, loaded: LoadedPlan, workshop: Workshop, settings: PolicySettings):
        self.loaded = loaded
        self.settings = settings
        self.shop = workshop

    def run(self, max_rounds: int | None = None) -> tuple[Stop | None, list[RoundRecord]]:
        """Go on until the policy says stop, or for ``max_rounds`` more rounds.

        Returns:
            The policy's word, None when ``max_rounds`` ended it; and all rounds so far.

        """
        history = read_ledger(self.shop.paths.ledger)
        self._check_origin(history)
        end = None if max_rounds is None else len(history) + max_rounds
        while True:
            known = known_by_fingerprint(history)
            step = self._next(history, known)
            if isinstance(step, Stop):
                self.shop.reporter(history)
                return step, history
            if len(history) == end:
                return None, history
            history.append(self._round(step, history, known))
            self.shop.reporter(history)

    def _next(self, history: Sequence[RoundRecord], known: Mapping[str, VariantRecord]) -> Step:
        dimensions = {name: dimension.required for name, dimension in self.loaded.space.dimensions.items()}
        return next_step(history, dimensions, self.settings, lambda name, base: bool(self._values(name, base, known)))

    def _check_origin(self, history: Sequence[RoundRecord]) -> None:
        """Refuse to mix results of different bases or data: they do not compare."""
        now = self._origin()
        for record in history:
            for what, was, there in ((k, record.origin.get(k), now[k]) for k in now):
                if was != there:
                    raise RequestError(
                        f"{self.shop.paths.root}: {what} changed since round {record.number} ({was} then, "
                        f"{there} now), so new results would not compare; undo it, or copy the plan into a new "
                        f"experiment's folder (stored fits are used there too)"
                    )

    def _origin(self) -> dict[str, str]:
        base = self.loaded.config("scout", {})
        return {
            "the base config": fingerprint(base.to_json()),
            "the data file": self.shop.catalog.index(base.data).fingerprint,
        }

    # --- what to run -------------------------------------------------------------------------------------------

    def _values(self, name: str, base_changes: Mapping[str, Any], known: Mapping[str, VariantRecord]) -> list[Any]:
        dimension = self.loaded.space.dimensions[name]
        base = self.loaded.config("scout", base_changes)

        def ran(value: Any) -> bool:
            changes = changes_for(dimension, value, base.to_json())
            config = self.loaded.config("scout", {**base_changes, **changes})
            return config == base or self._identity(config) in known

        return self.shop.proposer.propose(dimension, self.loaded.plan.rounds.variants, ran)

    def _candidates(
        self, step: ScoutRound | ConfirmRound | FinalRound, known: Mapping[str, VariantRecord]
    ) -> list[Candidate]:
        if isinstance(step, ScoutRound):
            return self._scout(step, known)
        if isinstance(step, ConfirmRound):
            found = [Candidate("base", "base", {}, self.loaded.config("confirm", {}))]
            if step.challenger is not None:
                config = self.loaded.config("confirm", step.challenger)
                found.append(Candidate("challenger", "variant", step.challenger, config))
            return self._with_baseline(found, "confirm")
        winner = Candidate("winner", "base", {}, self.loaded.config("final", step.changes))
        return self._with_baseline([winner], "final")

    def _scout(self, step: ScoutRound, known: Mapping[str, VariantRecord]) -> list[Candidate]:
        dimension = self.loaded.space.dimensions[step.dimension]
        base = self.loaded.config("scout", step.base_changes)
        made: list[Variant] = variants(
            step.dimension, dimension, self._values(step.dimension, step.base_changes, known), base.to_json()
        )
        found = [Candidate("base", "base", {}, base)]
        for variant in made:
            config = self.loaded.config("scout", {**step.base_changes, **variant.changes})
            check_one_variable(base, config, dimension, variant.name)
            found.append(Candidate(variant.name, "variant", variant.changes, config))
        return self._with_baseline(found, "scout")

    def _with_baseline(self, found: list[Candidate], stage: Stage) -> list[Candidate]:
        """The baseline stands in every table; it costs a trial once a stage, and none where it is the base."""
        baseline = Candidate("baseline", "baseline", {}, self.loaded.baseline_config(stage))
        return found if any(each.config == baseline.config for each in found) else [*found, baseline]

    # --- running and recording ---------------------------------------------------------------------------------

    def _round(
        self,
        step: ScoutRound | ConfirmRound | FinalRound,
        history: Sequence[RoundRecord],
        known: Mapping[str, VariantRecord],
    ) -> RoundRecord:
        started, clock = datetime.now(UTC), time.monotonic()
        number, stage = len(history) + 1, _stage_of(step)
        candidates = self._candidates(step, known)
        dimension = step.dimension if isinstance(step, ScoutRound) else None
        base_changes = step.base_changes if isinstance(step, ScoutRound) else {}
        base_changes = step.changes if isinstance(step, FinalRound) else base_changes
        new = {f"r{number:02d}-{each.name}": each for each in candidates if self._identity(each.config) not in known}
        plans = self._plans(new, number, stage)
        self.shop.watcher.round_started(
            RoundStart(
                number=number,
                stage=stage,
                dimension=dimension,
                trials={trial: each.name for trial, each in new.items()},
                folds={plan.id: len(plan.fits) for plan in plans},
                known=tuple(
                    replace(ran, name=each.name, role=each.role)
                    for each in candidates
                    if (ran := known.get(self._identity(each.config)))
                ),
            )
        )
        outcomes = self.shop.runner.run(plans, self.shop.watcher.trial_progress) if plans else {}
        records = [self._record(each, new, outcomes, known) for each in candidates]
        notes = tuple(dict.fromkeys(note for plan in plans for note in plan.notes))
        benchmark = self._benchmark(stage, candidates[0].config, known, outcomes)
        base, rest = records[0], [record for record in records if record.role == "variant"]
        rest = [replace(record, flags=sanity_flags(record, base)) for record in rest]
        base = replace(base, flags=sanity_flags(base, None))
        others = [record for record in records if record.role == "baseline"]
        reader, comparison = ScoreReader(self.shop.paths), comparison_of(candidates[0].config.score)
        looks = selection_looks(history) if isinstance(step, ConfirmRound) else 1
        rest = with_evidence(base, rest, reader, comparison, looks)
        others = with_evidence(base, others, reader, comparison)
        decision = decide(base, rest, base_changes, self.settings)
        if decision.winner is None:
            # Not a decided round: the plan has to change, or the cause to go away, and then it is run again.
            raise FitError(f"{self.shop.paths.plan}, round {number}: {decision.reason}; see the logs folder beside it")
        if isinstance(step, FinalRound):
            decision = replace(decision, reason="recorded: full-data metrics of the winner")
        if isinstance(step, ConfirmRound):
            decision = replace(decision, reason=f"{step.why}; at the larger scale {decision.reason}")
        record = RoundRecord(
            number=number,
            stage=stage,
            dimension=dimension,
            base_changes=base_changes,
            variants=(base, *rest, *others, *benchmark),
            decision=decision,
            origin=self._origin(),
            started=started.isoformat("T", "seconds"),
            wall_s=round(time.monotonic() - clock, 3),
            notes=notes,
        )
        append_ledger(self.shop.paths.ledger, record)
        self.shop.watcher.round_decided(record)
        return record

    def _plans(self, new: Mapping[str, Candidate], number: int, stage: Stage) -> list[TrialPlan]:
        label = f"{self.loaded.name}/r{number}" + ("" if stage == "scout" else f"-{stage}")
        plans = []
        problems: list[Problem] = []
        for trial, each in new.items():
            try:
                plan = self.shop.catalog.plan(trial, f"{label}/{each.name}", each.config)
                hopeless_stop = self.loaded.plan.rounds.prune and stage == "scout" and each.role == "variant"
                plans.append(replace(plan, may_stop=hopeless_stop))
            except ConfigError as error:
                problems += [Problem(f"{each.name}: {problem.path}", problem.message) for problem in error.problems]
        if problems:
            raise ConfigError(f"{self.shop.paths.plan}, round {number}", problems)
        for trial, each in new.items():
            text = yaml.safe_dump(each.config.to_json(), sort_keys=False)
            write_text(self.shop.paths.config(trial), f"# {self.loaded.name}, round {number}: {each.name}\n{text}")
        return plans

    def _record(
        self,
        each: Candidate,
        new: Mapping[str, Candidate],
        outcomes: Mapping[str, VariantOutcome],
        known: Mapping[str, VariantRecord],
    ) -> VariantRecord:
        identity = self._identity(each.config)
        if identity in known:
            ran = replace(known[identity], flags=(), evidence=None)  # both spoke of another round's base
            return replace(ran, name=each.name, role=each.role, changes=each.changes)
        trial = next(trial for trial, candidate in new.items() if candidate is each)
        outcome = outcomes[trial]
        if outcome.metrics is not None:
            paths = self.shop.paths
            write_variant(
                outcome, self.shop.runner.columns(outcome.plan), paths.results(trial), paths.predictions(trial)
            )
        write_text(self.shop.paths.trial_log(trial), trial_log(outcome))
        return VariantRecord(
            id=trial,
            name=each.name,
            role=each.role,
            fingerprint=identity,
            changes=each.changes,
            metrics=outcome.metrics,
            error=outcome.error,
            pruned=outcome.pruned,
            fits_new=sum(not fold.stored for fold in outcome.folds),
            fits_stored=sum(fold.stored for fold in outcome.folds),
            fit_seconds=round(sum(fold.seconds for fold in outcome.folds), 3),
        )

    def _benchmark(
        self,
        stage: Stage,
        config: Config,
        known: Mapping[str, VariantRecord],
        outcomes: Mapping[str, VariantOutcome],
    ) -> list[VariantRecord]:
        """The benchmark column scored like a prediction, on the eras that the round predicts; once a stage."""
        identity = fingerprint([config.data.files(), config.cv.model_dump(), config.score.model_dump()])
        if identity in known:
            return [known[identity]]
        outcome = next((outcome for outcome in outcomes.values() if outcome.metrics is not None), None)
        if outcome is None:
            return []
        plan, score = outcome.plan, config.score
        columns = self.shop.runner.columns(plan)
        ranges = plan.index.row_ranges(outcome.eras)
        values = take(columns.benchmarks[score.benchmark], ranges)
        starts = np.append(0, np.cumsum(np.diff(plan.index.era_starts)[plan.index.positions(outcome.eras)]))
        scores = score_eras(values, take(columns.targets[score.target], ranges), values, starts)
        metrics = metrics_of(scores, score.last_eras)
        name = f"benchmark-{stage}"
        write_json(
            self.shop.paths.results(name),
            {"metrics": official_metrics(metrics), "per_era": per_era_json(outcome.eras, scores)},
        )
        return [VariantRecord(name, score.benchmark, "benchmark", identity, {}, metrics)]

    def _identity(self, config: Config) -> str:
        return config.fingerprint()


def _stage_of(step: ScoutRound | ConfirmRound | FinalRound) -> Stage:
    if isinstance(step, ScoutRound):
        return "scout"
    return "confirm" if isinstance(step, ConfirmRound) else "final"


def trial_log(outcome: VariantOutcome) -> str:
    """One line a fold: what was trained on what, and how long it took."""
    lines = [outcome.plan.label]
    for fold in outcome.folds:
        took = "stored" if fold.stored else f"{fold.seconds:.1f} s"
        lines.append(
            f"fold {fold.fold}: {len(fold.train_eras)} eras, {fold.train_rows:,} rows trained "
            f"({fold.dropped_rows:,} without a label), {fold.validation_rows:,} rows predicted, {took}"
        )
    metrics = outcome.metrics
    if metrics is not None and math.isfinite(metrics.primary):
        lines.append(
            f"bmc_last_200_eras {metrics.primary:.6f}, bmc {metrics.bmc.mean:.6f}, corr {metrics.corr.mean:.6f}"
        )
    if outcome.pruned:
        lines.append(outcome.pruned)
    if outcome.error:
        lines.append(f"failed: {outcome.error}")
    return "\n".join([*lines, *outcome.plan.notes]) + "\n"
