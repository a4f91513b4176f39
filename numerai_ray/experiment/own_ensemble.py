"""Own ensemble: how the ensemble stands that a plan asks for, and what it found, for whoever tells of it.

It is no round, so the ledger has no line of it: its scores are of later eras alone, each by what was chosen before
them. What was found lies in the folder ``ensemble/`` with what was asked for and the rule that decided; held against
the plan and the rounds that are there now, that says whether the ensemble is theirs. Report, page, dashboard, `status`
and the answer show the one :class:`OwnEnsemble`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from numerai_ray.config.plan_schema import EnsemblePlan
from numerai_ray.errors import DataError
from numerai_ray.experiment.paths import EnsemblePaths, ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.results import read_results
from numerai_ray.metrics.significance import e4_interval
from numerai_ray.system.json_text import parse_json, without_nan

State = Literal["waiting", "to be made", "made", "outdated", "none"]
# Results that name none were decided by the first rule.
FIRST_RULE = "ensemble/1"


@dataclass(frozen=True)
class OwnEnsemble:
    """An ensemble of an experiment's variants; texts are empty, numbers NaN and files None where there is none yet.

    ``state``: "waiting" for all rounds to be decided, then "to be made"; "made"; "outdated" where rounds, added
    predictions or what the plan asks for are others since; "none" where it cannot be made, and ``why``. ``gain`` is
    mean BMC over the best ``single`` variant on later eras, between ``low`` and ``high``; ``rule`` is what decided it.
    """

    state: State
    why: str = ""
    rule: str = ""
    verdict: str = ""
    gain: float = math.nan
    low: float = math.nan
    high: float = math.nan
    single: str = ""
    weights: Mapping[str, float] = field(default_factory=dict)
    report: str | None = None
    page: str | None = None

    @property
    def there(self) -> bool:
        """Whether there is one, of these rounds or of earlier ones."""
        return bool(self.weights)

    def as_json(self) -> dict[str, Any]:
        """Plain values, null where unknown."""
        return dict(without_nan(asdict(self)))

    @property
    def sentence(self) -> str:
        """How it stands, in one sentence; "" while rounds are still to be decided and there is none."""
        if self.there:
            count = f"{len(self.weights)} variant{'' if len(self.weights) == 1 else 's'}"
            since = "; made before what is new since" if self.state == "outdated" else ""
            return (
                f"Ensemble of {count}: {e4_interval(self.gain, self)} over the best single one on later eras, "
                f"{self.verdict} (rule {self.rule}){since}"
            )
        if self.state == "none":
            return f"No ensemble of the experiment's variants: {self.why}"
        return "The ensemble of its variants that the plan asks for is still to be made" * (self.state == "to be made")


def asked_of(plan: EnsemblePlan, paths: ExperimentPaths, history: Sequence[RoundRecord]) -> dict[str, Any]:
    """What decides the ensemble: the plan's section, how many rounds there are, and predictions that were added."""
    return {**plan.model_dump(mode="json"), "rounds": len(history), "added": paths.foreign_ids()}


def own_ensemble(
    plan: EnsemblePlan | None, paths: ExperimentPaths, history: Sequence[RoundRecord], *, finished: bool
) -> OwnEnsemble | None:
    """How the ensemble stands that the plan asks for; None where it asks for none.

    Args:
        plan: the plan's section.
        paths: of the experiment.
        history: its rounds.
        finished: whether all of them are decided.

    """
    if plan is None:
        return None
    asked = asked_of(plan, paths, history)
    if (failed := _failure(paths, asked)) is not None:
        return OwnEnsemble("none", why=failed)
    found, of = _found(paths)
    if found is None:
        return OwnEnsemble("to be made" if finished else "waiting")
    return found if of == asked else replace(found, state="outdated")


def _found(paths: ExperimentPaths) -> tuple[OwnEnsemble | None, Any]:
    """What the folder holds, as if it were what is asked for, and what was; the page is written last."""
    own = EnsemblePaths(paths.ensemble)
    if not own.html.is_file():
        return None, None
    try:
        value = read_results(own.own_results)["ensemble"]
        gain, low, high = (_number(value["gain"][key]) for key in ("mean", "low", "high"))
        weights = {str(member["name"]): float(member["weight"]) for member in value["members"]}
        found = OwnEnsemble(
            state="made",
            rule=str(value.get("rule", FIRST_RULE)),
            verdict=str(value["verdict"]),
            gain=gain,
            low=low,
            high=high,
            single=str(value["single"]),
            weights=weights,
            report=str(own.report),
            page=str(own.html),
        )
    except (DataError, OSError, ValueError, KeyError, TypeError, AttributeError):
        return None, None
    return found, value.get("asked")


def _failure(paths: ExperimentPaths, asked: Mapping[str, Any]) -> str | None:
    """Why the stage made none of what is asked for; None where it did not fail, or failed of something else."""
    try:
        value = parse_json(paths.ensemble_failure.read_bytes())
        return str(value["why"]) if value["asked"] == asked else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
