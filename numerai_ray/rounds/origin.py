"""Origin: what the results of an experiment rest on, so that a later round's compare with them.

An experiment keeps to the eras that it first ran on. How they looked then stands in ``results/eras.json``, and a
hash of that in every round's record: newer eras change nothing, a change in one of these is told era by era.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numerai_ray.config import Config, fingerprint
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.data.eras import era_label
from numerai_ray.errors import RequestError
from numerai_ray.experiment.ledger import DIGESTS, ERAS, LAST_ERA, last_era_of
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.system.json_text import read_json, write_json
from numerai_ray.training.catalog import Catalog

# What stood for the data before November 2026: the bytes of a whole file.
FILE = "the data file"
_SHOWN = 8  # ranges of eras in a message


def pin_eras(catalog: Catalog, history: Sequence[RoundRecord], configs: Iterable[Config]) -> None:
    """Keep ``catalog`` to the eras that an experiment first ran on, or is about to.

    Args:
        catalog: the data files; its ``last_era`` is set.
        history: the rounds decided so far. What began before eras were remembered goes on with all there are.
        configs: everything that the plan asks for. An experiment begins with the last era that has every target of it.

    Raises:
        DataError: a file cannot be read, or lacks a target.

    """
    asked = {config.data.files(): config.data for config in configs}.values()
    remembered = last_era_of([record.origin for record in history])
    if remembered is not None:
        catalog.last_era = remembered
    elif history:
        catalog.last_era = max(catalog.index(data).eras[-1] for data in asked)
    else:
        targets = {name for config in configs for name in (*config.trained_targets(), *config.score.targets)}
        catalog.last_era = max((last for data in asked if (last := catalog.resolved(data, targets))), default=None)


def origin_of(loaded: LoadedPlan, catalog: Catalog, looks: Mapping[str, Any]) -> dict[str, str]:
    """What a round's record says of the base, the data, the eras and the engine.

    Args:
        loaded: the plan as it is written.
        catalog: the data files.
        looks: of the eras, as :func:`looks_of` gives them.

    """
    origin = {
        "the base config": loaded.config("scout", {}).fingerprint(),
        ERAS: fingerprint(looks),
        "engine": catalog.rule,
    }
    if catalog.hashed != "sha256":  # of which records said nothing
        origin[DIGESTS] = catalog.hashed
    if catalog.last_era is not None:
        origin[LAST_ERA] = str(catalog.last_era)
    if loaded.plan.interpretations:
        origin["interpretations"] = fingerprint(loaded.plan.interpretations)
    return origin | {"holdout_eras": str(loaded.plan.holdout_eras)}


def looks_of(loaded: LoadedPlan, catalog: Catalog) -> dict[str, Any]:
    """How the eras of every stage's file look: of each file a hash of the names read, and one of each era's content.

    Raises:
        DataError: a file cannot be read.

    """
    found: dict[str, Any] = {}
    configs = [loaded.config(stage, {}) for stage in loaded.stages]
    for files in dict.fromkeys(config.data.files() for config in configs):
        own = [config for config in configs if config.data.files() == files]
        contents, eras = catalog.contents(own[0].data), catalog.eras(own[0].data)
        features = tuple(dict.fromkeys(name for each in own for name in catalog.features(each.data)))
        targets = sorted({name for each in own for name in (*each.trained_targets(), *each.score.targets)})
        benchmarks = sorted({name for each in own for name in each.benchmarks()})
        tables = [contents.ids(), contents.features(features)]
        tables += [*map(contents.target, targets), *map(contents.benchmark, benchmarks)]
        places = catalog.index(own[0].data).positions(eras)
        looks = {
            era_label(era): hashlib.blake2b(
                b"".join(table[place].tobytes() for table in tables), digest_size=8
            ).hexdigest()
            for era, place in zip(eras, places, strict=True)
        }
        found[files[0]] = {"columns": fingerprint([features, targets, benchmarks]), "eras": looks}
    return found


def scouts_file(loaded: LoadedPlan, catalog: Catalog) -> str:
    """The fingerprint of the scouts' data file; raises :class:`~numerai_ray.errors.DataError`."""
    return catalog.index(loaded.config("scout", {}).data).fingerprint


def check_origin(
    paths: ExperimentPaths, history: Sequence[RoundRecord], now: Mapping[str, str], looks: Mapping[str, Any], file: str
) -> None:
    """Refuse to mix results of different bases or data: they do not compare.

    Args:
        paths: of the experiment.
        history: its rounds.
        now: the origin as it is now.
        looks: of the eras as they are now.
        file: fingerprint of the scouts' data file, by which older experiments know their data.

    Raises:
        RequestError: something is another than it was; says what, and what may be done.

    """
    remembered = any(ERAS in record.origin for record in history)
    for record in history:
        then: dict[str, str] = {**now, **record.origin}
        if not remembered and record.origin.get(FILE, file) != file:
            _refuse(paths, f"{FILE} changed since round {record.number} ({record.origin[FILE]} then, {file} now)")
        for what, there in now.items():
            if then[what] == there:
                continue
            if what == ERAS:
                _refuse(paths, f"{_changed(read_json(paths.eras), looks)} changed since round {record.number}")
            _refuse(paths, f"{what} changed since round {record.number} ({then[what]} then, {there} now)")


def keep_looks(paths: ExperimentPaths, looks: Mapping[str, Any]) -> None:
    """Write down how the eras look, for a later message; raises :class:`~numerai_ray.errors.EnvironmentFault`."""
    if read_json(paths.eras) != looks:
        write_json(paths.eras, looks)


def _refuse(paths: ExperimentPaths, what: str) -> None:
    raise RequestError(
        f"{paths.root}: {what}, so new results would not compare; undo it, or copy the plan into a new experiment's "
        f"folder (stored fits of what did not change are used there too)"
    )


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which eras of which files look otherwise."""
    told = []
    for file, looks in now.items():
        known = before.get(file)
        if not isinstance(known, Mapping) or not isinstance(known.get("eras"), Mapping):
            continue
        if known.get("columns") != looks["columns"]:
            told.append(f"the features, targets or benchmarks that are read of {file}")
            continue
        then, there = known["eras"], looks["eras"]
        all_eras = sorted(then.keys() | there.keys(), key=int)
        other = [era for era in all_eras if then.get(era) != there.get(era)]
        if other:
            told.append(f"{len(other)} of {len(then)} eras of {file} ({_ranges(other, all_eras)})")
    return " and ".join(told) or "the data"


def _ranges(eras: Sequence[str], among: Sequence[str]) -> str:
    """``0003, 0010–0014``: eras that follow each other in ``among`` as one."""
    places = {era: place for place, era in enumerate(among)}
    runs: list[list[str]] = []
    for era in eras:
        if runs and places[era] == places[runs[-1][-1]] + 1:
            runs[-1].append(era)
        else:
            runs.append([era])
    shown = [run[0] if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else "")
