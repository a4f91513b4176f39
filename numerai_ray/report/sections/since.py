"""Since the decision: later eras against the promise, in words, in a table, and as plain values."""

import math
from typing import Any

import numpy as np

from numerai_ray.data.eras import era_label
from numerai_ray.experiment.since import LiveRecord, Since
from numerai_ray.metrics.sequential import expected_best
from numerai_ray.metrics.significance import INTERVAL_PERCENT, e4
from numerai_ray.report.reading import Reading

MOST_ROWS = 26


def since_section(reading: Reading, figure: list[str]) -> list[str]:
    """The chapter, with its heading; nothing where nothing was rechecked."""
    record = reading.live
    if record is None:
        return []
    return ["## Since the decision", *_lead(record), *_pairs(record), *_drift(record), *figure, _table(record)]


def _lead(record: LiveRecord) -> list[str]:
    last = record.rechecks[-1]
    first, until, count = last.train_eras
    text = (
        f"Eras after {era_label(last.last_era)} were not there when the last round was decided. Winner, base and "
        f"baseline, trained as in the {last.stage} stage on {count} eras ({era_label(first)}–{era_label(until)}), are "
        f"scored on them as they come: {len(record.eras)} so far, the last on {last.made[:10]}. Intervals and words "
        f"hold at every look together, so looking each week is no reason to doubt them."
    )
    return [text]


def _pairs(record: LiveRecord) -> list[str]:
    if not record.pairs:
        return ["Winner, base and baseline are one configuration, so there is no gain to hold against anything."]
    return ["\n".join(f"- {pair_sentence(pair, marked=True)}" for pair in record.pairs)]


def _drift(record: LiveRecord) -> list[str]:
    """What was unusual in the newest data, where results have fallen."""
    found = record.rechecks[-1].drift
    return (
        ["What the newest eras are like, next to the past:", "\n".join(f"- {each}" for each in found)] if found else []
    )


def pair_sentence(pair: Since, *, marked: bool = False) -> str:
    """``winner − base: …``: the promise, the live mean with its interval, the word, and how long it may take."""
    bold = "**" if marked else ""
    head = f"winner − {pair.theirs}"
    promise, live = pair.promise, pair.live
    if promise is None or live is None or not live.eras:
        plain = float(np.nanmean(pair.values)) if len(pair.series.eras) else math.nan
        return f"{head}: {e4(plain)} BMC over {len(pair.series.eras)} eras; what was promised is not known"
    low, high = float(live.low[-1]), float(live.high[-1])
    interval = f"[{e4(low)}, {e4(high)}]" if math.isfinite(low) else "not to be told yet"
    luck = expected_best(promise.looks) * promise.standard_error
    chosen = f"; the best of {promise.looks} owes {e4(luck, sign=False)} to luck" if promise.looks > 1 else ""
    promised = f"promised {e4(promise.mean)} ± {e4(promise.standard_error, sign=False)} ({pair.stage}{chosen})"
    over = f"over {len(live.eras)} era{'s'[: len(live.eras) != 1]}"
    now = f"live {e4(float(live.mean[-1]))} {interval} ({INTERVAL_PERCENT} % at any time) {over}"
    return f"{head}: {promised}; {now}: {bold}{live.word}{bold}{_why(pair)}"


def _why(pair: Since) -> str:
    promise, live = pair.promise, pair.live
    if promise is None or live is None:
        return ""
    if live.worse_since is not None:
        return f"; the promised gain became implausible with era {era_label(live.worse_since)}"
    if pair.loses:
        return "; whatever was promised, on these eras it loses, clear of the noise"
    if live.word != "too early":
        return ""
    if promise.expected <= 0:
        return "; luck alone may have brought what was promised, so there is little to hold it to"
    if pair.needed is None:
        return "; the promise itself is too unsure for later eras ever to refute it"
    return f"; if it stopped paying, {pair.needed} eras would tell in four cases of five"


def pair_json(pair: Since) -> dict[str, Any]:
    """The same as plain values."""
    promise, live = pair.promise, pair.live
    there = live is not None and len(live.eras) > 0
    return {
        "theirs": pair.theirs,
        "stage": pair.stage,
        "promise": None
        if promise is None
        else {
            "mean": promise.mean,
            "standard_error": promise.standard_error,
            "expected": promise.expected,
            "eras": promise.eras,
            "looks": promise.looks,
        },
        "eras_needed": pair.needed,
        "word": live.word if live is not None and there else "unknown",
        "worse_since": None if live is None else live.worse_since,
        "mean": float(live.mean[-1]) if live is not None and there else None,
        "interval": [float(live.low[-1]), float(live.high[-1])] if live is not None and there else None,
        "against": float(live.against[-1]) if live is not None and there else None,
        "favour": float(live.favour[-1]) if live is not None and there else None,
        "per_era": {
            "era": list(pair.series.eras),
            "difference": pair.values.tolist(),
        },
    }


def _table(record: LiveRecord) -> str:
    """The newest eras, a line each."""
    roles = list(record.scores)
    head = ["era", *(f"BMC {role}" for role in roles), *(f"winner − {pair.theirs}" for pair in record.pairs)]
    lines = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 1)]
    first = max(0, len(record.eras) - MOST_ROWS)
    for place in range(first, len(record.eras)):
        values = [e4(float(record.scores[role].bmc[place])) for role in roles]
        values += [e4(float(pair.values[place])) for pair in record.pairs]
        lines.append(f"| {era_label(record.eras[place])} | {' | '.join(values)} |")
    more = f"\n\nThe {first} eras before are in `results/rechecks.jsonl`." if first else ""
    return "\n".join(lines) + more
