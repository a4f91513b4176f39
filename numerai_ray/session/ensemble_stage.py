"""Ensemble stage: when all rounds are decided, a blend of the experiment's own variants, where its plan asks for one.

How it stands is told by :mod:`numerai_ray.experiment.own_ensemble`; made anew only where that is not what is asked for,
so a run that was ended in the middle of it goes on here.
"""

import json
from collections.abc import Sequence
from typing import Any

from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.own_ensemble import asked_of, own_ensemble
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.terminal import say
from numerai_ray.session.ensemble import SearchOrder, search_ensemble
from numerai_ray.session.opening import Session, tell
from numerai_ray.system.json_text import write_json


def run_ensemble_stage(session: Session, history: Sequence[RoundRecord]) -> bool:
    """Search the ensemble that the plan asks for, unless it is there already; whether something was written.

    What cannot be searched (too few eras or variants) is told by the answer and fails nothing: the rounds are decided.
    """
    plan, paths = session.loaded.plan.stages.ensemble, session.paths
    before = own_ensemble(plan, paths, history, finished=True)
    if plan is None or before is None or before.state == "made":
        return False
    asked = asked_of(plan, paths, history)
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
        search_ensemble(order)
        paths.ensemble_failure.unlink(missing_ok=True)
    except (RequestError, DataError) as error:
        write_json(paths.ensemble_failure, {"asked": asked, "why": str(error)})
        _announce(session, {"event": "ensemble_ended", "error": str(error)})
        return True
    found = own_ensemble(plan, paths, history, finished=True)
    if found is not None:
        _announce(session, {"event": "ensemble_ended", **found.as_json()})
        tell(session, f"ensemble of its variants: {found.report}")
    return True


def _announce(session: Session, event: dict[str, Any]) -> None:
    if session.as_json:
        say(json.dumps(event))
    if session.on_event is not None:
        session.on_event(event)
