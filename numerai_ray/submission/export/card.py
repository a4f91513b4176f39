"""The model card: what a pickle is, where it comes from, how it did, what it takes. JSON, and the same as text."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from numerai_ray.data.download.fetch import size_text
from numerai_ray.data.eras import era_label
from numerai_ray.experiment.decision import metric_name
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.score_values import official_metrics
from numerai_ray.experiment.scores import ScoreReader, comparison_of
from numerai_ray.metrics.sequential import promise_of
from numerai_ray.metrics.significance import INTERVAL_PERCENT, Series, paired_delta
from numerai_ray.submission.container.containers import CONTAINERS
from numerai_ray.submission.container.verify import Verification, own_versions
from numerai_ray.submission.export.assembly import Assembly
from numerai_ray.submission.export.choice import Choice
from numerai_ray.submission.export.packing import needed
from numerai_ray.submission.export.refit import Refitted

Json = dict[str, Any]


def card_of(
    choice: Choice, paths: ExperimentPaths, assembly: Assembly, refits: Sequence[Refitted], found: Verification
) -> Json:
    """Everything in plain values; times in seconds, sizes in bytes."""
    config = assembly.config
    container = CONTAINERS[found.python]
    libraries = needed(assembly.types())
    index = assembly.plan.index
    return {
        "experiment": choice.experiment,
        "variant": choice.record.id,
        "stage": choice.stage,
        "changes": dict(choice.changes),
        "fingerprints": {"config": config.fingerprint(), "as_run": choice.as_run, "data": index.fingerprint},
        "data": {
            "version": config.data.version,
            "file": index.path.name,
            "targets": dict.fromkeys(config.trained_targets(), 1.0) if config.ensemble else dict(config.data.targets),
            "missing": config.data.missing,
            "features": len(assembly.features),
            "benchmarks": list(assembly.benchmarks),
            "eras": [era_label(index.eras[0]), era_label(index.eras[-1])],
            "train_rows": min(each.train_rows for each in refits),
            "rows_without_label": max(each.dropped_rows for each in refits),
        },
        "model": {"types": list(assembly.types()), "models": len(refits), "weights": _weights(assembly)},
        "metrics": _metrics(choice, paths),
        "promise": _promise(choice, paths),
        "pickle": {"sha256": found.sha256, "size_bytes": found.size_bytes},
        "python": found.python,
        "image": container.image,
        "libraries": list(libraries),
        "versions": {
            "container": {name: container.pins[name] for name in ("numpy", "pandas", *libraries)},
            "made_with": {"numerai-ray": version("numerai-ray"), **own_versions(container, libraries)},
        },
        "verification": found.to_json(),
        "refit_seconds": round(sum(each.seconds for each in refits), 3),
        "made": datetime.now(UTC).isoformat("T", "seconds"),
        "config": config.to_json(),
    }


def _weights(assembly: Assembly) -> dict[str, float] | None:
    """What stacks weigh their members with, by path; None where nothing is stacked."""
    found = {f"{path}{name}": weight for path, each in assembly.stacks.items() for name, weight in each.items()}
    return found or None


def _metrics(choice: Choice, paths: ExperimentPaths) -> Json:
    """Out-of-fold metrics of the variant as it was run, means with the interval that their noise leaves."""
    metrics = choice.record.metrics
    if metrics is None:
        return {}
    found: Json = {name: dict(block) for name, block in official_metrics(metrics).items()}
    stored = ScoreReader(paths).read(choice.record.id)
    if stored is None:
        return found
    comparison = comparison_of(choice.config.score)
    zero = Series(stored.eras, np.zeros(len(stored.eras)))
    delta = paired_delta(stored.judged, zero, comparison)
    if delta is not None:
        block = found.setdefault(metric_name(choice.record), {"mean": metrics.primary})
        block["interval"] = [delta.low, delta.high]
        block["interval_percent"] = INTERVAL_PERCENT
        block["standard_error"] = delta.standard_error
    return found


def _promise(choice: Choice, paths: ExperimentPaths) -> Json:
    """What live rounds are held against by `numerai-ray follow`: means over all scored eras, their errors and noise."""
    stored, score = ScoreReader(paths).read(choice.record.id), choice.config.score
    found: Json = {"target": score.target, "benchmark": score.benchmark}
    if stored is None:
        return found
    for name, values in (("corr", stored.scores.corr), ("bmc", stored.scores.bmc)):
        promise = promise_of(Series(stored.eras, values), comparison_of(score).overlap_eras)
        found[name] = None if promise is None else asdict(promise)
    return found


def card_text(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    data, found = card["data"], card["verification"]
    trial = found["live"] or found["proof"]
    lines = [
        f"# {card['experiment']}: {card['variant']}",
        "",
        f"Made {card['made']} for Numerai's container of Python {card['python']} (`{card['image']}`).",
        "",
        "| | |",
        "|---|---|",
        f"| Changes against the experiment's base | {_changes(card['changes'])} |",
        f"| Data | {data['version']}, {data['file']}, eras {data['eras'][0]}–{data['eras'][1]} |",
        f"| Rows with labels | {data['train_rows']:,} |",
        f"| Features | {data['features']:,}, missing values as {data['missing']} |",
        f"| Targets | {', '.join(data['targets'])} |",
        f"| Model | {', '.join(card['model']['types'])}; {card['model']['models']} trained |",
        f"| Fingerprints | {', '.join(f'{name} {value}' for name, value in card['fingerprints'].items())} |",
        f"| Pickle | {size_text(found['size_bytes'])}, SHA-256 {found['sha256']} |",
        f"| One core, a live round | {trial['live_seconds']:.1f} s, {trial['peak_bytes'] / 1e9:.2f} GB |",
        f"| Predictions against the pipeline's | {_agreement(found)} |",
        "",
        "## Out-of-fold metrics of the variant as it was run",
        "",
        "The refit saw every era with labels, so nothing here was measured on the refit itself.",
        "",
        "| metric | mean | std | sharpe | max drawdown |",
        "|---|---|---|---|---|",
        *(_metric_row(name, block) for name, block in card["metrics"].items()),
        *_interval(card["metrics"]),
        *(f"\nNote: {note}" for note in found["notes"]),
        "",
    ]
    return "\n".join(lines)


def _changes(changes: Mapping[str, Any]) -> str:
    return ", ".join(f"`{path}` = {value}" for path, value in changes.items()) or "none"


def _metric_row(name: str, block: Mapping[str, Any]) -> str:
    values = (_number(block.get(key)) for key in ("mean", "std", "sharpe", "max_drawdown"))
    return f"| {name} | {' | '.join(values)} |"


def _number(value: float | None) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.5f}"


def _interval(metrics: Mapping[str, Any]) -> list[str]:
    found = next(((name, each) for name, each in metrics.items() if "interval" in each), None)
    if found is None:
        return []
    name, block = found
    low, high = block["interval"]
    return ["", f"{block['interval_percent']} % interval of {name}: {_number(low)} to {_number(high)}."]


def _agreement(found: Mapping[str, Any]) -> str:
    agreement = found["agreement"]
    if agreement is None:
        return "not compared"
    if found["equal"]:
        return f"equal on {agreement['rows']:,} rows ({agreement['largest']:.1g} at most)"
    return f"{agreement['differing']} of {agreement['rows']:,} differ, by {agreement['largest']:.2g} at most"
