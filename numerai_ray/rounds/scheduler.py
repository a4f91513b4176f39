"""The loop: propose, enforce one variable, run, record, decide, stop; and go on where it stopped."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from numerai_ray.config import Json, leaves, yaml_text
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import ALL_STAGES, Stage
from numerai_ray.config.search_space import Dimension
from numerai_ray.data.leaks import leaks
from numerai_ray.errors import ConfigError, FitError, Problem
from numerai_ray.experiment.costs import with_costs
from numerai_ray.experiment.decision import PolicySettings, choose, decide, rule_version, sanity_flags
from numerai_ray.experiment.ledger import append_ledger, chosen_interpretation, known_by_fingerprint, read_ledger
from numerai_ray.experiment.paths import experiment_identity
from numerai_ray.experiment.records import REPLICATE, Decision, RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader, comparison_of, search_by, with_evidence
from numerai_ray.metrics.significance import ALONE
from numerai_ray.rounds.budget import overrun, time_left, used_up_within, usual_seconds
from numerai_ray.rounds.candidates import Candidate, Search, Setup, identity
from numerai_ray.rounds.focus import find_focus
from numerai_ray.rounds.origin import check_origin, keep_looks, looks_of, origin_of, scouts_file
from numerai_ray.rounds.parts import RunParts
from numerai_ray.rounds.policy import Step, Stop, next_step
from numerai_ray.rounds.recorder import Recorder, holdout_decision, round_alike
from numerai_ray.rounds.replication import decide_replication, pending, search_of_replication
from numerai_ray.rounds.work import Began, Ran, Work, features_read, records_of, start_of, trial_id
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import read_json, write_json
from numerai_ray.system.process import DeadlineReached, deadline, finish_first, interruptible
from numerai_ray.system.timeline import span
from numerai_ray.training.spec import VariantPlan


class RoundScheduler:
    """Runs one experiment from wherever its ledger stands to its end."""

    def __init__(self, loaded: LoadedPlan, parts: RunParts, settings: PolicySettings):
        self.written = loaded
        self.settings = settings
        self.parts = parts
        self._last_search: Search | None = None

    def run(
        self, max_rounds: int | None = None, stop_after: Stage | None = None
    ) -> tuple[Stop | None, list[RoundRecord]]:
        """Go on until the policy says stop, for ``max_rounds`` more rounds, or until ``stop_after`` is over.

        Returns:
            The policy's word, None when something else ended it; and all rounds so far.

        """
        with finish_first():
            return self._run(max_rounds, stop_after)

    def _run(self, max_rounds: int | None, stop_after: Stage | None) -> tuple[Stop | None, list[RoundRecord]]:
        history = read_ledger(self.parts.paths.ledger)
        self._check_origin(history)
        edits = self._edits(history)
        if history:  # what was lost of these when the last run was killed, or is damaged, is there again
            self.parts.archive(self._search(history))
            self.parts.reporter(history)
        start, over = len(history), ""
        while True:
            search = self._search(history)
            step = self._next(search, history, extend=self.settings.extend and len(history) == start, over=over)
            if isinstance(step, Stop):
                self.parts.reporter(history)
                return step, history
            if max_rounds is not None and len(history) == start + max_rounds:
                return None, history
            with span("plan"):
                setup = search.setup(step)
            if stop_after is not None and _is_over(stop_after, setup.stage, history):
                return None, history
            over = over or self._overrun(setup, history)
            if over and setup.stage == "scout":
                continue
            try:
                history.append(self._round(setup, history, edits))
            except DeadlineReached as reached:
                over = used_up_within(reached.budget, len(history) + 1)
                continue
            edits = ()
            self.parts.reporter(history)

    def run_by_hand(self, name: str, dimension: Dimension, values: Sequence[Any]) -> RoundRecord:
        """One scout round of the user's values around the best configuration so far."""
        history = read_ledger(self.parts.paths.ledger)
        self._check_origin(history)
        edits = self._edits(history)
        search = self._search(history)
        base = history[-1].decision.changes if history else {}
        history.append(self._round(search.by_hand(name, dimension, values, base), history, edits))
        self.parts.reporter(history)
        return history[-1]

    def _search(self, history: Sequence[RoundRecord]) -> Search:
        """What is left to try after ``history``, made once for each."""
        last = self._last_search
        if last is None or len(last.history) != len(history) or (history and last.history[-1] is not history[-1]):
            loaded = self.written.interpreted(chosen_interpretation(history))
            self._last_search = last = Search(loaded, self.parts.proposer, tuple(history))
        return last

    @span("plan")
    def _overrun(self, setup: Setup, history: Sequence[RoundRecord]) -> str:
        """Why a scout round is not started: what it would train goes beyond a budget."""
        budget = self.settings
        if setup.stage != "scout" or (budget.max_fits, budget.max_hours, budget.max_core_hours) == (None, None, None):
            return ""
        known = known_by_fingerprint(history)
        new = [each for each in setup.candidates if identity(each.config, setup.stage) not in known]
        try:
            plans = [self.parts.catalog.plan("budget", each.name, each.config) for each in new]
        except ConfigError:
            return ""  # the round itself says what is wrong
        missing = {fit.key for plan in plans for fit in plan.fits if not self.parts.stored(fit)}
        cores = self.parts.runner.spent().cores
        told = self.parts.estimate(plans, cores)
        seconds = usual_seconds(history, len(missing)) if told is None else told.seconds
        return overrun(history, budget, len(missing), seconds, cores)

    @span("plan")
    def _next(self, search: Search, history: Sequence[RoundRecord], *, extend: bool, over: str) -> Step:
        names, weights = list(search.dimensions), search.importances()
        focus = find_focus(history, names, self.settings.focus_ratio, search, weights)
        settings = replace(self.settings, extend=extend, over=over)
        return next_step(history, search.dimensions, settings, search.has_values, focus)

    # --- what may have changed between runs --------------------------------------------------------------------

    @span("data")
    def _check_origin(self, history: Sequence[RoundRecord]) -> None:
        """Refuse to mix results of different bases or data: they do not compare."""
        if history:
            file = scouts_file(self.written, self.parts.catalog)
            check_origin(self.parts.paths, history, self._origin, self._looks, file)

    @cached_property
    def _looks(self) -> dict[str, Any]:
        return looks_of(self.written, self.parts.catalog)

    @cached_property
    def _origin(self) -> dict[str, str]:
        return origin_of(self.written, self.parts.catalog, self._looks)

    def _edits(self, history: Sequence[RoundRecord]) -> tuple[str, ...]:
        """What changed in the plan since the last decided round."""
        now = self.written.readable()
        before: Json = read_json(self.parts.paths.seen_plan) if history else {}
        ours, theirs = leaves(before), leaves(now)
        changed = [key for key in sorted(ours.keys() | theirs.keys()) if ours.get(key) != theirs.get(key)]
        return tuple(f"{key}: {ours.get(key)!r} -> {theirs.get(key)!r}" for key in changed) if before else ()

    # --- running and recording ---------------------------------------------------------------------------------

    def _round(self, setup: Setup, history: Sequence[RoundRecord], edits: tuple[str, ...]) -> RoundRecord:
        """Plan, run, record, judge, decide, and keep what came of it."""
        began = Began(datetime.now(UTC), time.monotonic())
        work = self._work(setup, history)
        self.parts.watcher.round_started(start_of(setup, work))
        expected = self.parts.estimate(work.plans, self.parts.runner.spent().cores)
        ran = self._trained(work, setup, history, began)
        recorder = self._recorder(work, ran, setup)
        base, rest, others = self._judged(records_of(recorder, work, ran, setup), setup, history)
        decision = self._decided(base, rest, setup, history)
        winner = next((each for each in (base, *rest) if each.id == decision.winner), base)
        cost = self.parts.runner.cost.to_json() if work.plans else {}
        record = RoundRecord(
            number=work.number,
            stage=setup.stage,
            dimension=setup.dimension,
            base_changes=setup.base_changes,
            variants=(base, *rest, *others, *recorder.benchmark(setup.candidates[0].config, ran.outcomes)),
            decision=decision,
            origin=self._origin,
            started=began.at.isoformat("T", "seconds"),
            wall_s=round(began.seconds(), 3),
            notes=tuple(dict.fromkeys([*ran.notes(), *work.notes])),
            kind=setup.kind,
            why=setup.why,
            choice=winner.name if setup.stage == "interpret" else "",
            edits=edits,
            cores=self.parts.runner.spent().cores,
            estimated_s=None if expected is None else expected.in_all(started="start_s" in cost),
            cost=cost,
        )
        return self._kept(record, history)

    def _work(self, setup: Setup, history: Sequence[RoundRecord]) -> Work:
        """What the round has to train: its candidates without those whose results are known."""
        number = len(history) + 1
        kept, notes = self._kept_baseline(setup, history)
        known = {**known_by_fingerprint(history), **kept}
        missing = [each for each in setup.candidates if identity(each.config, setup.stage) not in known]
        new = {trial_id(number, each): each for each in missing}
        return Work(number, new, known, self._plans(new, number, setup.stage), notes)

    def _trained(self, work: Work, setup: Setup, history: Sequence[RoundRecord], began: Began) -> Ran:
        """Outcomes of the plans, and the features of each that look like leaks."""
        # A budget ends the search, and only that: what follows it, or is asked for by hand, takes the time it needs.
        limited = setup.stage == "scout" and setup.kind != "manual"

        def left() -> tuple[float, str]:
            return time_left(history, self.settings, self.parts.runner.spent(), began.seconds())

        # Nobody waits for the search for leaks while Ray starts.
        with ThreadPoolExecutor(1, "leaks") as pool, interruptible(), deadline(left if limited else None):
            looking = {
                plan.id: pool.submit(leaks, plan.index, features_read(plan), plan.targets) for plan in work.plans
            }
            with span("round"):
                outcomes = self.parts.runner.run(work.plans, self.parts.watcher.trial_progress) if work.plans else {}
        return Ran(outcomes, {trial: each.result() for trial, each in looking.items()})

    def _recorder(self, work: Work, ran: Ran, setup: Setup) -> Recorder:
        paths, runner = self.parts.paths, self.parts.runner
        owns = [identity(each.config, setup.stage) for each in setup.candidates]
        earlier = [work.known[own].id for own in owns if own in work.known]
        return Recorder(paths, runner, work.known, setup.stage, round_alike(ran.outcomes, earlier, paths, runner))

    def _kept(self, record: RoundRecord, history: Sequence[RoundRecord]) -> RoundRecord:
        """The record with what it says about dimensions, once it is in the ledger and everybody knows."""
        after = self._search([*history, record])
        record = replace(record, importances=after.importances())
        with span("ledger"):
            keep_looks(self.parts.paths, self._looks)
            append_ledger(self.parts.paths.ledger, record)
            write_json(self.parts.paths.seen_plan, self.written.readable())
            self.parts.archive(after)
        self.parts.watcher.round_decided(record)
        return record

    @span("plan")
    def _kept_baseline(
        self, setup: Setup, history: Sequence[RoundRecord]
    ) -> tuple[dict[str, VariantRecord], tuple[str, ...]]:
        """The stage's baseline from the results that `numerai-ray baseline` keeps, or a word on why not."""
        each = self._search(history).lent(setup)
        if self.parts.baselines is None or each is None:
            return {}, ()
        number = len(history) + 1
        trial = trial_id(number, each)
        (plan,) = self._plans({trial: each}, number, setup.stage)
        entry = self.parts.baselines.find(plan)
        if entry is None:
            why = self.parts.baselines.why_not(plan)
            return {}, ((f"baseline in {setup.stage}: run here, as {why}",) if why else ())
        entry.copy_to(self.parts.paths, trial)
        note = f"baseline in {setup.stage}: results of `numerai-ray baseline {entry.name}`, run on {entry.made}"
        own = identity(each.config, setup.stage)
        return {own: entry.record(trial, each.name, own)}, (note,)

    @span("statistics")
    def _judged(
        self, records: Sequence[VariantRecord], setup: Setup, history: Sequence[RoundRecord]
    ) -> tuple[VariantRecord, list[VariantRecord], list[VariantRecord]]:
        """Base, variants and baseline with flags and evidence."""
        base, rest = records[0], [record for record in records[1:] if record.role == "variant"]
        rest = [replace(each, flags=each.data_flags + sanity_flags(each, base)) for each in rest]
        base = replace(base, flags=base.data_flags + sanity_flags(base, None))
        others = [record for record in records if record.role == "baseline"]
        reader, rule = ScoreReader(self.parts.paths), rule_version(history)
        comparison = replace(comparison_of(setup.candidates[0].config.score), rule=rule)
        search = search_by(rule, history) if setup.stage in ("confirm", "scale") else ALONE
        before = pending(history) if setup.kind == REPLICATE else None
        if before is not None:
            again = next(iter(rest), None)
            search = search_of_replication(before, base, again, reader, comparison.last)
        rest = with_evidence(base, rest, reader, comparison, search)
        if rule > 1:
            rest = with_costs(base, rest, reader, comparison)
        return base, rest, with_evidence(base, others, reader, comparison)

    def _decided(
        self, base: VariantRecord, rest: Sequence[VariantRecord], setup: Setup, history: Sequence[RoundRecord]
    ) -> Decision:
        """The decision, under the name of the rule that made it.

        Raises:
            FitError: there is no winner. That is no decided round: the plan has to change, or the cause to go away, and
                then it is run again.

        """
        rule = f"{self.settings.of_stage(setup.stage).rule}/{rule_version(history)}"
        decision = replace(self._decision(base, rest, setup, history), rule=rule)
        if decision.winner is None:
            where = f"{self.parts.paths.plan}, round {len(history) + 1}"
            raise FitError(f"{where}: {decision.reason}; see the logs folder beside it")
        return decision

    def _decision(
        self, base: VariantRecord, rest: Sequence[VariantRecord], setup: Setup, history: Sequence[RoundRecord]
    ) -> Decision:
        if setup.stage == "interpret":
            return choose([base, *rest], self.settings)
        before = pending(history) if setup.kind == REPLICATE else None
        if before is not None:
            return decide_replication(before, base, rest, self.settings)
        decision = decide(base, rest, setup.base_changes, self.settings.of_stage(setup.stage))
        if decision.winner is None or setup.stage == "scout":
            return decision
        if setup.stage == "final":
            return replace(decision, reason="recorded: full-data metrics of the winner")
        if setup.stage == "holdout":
            return holdout_decision(decision, rest[0] if rest else None, history)
        where = f"{setup.why}; in the confirm run" if setup.stage == "confirm" else "at the deep baseline's settings"
        return replace(decision, reason=f"{where} {decision.reason}")

    @span("plan")
    def _plans(self, new: Mapping[str, Candidate], number: int, stage: Stage) -> list[VariantPlan]:
        label = f"{self.written.name}/r{number}" + ("" if stage == "scout" else f"-{stage}")
        origin = f"{experiment_identity(self.parts.paths)}/r{number}"
        plans = []
        problems: list[Problem] = []
        for trial, each in new.items():
            try:
                kept = stage == "holdout"
                plan = self.parts.catalog.plan(trial, f"{label}/{each.name}", each.config, kept=kept)
                hopeless_stop = self.written.plan.rounds.prune and stage == "scout" and each.role == "variant"
                plans.append(replace(plan, may_stop=hopeless_stop, origin=origin))
            except ConfigError as error:
                problems += [Problem(f"{each.name}: {problem.path}", problem.message) for problem in error.problems]
        if problems:
            raise ConfigError(f"{self.parts.paths.plan}, round {number}", problems)
        for trial, each in new.items():
            text = yaml_text(each.config.to_json())
            write_text(self.parts.paths.config(trial), f"# {self.written.name}, round {number}: {each.name}\n{text}")
        return plans


def _is_over(stage: Stage, next_stage: Stage, history: Sequence[RoundRecord]) -> bool:
    """Whether ``stage`` was reached and the next round belongs to a later one."""
    later = ALL_STAGES.index(next_stage) > ALL_STAGES.index(stage)
    return later and any(record.stage == stage for record in history)
