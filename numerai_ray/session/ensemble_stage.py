"""Ensemble stage: when all rounds are decided, a blend of the experiment's own variants, where its plan asks for one.

It is no round: its scores are of later eras alone, each by what was chosen before them, and do not compare with those
of a round's table. What was asked for stands in its results, so that a run that goes on knows whether it is there.
"""

import json
from collections.abc import Sequence
from typing import Any

from numerai_ray.config.plan_schema import EnsemblePlan
from numerai_ray.ensembles.outcome import EnsemblePaths, read_outcome
from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.metrics.significance import e4
from numerai_ray.progress.terminal import say
from numerai_ray.session.ensemble import SearchOrder, search_ensemble
from numerai_ray.session.opening import Session, tell


def run_ensemble_stage(session: Session, history: Sequence[RoundRecord]) -> bool:
    """Search the ensemble that the plan asks for, unless it is there already; whether it was made.

    What cannot be searched (too few eras or variants) is told and fails nothing: the rounds are decided.
    """
    plan, paths = session.loaded.plan.stages.ensemble, session.paths
    if plan is None:
        return False
    asked = asked_of(plan, paths, history)
    if is_there(paths, asked):
        return False
    order = SearchOrder(
        experiments=[paths.root],
        out=paths.ensemble,
        root=session.root,
        members=plan.members,
        needs=plan.feature_sets,
        blocks=plan.blocks,
        baselines=False,
        asked=asked,
    )
    try:
        found = search_ensemble(order)
    except (RequestError, DataError) as error:
        _announce(session, {"event": "ensemble_ended", "error": str(error)})
        tell(session, f"no ensemble of the experiment's variants: {error}")
        return False
    value = found.value
    files = {"report": str(found.paths.report), "page": str(found.paths.html)}
    _announce(session, {"event": "ensemble_ended", **summary_of(value), **files})
    gain = f"{e4(value['gain']['mean'])} over the best single one on later eras, {value['verdict']}"
    next_step = f"numerai-ray export {paths.ensemble} --out NAME.pkl"
    tell(session, f"ensemble of {len(value['members'])} of its variants: {gain}; {found.paths.report}; {next_step}")
    return True


def asked_of(plan: EnsemblePlan, paths: ExperimentPaths, history: Sequence[RoundRecord]) -> dict[str, Any]:
    """What decides the ensemble: the plan's section, how many rounds there are, and predictions that were added."""
    return {**plan.model_dump(mode="json"), "rounds": len(history), "added": paths.foreign_ids()}


def is_there(paths: ExperimentPaths, asked: dict[str, Any]) -> bool:
    """Whether the folder holds what was ``asked``, whole."""
    found = EnsemblePaths(paths.ensemble)
    if not found.html.is_file():
        return False
    try:
        return bool(read_outcome(found)["ensemble"].get("asked") == asked)
    except RequestError:
        return False


def summary_of(value: dict[str, Any]) -> dict[str, Any]:
    """What a line says of an ensemble's results."""
    weights = {member["name"]: member["weight"] for member in value["members"]}
    return {"verdict": value["verdict"], "gain": value["gain"]["mean"], "single": value["single"], "weights": weights}


def ensemble_json(paths: ExperimentPaths) -> dict[str, Any] | None:
    """What ``status`` tells of the experiment's ensemble; None where there is none."""
    found = EnsemblePaths(paths.ensemble)
    if not found.html.is_file():
        return None
    try:
        value = read_outcome(found)["ensemble"]
    except RequestError:
        return None
    return {**summary_of(value), "report": str(found.report), "page": str(found.html)}


def _announce(session: Session, event: dict[str, Any]) -> None:
    if session.as_json:
        say(json.dumps(event))
    if session.on_event is not None:
        session.on_event(event)
