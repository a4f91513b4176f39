"""Recheck: base, winner and baseline on eras that came after the last decision, which nobody could have peeked at.

Each is trained once on what the search had, up to an honest gap before the first later era, and its models are kept in
the fit store: while the store knows them, later weeks are predicted without training. Every new era is scored once
and written down; nothing here decides a round or touches the ledger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from numerai_ray.config import Config, fingerprint
from numerai_ray.data.eras import Fold, era_label, least_honest_gap
from numerai_ray.data.folds import EraCoverage
from numerai_ray.errors import DataError, FitError, NumeraiRayError, RequestError
from numerai_ray.experiment.decision import last_compared
from numerai_ray.experiment.ledger import chosen_interpretation, read_ledger, remembered_of
from numerai_ray.experiment.lock import experiment_lock
from numerai_ray.experiment.rechecks import (
    ROLES,
    Recheck,
    RecheckedRole,
    RecheckedVariant,
    append_recheck,
    latest_decision,
    read_rechecks,
)
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.score_values import per_era_json
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.experiment.since import LiveRecord, last_seen_era, live_record
from numerai_ray.session.opening import Session, open_runner
from numerai_ray.system.storage import Place


@dataclass(frozen=True, eq=False)
class Rechecked:
    """What a recheck came to. ``added`` is None when there was nothing new; ``record`` None before the first line.

    ``waiting_eras`` are in the data file after ``last_era`` and without the labels or the benchmark that a score takes.
    ``drift`` is what is unusual in the newest data; it is looked at only when results have fallen.
    """

    added: Recheck | None
    record: LiveRecord | None
    last_era: int
    waiting_eras: int
    stage: str
    drift: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Task:
    """One configuration, the roles it stands for, and its plan on the eras to score."""

    roles: tuple[RecheckedRole, ...]
    config: Config
    plan: Any


def recheck(session: Session) -> Rechecked:
    """Score what is new, and say what all eras since the decision come to.

    Raises:
        RequestError: no round is decided yet.
        DataError: no results file tells which eras the search saw, or the data file is missing or damaged.
        FitError: a configuration cannot be trained.
        ExperimentBusy: the experiment is being run.

    """
    paths = session.paths
    history = read_ledger(paths.ledger)
    last = last_compared(history)
    if last is None:
        raise RequestError(f"{paths.root}: no round is decided yet; start with `numerai-ray run {paths.root}`")
    reader = ScoreReader(paths)
    seen = last_seen_era(history, reader)
    if seen is None:
        again = f"`numerai-ray run {paths.root}` makes them again where their fits are stored"
        raise DataError(f"{paths.root}: its results files are missing, so nobody knows which eras it saw; {again}")
    with experiment_lock(paths.lock):
        return _recheck(session, history, last, seen)


def overlap_of(config: Config) -> int:
    """Later eras that a label of the score target overlaps."""
    return least_honest_gap(config.score.targets) - 1


def _recheck(session: Session, history: Sequence[RoundRecord], last: RoundRecord, seen: int) -> Rechecked:
    from numerai_ray.models import rule_of
    from numerai_ray.training.catalog import Catalog

    paths, stage = session.paths, last.stage
    origins = [each.origin for each in history]
    rule, remembered = rule_of(origins), replace(remembered_of(origins), last_era=None)
    catalog = Catalog(session.root, paths.root, elsewhere=session.address is not None, rule=rule, remembered=remembered)
    configs = _configs(session, history, last)
    first = next(iter(configs.values()))
    index = catalog.index(first.data)
    later = [era for era in index.eras if era > seen]
    known = _scorable(configs.values(), catalog, later)
    decision = fingerprint([seen, stage, {name: each.fingerprint() for name, each in configs.items()}])
    before = [each for each in read_rechecks(paths.rechecks) if each.decision == decision]
    done = {era for each in before for era in each.eras}
    new = tuple(era for era in known if era not in done)
    added = None
    if new:
        begun = before[0].eras if before else new
        tasks = _tasks(configs, catalog, seen, later[0], new)
        made = _scored(session, catalog, tasks, begun)
        train = tasks[0].plan.folds.trainable[0].train_eras
        added = Recheck(
            decision=decision,
            made=datetime.now(UTC).isoformat("T", "seconds"),
            stage=stage,
            last_era=seen,
            train_eras=(train[0], train[-1], len(train)),
            data=index.fingerprint,
            eras=new,
            variants=tuple(made),
        )
    rechecks = [*before, *([] if added is None else [added])]
    record = live_record(history, latest_decision(rechecks), ScoreReader(paths), overlap_of(first))
    fallen = record is not None and record.fallen
    drift = drift_findings(session.root, first.data.version, first.score.target) if fallen else ()
    if added is not None:
        append_recheck(paths.rechecks, replace(added, drift=drift))
    return Rechecked(added, record, seen, len(later) - len(known), stage, drift)


def drift_findings(root: Place, version: str, target: str | None) -> tuple[str, ...]:
    """What is unusual in the newest eras of a data version; nothing where that cannot be told."""
    from numerai_ray.data.files.drift import known_drift

    if not isinstance(root, Path) or not (root / version).is_dir():
        return ()
    try:
        found = known_drift(root / version, target)
    except NumeraiRayError:
        return ()
    return tuple(f"data {version}: {each}" for each in found) or (f"data {version}: nothing is unusual in it",)


def _configs(session: Session, history: Sequence[RoundRecord], last: RoundRecord) -> dict[RecheckedRole, Config]:
    """Winner, base and baseline as the last decided stage has them."""
    loaded = session.loaded.interpreted(chosen_interpretation(history))
    stage = next(each for each in ("interpret", "scout", "confirm", "scale", "final") if each == last.stage)
    changes = last.base_changes if stage == "final" else last.decision.changes
    return {
        "winner": loaded.config(stage, changes),
        "base": loaded.config(stage, {}),
        "baseline": loaded.baseline_config(stage),
    }


def _scorable(configs: Any, catalog: Any, later: Sequence[int]) -> list[int]:
    """Those of the later eras that have the labels and the benchmark that every configuration's score takes."""
    found = set(later)
    for config in configs if later else ():
        coverage = EraCoverage(catalog.index(config.data), config.data)
        found &= coverage.target(config.score.target) & coverage.benchmark(config.score.benchmark)
    return sorted(found)


def _tasks(
    configs: Mapping[RecheckedRole, Config], catalog: Any, seen: int, first: int, new: tuple[int, ...]
) -> list[_Task]:
    """Each different configuration on the new eras, trained on what the search saw."""
    from numerai_ray.training.spec import Diagnosed

    roles: dict[str, list[RecheckedRole]] = {}
    for role in ROLES:
        roles.setdefault(configs[role].fingerprint(), []).append(role)
    tasks = []
    for alike in roles.values():
        config = configs[alike[0]]
        whole = catalog.plan(f"recheck-{alike[0]}", f"recheck/{alike[0]}", config, to_run=False)
        fold = Fold(0, train_eras(config, whole.index.eras, seen, first), new)
        plan = replace(catalog.on_fold(whole, fold), notes=(), diagnosed=Diagnosed())
        tasks.append(_Task(tuple(alike), config, plan))
    return tasks


def train_eras(config: Config, eras: Sequence[int], seen: int, first: int) -> tuple[int, ...]:
    """Eras up to ``seen`` whose labels end before those of ``first``, the first later era, begin.

    As in a fold of the stage: with its embargo, and of a walk-forward search only the window before it.

    Raises:
        DataError: none is left.

    """
    cv = config.cv
    gap = least_honest_gap((*config.trained_targets(), *config.score.targets))
    gap = max(gap, cv.embargo_eras if cv.embargo_unit == "weeks" else 0)
    found = [era for era in eras if era <= seen and first - era - 1 >= gap]
    if cv.mode == "walk_forward" and cv.window_eras is not None:
        found = [era for era in found if first - era - 1 < gap + cv.window_eras]
    if not found:
        raise DataError(f"no era up to {era_label(seen)} is {gap} eras before era {era_label(first)}; use more data")
    return tuple(found)


def _scored(session: Session, catalog: Any, tasks: Sequence[_Task], begun: tuple[int, ...]) -> list[RecheckedVariant]:
    """Scores of each task's new eras: by kept models where all are there, else trained, and then kept."""
    from numerai_ray.system.machine import this_machine
    from numerai_ray.training.later import kept_models, score_later
    from numerai_ray.training.store.fits import FitStore

    store = FitStore.below(session.root, keep_models=True)
    found: dict[str, RecheckedVariant] = {}
    lacking = []
    for task in tasks:
        # The models of the first recheck are known by the eras that they predicted then.
        (fold,) = task.plan.folds.trainable
        first = catalog.on_fold(task.plan, Fold(0, fold.train_eras, begun))
        stored = all(store.has(spec.key) for spec in task.plan.fits)
        models = None if stored else kept_models(first, store)
        if models is None:
            lacking.append(task)
            continue
        scores = score_later(task.plan, models, this_machine().cores).scores
        per_era = per_era_json(fold.validation_eras, scores)
        found[task.plan.id] = RecheckedVariant(task.roles, task.config.fingerprint(), per_era, models_kept=len(models))
    if lacking:
        found |= _trained(session, lacking)
    return [found[task.plan.id] for task in tasks]


def _trained(session: Session, tasks: Sequence[_Task]) -> dict[str, RecheckedVariant]:
    found = {}
    with (
        open_runner(
            session.root, session.paths.root, session.address, in_process=session.in_process, keep_models=True
        ) as runner,
        session.console.status(f"training {sum(len(task.plan.fits) for task in tasks)} fits on the search's eras"),
    ):
        outcomes = runner.run([task.plan for task in tasks], lambda _: None)
    for task in tasks:
        outcome = outcomes[task.plan.id]
        if outcome.error is not None:
            raise FitError(f"{session.paths.root}, {task.roles[0]}: {outcome.error}")
        found[task.plan.id] = RecheckedVariant(
            roles=task.roles,
            fingerprint=task.config.fingerprint(),
            per_era=per_era_json(outcome.eras, outcome.scores),
            fits_new=int(np.sum([not fit.stored for fit in outcome.folds])),
            fits_stored=int(np.sum([fit.stored for fit in outcome.folds])),
        )
    return found
