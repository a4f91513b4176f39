"""Whether training and validation are far enough apart for the labels of everything that was trained."""

from collections.abc import Iterable
from dataclasses import dataclass

from numerai_ray.config import Config
from numerai_ray.config.plan_schema import Stage
from numerai_ray.data.eras import least_honest_gap
from numerai_ray.report.reading import Reading

# No change below these is one of the targets.
NO_TARGETS = ("model.", "post.", "cv.")


@dataclass(frozen=True)
class LabelRoom:
    """Eras between training and validation of one configuration: those there are, and those its labels need."""

    gap: int
    needed: int

    def __str__(self) -> str:
        return f"smallest gap {self.gap} eras, labels need {self.needed}"


def label_rooms(reading: Reading, stage: Stage) -> list[LabelRoom]:
    """One for each configuration of the stage whose results are there.

    A variant may be trained on longer labels than the base is: 60 days where the base has 20.
    """
    needed: dict[str, int] = {}
    found = []
    for record in reading.of(stage):
        for variant in record.variants:
            stored = None if variant.role == "benchmark" else reading.scores(variant)
            gap = None if stored is None else stored.cv.get("smallest_gap_eras")
            if gap is None:
                continue
            changes = {**record.base_changes, **variant.changes}
            decisive = {path: value for path, value in changes.items() if not path.startswith(NO_TARGETS)}
            # Checking a config costs a millisecond, and most variants of a search train on the same targets.
            key = variant.role if variant.role == "baseline" else repr(sorted(decisive.items()))
            if key not in needed:
                baseline = variant.role == "baseline"
                config = reading.loaded.baseline_config(stage) if baseline else reading.loaded.config(stage, changes)
                needed[key] = labels_need(config)
            found.append(LabelRoom(gap, needed[key]))
    return found


def labels_need(config: Config) -> int:
    """Eras that the labels of all targets span which the configuration trains on or is scored on."""
    return least_honest_gap((*config.trained_targets(), config.score.target))


def tightest(rooms: Iterable[LabelRoom]) -> LabelRoom | None:
    """The one with the least to spare."""
    return min(rooms, key=lambda room: (room.gap - room.needed, room.gap), default=None)
