"""What the baseline's row stands on in each stage, and where that is not what the compared configurations stand on."""

from collections.abc import Sequence

from numerai_ray.report.reading import Reading

ALIGNED = ("version", "file", "feature_set")
FEATURES = "data.feature_set"


def baseline_lines(reading: Reading) -> list[str]:
    """One line on stages that move the baseline to their own data, one on what keeps its row from being aligned."""
    return [*_moved(reading), *_not_aligned(reading)]


def _moved(reading: Reading) -> list[str]:
    own = reading.loaded.baseline_values["data"]
    moved: dict[str, list[str]] = {}
    for stage in reading.stages:
        data = reading.loaded.baseline_config(stage).data
        there = {key: getattr(data, key) for key in ALIGNED}
        changes = [f"{key.replace('_', ' ')} {_set(there[key])} instead of {_set(own[key])}" for key in ALIGNED]
        changed = [text for key, text in zip(ALIGNED, changes, strict=True) if there[key] != own[key]]
        moved.setdefault(", ".join(changed), []).append(stage)
    told = [f"in {_listed(stages)} on {what}" for what, stages in moved.items() if what]
    if not told:
        return ["- **Baseline's data:** its own, which all stages share."]
    return [f"- **Baseline's data:** the stage's, so that its row compares: {'; '.join(told)}."]


def _not_aligned(reading: Reading) -> list[str]:
    varied = [name for name, each in reading.loaded.space.dimensions.items() if FEATURES in each.paths()]
    member = reading.score_config.ensemble is not None
    why = []
    if varied:
        why.append(f"the dimension {_listed(varied)} varies the feature set, and the baseline keeps the base's")
    if member:
        why.append("the base is an ensemble, whose members may read other features than the baseline")
    return [f"- **Baseline's features are not every configuration's:** {'; '.join(why)}."] if why else []


def _set(value: object) -> str:
    return " + ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
