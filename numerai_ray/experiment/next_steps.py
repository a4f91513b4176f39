"""Next steps: the command that the answer suggests, and why."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


def next_steps(standing: "Standing", kind: str, paired: PairedDelta | None, folder: str) -> tuple[NextStep, ...]:
    """What to do, most pressing first.

    Args:
        standing: the experiment.
        kind: of the answer.
        paired: the difference that the answer tells.
        folder: how commands name the experiment.

    """
    go_on = f"numerai-ray run {folder}"
    if not standing.finished:
        return (NextStep(go_on, "goes on where this stopped" if standing.history else "begins"),)
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
            NextStep(f"{go_on} --extend", "searches on; `accept: pareto` in the plan promotes only what costs nothing"),
        )
    if kind == "not settled":
        return (
            NextStep(f"numerai-ray plan {folder}", _to_settle(paired)),
            NextStep(export, "proves the winner as it is"),
        )
    why = "searches on, with other dimensions in the plan"
    return (NextStep(f"{go_on} --extend", why),)


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
