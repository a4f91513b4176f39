"""Next steps: the command that the answer suggests, and why."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numerai_ray.experiment.own_ensemble import OwnEnsemble
from numerai_ray.metrics.significance import PairedDelta

if TYPE_CHECKING:
    from numerai_ray.experiment.standing import Standing

# Standard errors that a gain must be away from 0 to be seen in four cases of five at one-sided 5 %.
SEEN = 2.49


@dataclass(frozen=True)
class NextStep:
    """A command and the reason for it."""

    command: str
    why: str


def next_steps(
    standing: "Standing", kind: str, paired: PairedDelta | None, ensemble: OwnEnsemble | None, folder: str
) -> tuple[NextStep, ...]:
    """What to do, most pressing first.

    Args:
        standing: the experiment.
        kind: of the answer.
        paired: the difference that the answer tells.
        ensemble: that of its own variants; None where the plan asks for none.
        folder: how commands name the experiment.

    """
    go_on = f"numerai-ray run {folder}"
    if not standing.finished:
        return (NextStep(go_on, "goes on where this stopped" if standing.history else "begins"),)
    own = () if ensemble is None else _blended(ensemble, go_on, folder)
    return (*own, *_decided(kind, paired, folder), *_search_on(standing, kind, f"{go_on} --extend"))


def _blended(ensemble: OwnEnsemble, go_on: str, folder: str) -> tuple[NextStep, ...]:
    """What to do with the ensemble of its variants."""
    if ensemble.state in ("to be made", "outdated"):
        return (NextStep(go_on, "makes the ensemble of its variants that the plan asks for; nothing is trained"),)
    if ensemble.verdict != "clear gain":
        return ()
    pickle = f"{Path(folder).resolve().name}-ensemble.pkl"
    why = "proves the ensemble, which is clearly better than the best single variant on later eras"
    return (NextStep(f"numerai-ray export {folder}/ensemble --out {pickle}", why),)


def _decided(kind: str, paired: PairedDelta | None, folder: str) -> tuple[NextStep, ...]:
    """What to do with the winner."""
    export, upload = export_commands(folder)
    if kind in ("gain", "too small"):
        why = (
            "proves the winner in Numerai's container"
            if kind == "gain"
            else "the winner is no worse, and hardly better"
        )
        return (NextStep(export, why), NextStep(upload, "sends it"))
    if kind == "trade-off":
        return (
            NextStep(
                export, "proves the winner in Numerai's container, if what it gains is worth what it costs to you"
            ),
        )
    if kind == "not settled":
        return (
            NextStep(f"numerai-ray plan {folder}", _to_settle(paired)),
            NextStep(export, "proves the winner as it is"),
        )
    return ()


def _search_on(standing: "Standing", kind: str, command: str) -> tuple[NextStep, ...]:
    """Another search, where the rounds say what it should try, or nothing else is left to do."""
    why = [*_edges(standing), *_untried(standing)]
    if kind == "trade-off":
        why.insert(0, "`accept: pareto` in the plan promotes only what costs nothing")
    if why:
        return (NextStep(command, f"searches on: {'; '.join(why)}"),)
    if kind in ("no change", "loss", "nothing yet"):
        return (NextStep(command, "searches on, with other dimensions in the plan"),)
    return ()


def _edges(standing: "Standing") -> list[str]:
    """A best value at the end of its list asks for the next one beyond."""
    found = []
    for name, dimension in standing.loaded.space.dimensions.items():
        chosen: Any = standing.best_changes.get(dimension.path)
        numbers = [v for v in dimension.values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) > 1 and chosen in numbers and chosen in {min(numbers), max(numbers)}:
            side = "below" if chosen == min(numbers) else "above"
            found.append(f"add values {side} {name}={chosen}, the best and the last one listed")
    return found


def _untried(standing: "Standing") -> list[str]:
    """Dimensions that no round varied; a joint round is of none, and its variants' changes tell what it tried."""
    if not standing.scouts:
        return []
    tried = {record.dimension for record in standing.scouts}
    changed = {path for record in standing.scouts for variant in record.variants for path in variant.changes}
    dimensions = standing.loaded.space.dimensions
    untried = [name for name, each in dimensions.items() if name not in tried and each.path not in changed]
    return [f"no round varied {', '.join(untried)}"] if untried else []


def export_commands(folder: str) -> tuple[str, str]:
    """What follows a finished experiment: its winner as a proved pickle, and that pickle at Numerai."""
    pickle = f"{Path(folder).resolve().name}.pkl"
    return f"numerai-ray export {folder} --out {pickle}", f"numerai-ray upload {pickle} --model NAME"


def _to_settle(paired: PairedDelta | None) -> str:
    why = "says what gain these eras can tell from noise; `rounds.seeds` in a new plan makes it smaller"
    if paired is None or not paired.mean > 0 or math.isnan(paired.standard_error):
        return why
    times = (SEEN * paired.standard_error / paired.mean) ** 2
    return f"{why}: a gain of this size would take {times:.1f} times as many eras" if times > 1 else why
