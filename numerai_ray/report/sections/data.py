"""What the baseline's row stands on in each stage, and where that is not what the compared configurations stand on."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from numerai_ray.config.plan_schema import Stage
from numerai_ray.data.eras import era_label
from numerai_ray.experiment.scores import StoredScores
from numerai_ray.report.label_rooms import label_rooms, tightest
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import UNKNOWN, cell

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


def data_section(reading: Reading) -> list[str]:
    """One column a stage; what only a run can tell is unknown before it."""
    stages = reading.stages
    facts = [stage_facts(reading, stage) for stage in stages]
    lines = ["| | " + " | ".join(stages) + " |", "|:--|" + ":--|" * len(stages)]
    for key in facts[0]:
        told = [each[key] for each in facts]
        # What is so in every stage needs no line of nothing.
        if key == "CORR but no benchmark" and set(told) == {"none"}:
            continue
        if key == "Eras with CORR" and all(each["Eras with CORR"] == each["Eras with BMC"] for each in facts):
            continue
        lines.append(f"| {key} | " + " | ".join(cell(each, 200) for each in told) + " |")
    parts = ["\n".join(lines)]
    market = reading.loaded.plan.market
    if market is not None:
        parts.append(
            f"Where the data version is missing, this plan makes it: a **synthetic market** of {market.eras} eras, "
            f"about {market.rows} rows an era and {market.features} features (seed {market.seed}). Results on it show "
            f"how the method works and say nothing about Numerai's data."
        )
    # What is not predicted stands in the table.
    said = (note for record in reading.history for note in record.notes if not note.endswith("are not predicted"))
    notes = list(dict.fromkeys(said))
    if notes:
        parts.append("Notes of the runs:\n\n" + "\n".join(f"- {cell(note, 400)}" for note in notes))
    return parts


def stage_facts(reading: Reading, stage: Stage) -> dict[str, str]:
    """What a stage was run on, as text by the name of the fact."""
    config = reading.loaded.config(stage, {})
    variants = [variant for record in reading.of(stage) for variant in record.variants if variant.role != "benchmark"]
    stored = next((found for variant in variants if (found := reading.scores(variant)) is not None), None)
    last = config.score.last_eras
    return {
        "Data": f"{config.data.version}, {config.data.file}, feature set {' + '.join(config.data.feature_sets)}",
        "Trained on": _trained_on(reading, stage),
        "Folds": f"{config.cv.n_splits} {config.cv.mode}" + _folds(stored),
        "Embargo": f"{config.cv.embargo_eras} {_unit(config.cv.embargo_unit)}"
        + ("" if (room := tightest(label_rooms(reading, stage))) is None else f"; {room}"),
        "Not predicted": _untrained(stored),
        "Eras with CORR": _span([] if stored is None else _known(stored, "corr"), count=True),
        "Eras with BMC": _span([] if stored is None else _known(stored, "bmc"), count=True),
        "CORR but no benchmark": _uncovered(stored),
        f"Last {last} scored eras": _window(stored, last),
    }


def _unit(unit: str) -> str:
    return "weeks" if unit == "weeks" else "retained eras"


def _trained_on(reading: Reading, stage: Stage) -> str:
    """The targets of the experiment's base and, where they are others, of what the stage ended with."""
    base = _targets(reading.loaded.config(stage, {}).data.targets)
    records = reading.of(stage)
    best = _targets(reading.loaded.config(stage, records[-1].decision.changes).data.targets) if records else base
    return base if best == base else f"base {base}, best {best}"


def _targets(weights: Mapping[str, float]) -> str:
    return ", ".join(weights if len(weights) == 1 else (f"{name} × {weight:g}" for name, weight in weights.items()))


def _folds(stored: StoredScores | None) -> str:
    used = None if stored is None else stored.cv.get("folds_used")
    return "" if used is None else f", {used} trained"


def _untrained(stored: StoredScores | None) -> str:
    if stored is None:
        return UNKNOWN
    blocks = stored.cv.get("untrained_eras") or []
    return ", ".join(f"{first}–{last}" for first, last in blocks) + (" (nothing to train on)" if blocks else "none")


def _known(stored: StoredScores, which: str) -> list[int]:
    scores = {"corr": stored.scores.corr, "bmc": stored.scores.bmc}[which]
    return [era for era, score in zip(stored.eras, scores.tolist(), strict=True) if not math.isnan(score)]


def _uncovered(stored: StoredScores | None) -> str:
    if stored is None:
        return UNKNOWN
    with_bmc = set(_known(stored, "bmc"))
    return _span([era for era in _known(stored, "corr") if era not in with_bmc], count=True, none="none")


def _window(stored: StoredScores | None, last: int) -> str:
    if stored is None:
        return UNKNOWN
    eras = _known(stored, "bmc")[-last:]
    if not eras:
        return "none"
    weeks = eras[-1] - eras[0] + 1
    short = "" if len(eras) == last else f"only {len(eras)}: "
    steps = [after - before for before, after in pairwise(eras)]
    step = max(set(steps), key=steps.count) if steps else 1
    every = f", every {step}{ {2: 'nd', 3: 'rd'}.get(step, 'th') } era" if step > 1 else ""
    return f"{short}{_span(eras, count=False)}{every}: a span of {weeks} weeks"


def _span(eras: list[int], *, count: bool, none: str = UNKNOWN) -> str:
    if not eras:
        return none
    span = f"{era_label(eras[0])}–{era_label(eras[-1])}"
    return f"{len(eras)} ({span})" if count else span
