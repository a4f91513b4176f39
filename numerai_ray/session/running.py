"""Runs of an experiment: its rounds, a round by hand, a forecast; the same for a command and for a notebook."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.search_space import Dimension, SearchSpace, space_problems
from numerai_ray.errors import ConfigError, RequestError
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.ledger import chosen_interpretation, read_ledger
from numerai_ray.experiment.lock import experiment_lock
from numerai_ray.experiment.mirror import mirrored
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.alerts import alerting
from numerai_ray.session.opening import (
    Session,
    catalog_of,
    prepare_data,
    ray_ahead,
    sampler_of,
    scheduler_at_work,
    settings_of,
    tell,
    tell_devices,
    training_runner,
)
from numerai_ray.session.timing import RoundTimes, timed
from numerai_ray.system.files import tidy
from numerai_ray.system.timeline import span

if TYPE_CHECKING:
    from numerai_ray.rounds.forecast import Forecast
    from numerai_ray.rounds.policy import Stop


@dataclass(frozen=True)
class HowFar:
    """How far a run goes: at most ``rounds`` more, to the end of a stage; ``extend`` goes on after the final one."""

    rounds: int | None = None
    stop_after: Stage | None = None
    accept_suspect: bool = False
    extend: bool = False


def run_rounds(session: Session, how_far: HowFar) -> "tuple[Stop | None, list[RoundRecord]]":
    """Run an experiment from wherever it stands.

    Returns:
        The policy's word, None when something else ended it; and all rounds so far.

    Raises:
        RequestError: the plan, the data or the machine will not do; nothing was trained.
        FitError: a round cannot be decided.

    """
    with timed(session) as times:
        return _run_rounds(session, how_far, times)


def _run_rounds(session: Session, how_far: HowFar, times: RoundTimes) -> "tuple[Stop | None, list[RoundRecord]]":
    with span("imports"):
        from numerai_ray.session.plan_check import check_plan, pin
        from numerai_ray.training.store.fits import FOLDER

    paths, loaded, root = session.paths, session.loaded, session.root
    with span("plan"):
        catalog = catalog_of(loaded, root, paths, session.address)
    with (
        experiment_lock(paths.lock),
        mirrored(paths.root, session.results) as mirror,
        alerting(session.webhook, loaded.name, lambda note: tell(session, note)) as alerts,
        ray_ahead(session) as begin_ray,
    ):
        for folder in (paths.root, *([root / FOLDER] if isinstance(root, Path) else [])):
            tidy(folder)
        history = read_ledger(paths.ledger)
        if how_far.extend or not is_finished(history):
            with span("data"):
                # Where data are made, no fit on them is stored.
                prepare_data(loaded, root, begin_ray)
                pin(loaded, catalog, history)
            with span("plan"):
                check_plan(loaded, catalog, str(paths.plan))
            tell_devices(session, catalog)
        settings = settings_of(loaded, accept_suspect=how_far.accept_suspect, extend=how_far.extend)
        session = replace(session, alerts=alerts)
        with scheduler_at_work(session, catalog, history, settings, mirror, [times]) as scheduler:
            stop, history = scheduler.run(how_far.rounds, how_far.stop_after)
        if stop is not None and how_far.stop_after is None and loaded.plan.stages.ensemble is not None:
            from numerai_ray.report.writer import write_report
            from numerai_ray.session.ensemble_stage import run_ensemble_stage

            if run_ensemble_stage(session, history):
                write_report(loaded, paths, history)
        if alerts is not None:
            alerts.ended(history)
        return stop, history


def run_round(session: Session, path: str, values: Sequence[Any], *, accept_suspect: bool) -> RoundRecord:
    """Run one scout round of one variable around the best configuration so far.

    Raises:
        RequestError: the values, the plan or the data will not do; nothing was trained.
        FitError: the round cannot be decided.

    """
    from numerai_ray.session.plan_check import check_plan, check_round, pin

    paths, loaded, root = session.paths, session.loaded, session.root
    name, dimension = asked_dimension(loaded.space, path, values)
    catalog = catalog_of(loaded, root, paths, session.address)
    with experiment_lock(paths.lock), mirrored(paths.root, session.results) as mirror:
        prepare_data(loaded, root)
        history = read_ledger(paths.ledger)
        pin(loaded, catalog, history)
        check_plan(loaded, catalog, str(paths.plan))
        base: Mapping[str, Any] = history[-1].decision.changes if history else {}
        check_round(loaded.interpreted(chosen_interpretation(history)), catalog, dimension, values, base)
        tell_devices(session, catalog)
        settings = settings_of(loaded, accept_suspect=accept_suspect)
        with scheduler_at_work(session, catalog, history, settings, mirror) as scheduler:
            return scheduler.run_by_hand(name, dimension, values)


def forecast_of(session: Session, *, calibrate: bool) -> "Forecast":
    """What a run will do: stages, first rounds, fits, time and memory; ``calibrate`` trains a few trees for the time.

    Raises:
        RequestError: the plan or the data will not do, or are others than the rounds so far stand on.

    """
    from numerai_ray.experiment.baselines import BaselineStore
    from numerai_ray.experiment.scores import ScoreReader
    from numerai_ray.rounds.calibrate import calibrate as measured
    from numerai_ray.rounds.candidates import Search
    from numerai_ray.rounds.forecast import Outlook, configs_to_measure, first_setups, forecast
    from numerai_ray.rounds.origin import check_origin, looks_of, origin_of, scouts_file
    from numerai_ray.rounds.time_model import read_calibration, write_calibration
    from numerai_ray.session.plan_check import check_plan, pin
    from numerai_ray.system.machine import this_machine
    from numerai_ray.training.store.fits import FitStore

    paths, loaded, root, console = session.paths, session.loaded, session.root, session.console
    machine = this_machine()  # before Ray takes memory of it
    with ray_ahead(session) as begin_ray:
        known = read_calibration(paths)
        if calibrate and not known.speeds:
            begin_ray()
        prepare_data(loaded, root)
        catalog, history = catalog_of(loaded, root, paths, session.address), read_ledger(paths.ledger)
        pin(loaded, catalog, history)
        check_plan(loaded, catalog, str(paths.plan))
        if history:
            looks = looks_of(loaded, catalog)
            check_origin(paths, history, origin_of(loaded, catalog, looks), looks, scouts_file(loaded, catalog))
        loaded = loaded.interpreted(chosen_interpretation(history))
        search = Search(loaded, sampler_of(loaded), history)
        store = FitStore.below(root, keep_models=loaded.plan.keep_models)
        outlook = Outlook(loaded, search, catalog, store, machine, BaselineStore.below(root), ScoreReader(paths))
        setups = first_setups(outlook)
        if calibrate:
            with console.status("training a few trees"):
                known = measured(
                    catalog,
                    configs_to_measure(setups),
                    known,
                    lambda: training_runner(root, paths.root, session.address, in_process=session.in_process),
                )
            write_calibration(paths, known)
        found = forecast(outlook, setups, known)
    tell_devices(session, catalog)
    return found


def asked_dimension(space: SearchSpace, path: str, values: Sequence[Any]) -> tuple[str, Dimension]:
    """The plan's dimension of that path (or name) with these values, couplings kept; or one of its own."""
    for name, known in space.dimensions.items():
        if path in (known.path, name):
            coupled: dict[str, Any] = {key: how for key, how in known.coupled.items() if isinstance(how, str)}
            return name, Dimension(path=known.path, values=list(values), coupled=coupled, why=known.why)
    dimension = Dimension(path=path, values=list(values))
    name = path.rsplit(".", 1)[-1]
    problems = space_problems(SearchSpace(dimensions={name: dimension}))
    if problems:
        raise ConfigError("--vary", problems)
    return name, dimension


def known_stage(name: str | None, loaded: LoadedPlan) -> Stage | None:
    """A stage by its name; refuses one that the plan does not have."""
    found = next((stage for stage in loaded.stages if stage == name), None)
    if name is not None and found is None:
        raise RequestError(f"--stop-after: {name!r} is no stage of this plan; it has {', '.join(loaded.stages)}")
    return found
