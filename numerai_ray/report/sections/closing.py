"""The end of a report: what worked, what threatens the result, how to make it again."""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from numerai_ray.data.eras import era_label
from numerai_ray.experiment.decision import spreads
from numerai_ray.experiment.ledger import LAST_ERA, last_era_of
from numerai_ray.experiment.records import JOINT, RoundRecord
from numerai_ray.experiment.standing import counted, searched
from numerai_ray.metrics.selection import luck
from numerai_ray.metrics.significance import e4
from numerai_ray.report.label_rooms import label_rooms, tightest
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import cell, number

PACKAGES = ("numerai-ray", "lightgbm", "ray", "numpy")
# A model this close to the benchmark has little of its own to add.
CLOSE_TO_BENCHMARK = 0.8
# More names in one sentence are noise; the tables have them all.
MOST_NAMES = 4
# Of rounds, of which each has its own words, a paragraph holds more.
MOST_TOLD = 60

# A round's gain, and how it is told.
Tried = tuple[float, str]


def closing_sections(reading: Reading) -> list[str]:
    return [
        "## What worked, what did not",
        *what_worked(reading),
        "## Threats to the result",
        bullets(threats(reading)),
        "## Reproduction",
        *_reproduction(reading),
    ]


def bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def what_worked(reading: Reading) -> list[str]:
    """A line a round: promoted changes first, then dimensions that brought nothing."""
    if not reading.scouts:
        return ["Nothing was tried yet."]
    worked: list[Tried] = []
    did_not: list[Tried] = []
    for record in reading.judging:
        gain, line = _best_of_round(reading, record)
        (worked if record.decision.promoted else did_not).append((gain, f"{line} (round {record.number})"))
    also = {"significant": ", clear of the noise", "pareto": ", at no cost", "replicated": " again with fresh seeds"}
    rule = "the margin" + also.get(reading.loaded.plan.rounds.accept, "")
    parts = [f"Counted as gains by {rule}: {_largest(worked)}."] if worked else [f"Nothing reached {rule}."]
    parts += [f"Did not: {_largest(did_not)}."] if did_not else []
    return parts + _importances(reading)


def _largest(tried: Sequence[Tried]) -> str:
    """Every round's gain in the order of rounds; of very many the largest, and how many more there are."""
    largest = sorted(range(len(tried)), key=lambda place: -tried[place][0])[:MOST_TOLD]
    hidden = len(tried) - len(largest)
    shown = "; ".join(tried[place][1] for place in sorted(largest))
    return f"{shown}; and {counted(hidden, 'round')} with less" if hidden else shown


def _importances(reading: Reading) -> list[str]:
    """How much each variable matters: by Optuna's importances where joint rounds tell, else by the rounds' spreads."""
    if found := reading.scouts[-1].importances:
        ordered = sorted(found.items(), key=lambda item: -item[1])
        shares = ", ".join(f"{name} {share:.0%}" for name, share in ordered)
        sure = "The first place held in at least 18 of 20 draws of four fifths of the results; the shares are rough."
        return [f"What mattered, in the joint rounds (PED-ANOVA importances): {shares}. {sure}"]
    sizes = sorted(spreads(reading.history).items(), key=lambda item: -item[1])
    told = ", ".join(f"{name} {e4(size, sign=False)}" for name, size in sizes if name != JOINT)
    why = ""
    if any(record.kind == "joint" for record in reading.history):
        why = (
            "Importances are not told: the joint rounds have fewer than five results for each variable, or luck "
            "decides which comes first. "
        )
    spread = f"The largest difference that each made within one of its rounds, noise included: {told}." if told else ""
    return [f"{why}{spread}".strip()] if told or why else []


def _best_of_round(reading: Reading, record: RoundRecord) -> Tried:
    rows = [row for row in reading.rows(record) if row.role == "variant" and not math.isnan(row.delta)]
    if not rows:
        return -math.inf, f"no variant of {record.dimension or record.kind} could be judged"
    return rows[0].delta, f"{cell(rows[0].name)} {e4(rows[0].delta)}"


def threats(reading: Reading) -> list[str]:
    """What could make the result wrong, with this experiment's numbers."""
    found = [_noise(reading)]
    search = reading.search("final")
    if search.variants > 1 and reading.best_changes:
        found.append(
            f"Selection: the winner was chosen on the same eras that it is reported on, so its gain is biased upwards; "
            f"noise alone brings {luck(search):.1f} standard errors to {searched(search)} in one case of twenty."
        )
    found += [_holdout(reading), _leaks(reading)]
    stage = reading.latest_stage
    best = reading.best(stage) if stage else None
    if best is not None and best.metrics is not None:
        level = best.metrics.avg_corr_with_benchmark
        close = "; this close, most of its CORR is the benchmark's own" if level > CLOSE_TO_BENCHMARK else ""
        found.append(f"Benchmark: the best configuration correlates {number(level, 3)} with it{close}.")
    stored = reading.scores(best)
    if stored is not None:
        pairs = zip(stored.eras, stored.scores.corr.tolist(), stored.scores.bmc.tolist(), strict=True)
        missing = [era for era, corr, bmc in pairs if not math.isnan(corr) and math.isnan(bmc)]
        if missing:
            found.append(
                f"Coverage: {len(missing)} scored eras from {era_label(missing[0])} to {era_label(missing[-1])} have "
                f"no benchmark; CORR counts them, BMC does not, so the two describe different eras."
            )
    return [*found, *_sanity(reading), *_failed(reading)]


def _sanity(reading: Reading) -> list[str]:
    """What made results doubtful, a line a kind of doubt: a long search has many of each."""
    kinds: dict[str, dict[str, str]] = {}
    for record in reading.history:
        for variant in record.variants:
            for flag in variant.flags:
                kinds.setdefault(flag.split(":", 1)[0], {}).setdefault(variant.id, flag)
    lines = []
    for flags in kinds.values():
        first, *rest = flags
        also = f"; the same of {_some(rest)}" if rest else ""
        lines.append(f"Sanity: {cell(first)}: {cell(flags[first], 200)}{also}.")
    return lines


def _failed(reading: Reading) -> list[str]:
    """A line for each message that trials failed with."""
    failures: dict[str, list[str]] = {}
    for record in reading.history:
        for variant in record.variants:
            if variant.error is not None:
                failures.setdefault(variant.error, []).append(variant.id)
    return [
        f"Failed, so untried and not bad: {_some(trials)}: {cell(error, 400).rstrip('. ')}."
        for error, trials in failures.items()
    ]


def _some(names: Sequence[str]) -> str:
    """The first few of many names, and how many more there are."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(map(cell, names[:MOST_NAMES])) + more


def _holdout(reading: Reading) -> str:
    """What eras that nothing has seen say, or that there are none."""
    records = reading.of("holdout")
    if records:
        return f"Holdout: {cell(records[-1].decision.reason.removeprefix('recorded: '), 400)}."
    kept = reading.loaded.plan.holdout_eras
    if kept is not None:
        return f"Holdout: the last {kept} weeks are kept out and not scored yet."
    return (
        "Holdout: no eras were kept out, so nothing here was checked on eras that the search has not seen; "
        "`holdout_eras` in the plan keeps some."
    )


def _leaks(reading: Reading) -> str:
    """How far training and validation are apart, and what looked like a leak."""
    room = tightest(each for stage in reading.stages for each in label_rooms(reading, stage))
    apart = "no gap between training and validation is known yet"
    if room is not None:
        apart = (
            f"training and validation are at least {room.gap} eras apart where it is tightest, and the labels trained "
            f"and scored there need {room.needed}"
        )
    suspects = {v.id for r in reading.history for v in r.variants if any(f.startswith("suspect") for f in v.flags)}
    found = (
        f"{counted(len(suspects), 'result')} looked like one (Sanity, below)"
        if suspects
        else "no result looked like one"
    )
    return f"Leaks: {apart}; {found}."


def _noise(reading: Reading) -> str:
    rows = [row for record in reading.scouts for row in reading.rows(record) if row.role == "variant"]
    deltas = [row.evidence.to_base for row in rows if row.evidence is not None]
    errors = sorted(each.standard_error for each in deltas if not math.isnan(each.standard_error))
    if not errors:
        return "Noise: no standard error is known yet."
    margin, middle = reading.loaded.plan.rounds.margin, errors[len(errors) // 2]
    than = "larger" if middle > margin else "smaller"
    return (
        f"Noise: the standard error of a variant's difference to its base is {e4(middle, sign=False)} (median), "
        f"{than} than the margin of {e4(margin, sign=False)}. It allows for overlapping labels, not for a market "
        f"that changes{_by_slow_swings(reading)}."
    )


def _by_slow_swings(reading: Reading) -> str:
    """How sure the answer's difference would be if only its slowest swings were believed."""
    judging = [stage for stage in reversed(reading.stages) if stage != "holdout"]
    headline = next((h for stage in judging if (h := reading.headline(stage)) is not None), None)
    swings = None if headline is None else reading.persistence(headline.stage)
    if headline is None or headline.paired is None or swings is None or math.isnan(swings.standard_error):
        return ""
    slow, usual = (e4(each, sign=False) for each in (swings.standard_error, headline.paired.standard_error))
    return f"; by its slowest swings alone that of the {headline.stage} run's difference is {slow}, not {usual}"


# By the rule that an experiment began with, what grows LightGBM's trees.
ENGINE_WORDS = {
    "five_values": "LightGBM's trees were grown by the engine `five_values` wherever it takes the parameters; each "
    "`results/<id>.json` names its `engines`.",
    "lightgbm": "LightGBM's trees were grown by LightGBM itself, as numba was not installed when this began.",
    "lightgbm_unfiltered": "LightGBM's trees were grown by LightGBM itself, drawing from all features (an experiment "
    "that began before version 0.2).",
}


def _reproduction(reading: Reading) -> list[str]:
    folder = reading.paths.root.name
    versions = [f"Python {platform.python_version()}", *(f"{name} {_version(name)}" for name in PACKAGES)]
    lines = [
        f"From the folder that holds `{folder}/`: `numerai-ray run {folder}` (stored fits are used again).",
        "This report was written with " + ", ".join(versions) + ".",
        f"Fingerprint of the plan: `{reading.loaded.fingerprint()}`.",
    ]
    if reading.history:
        origin = sorted(reading.history[-1].origin.items())
        # The number of eras kept out is told where the holdout is, the engine here; they have no fingerprint.
        marks = [(what, mark) for what, mark in origin if what not in ("holdout_eras", "engine", LAST_ERA)]
        lines += [f"Fingerprint of {what}: `{mark}`." for what, mark in marks]
        if (last := last_era_of([each.origin for each in reading.history])) is not None:
            lines.append(f"Eras: up to {era_label(last)}, whatever came after them.")
        began = reading.history[0].origin.get("engine", "lightgbm_unfiltered")
        lines.append(ENGINE_WORDS.get(began, f"What grew the trees: `{began}`."))
    configs = _winning_configs(reading)
    if configs:
        lines.append("Configs: " + ", ".join(configs) + "; every other one is linked in its table.")
    lines.append("Per-era scores and folds: `results/<id>.json`; out-of-fold predictions: `predictions/<id>.parquet`.")
    return [bullets(lines)]


def _winning_configs(reading: Reading) -> list[str]:
    found: dict[str, str] = {}
    for record in reading.history:
        winner = record.decision.winner
        if winner is not None:
            path = reading.paths.config(winner).relative_to(reading.paths.root).as_posix()
            found[record.stage] = f"best in {record.stage} `{path}`"
    return list(found.values())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
