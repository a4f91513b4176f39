"""Everything that a plan asks for by itself, tried on the data files before the first round."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from numerai_ray.config import Config, leaves
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.search_space import Dimension, changes_for
from numerai_ray.errors import ConfigError, DataError, Problem
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.terminal import tell_code
from numerai_ray.rounds.origin import pin_eras
from numerai_ray.session.opening import model_code
from numerai_ray.system.machine import this_machine
from numerai_ray.system.resources import GB, RAY_BYTES
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import VariantPlan

BASE, READING, STAGE = "$.base", "$.interpretations.", "$.stages."
LEAF = "min_data_in_leaf"


def check_plan(loaded: LoadedPlan, catalog: Catalog, source: str) -> None:
    """Plan the base and the baseline of every stage, every interpretation, and every listed value.

    So a value that LightGBM refuses, or a file that only the last stage reads, is found before hours of work.

    Raises:
        DataError: one thing is wrong with the data files, whatever the plan varies.
        ConfigError: everything else that is wrong, at once, each thing at the first place that asks for it.

    """
    try:
        _check(catalog, _asked_for(loaded), source)
    except DataError as error:
        place = _written_at(loaded, str(error))
        raise DataError(f"{error} @ {source}, {place}" if place else str(error)) from None


def _written_at(loaded: LoadedPlan, message: str) -> str:
    """Which key of the plan, or else of its baseline, holds the name that a file does not have; "" for none."""
    written = {
        "$": loaded.plan.model_dump(
            mode="json", exclude_unset=True, exclude={"search_space", "idea", "novelty", "name"}
        ),
        "its search space, $.base": loaded.space.base,
        f"its baseline {loaded.plan.baseline}, $": loaded.baseline_values,
    }
    for where, values in written.items():
        for path, value in leaves(values).items():
            if isinstance(value, str) and (f"{value!r}" in message or f"/{value}/features.json: no such" in message):
                return f"{where}.{path}"
    return ""


def check_round(
    loaded: LoadedPlan, catalog: Catalog, dimension: Dimension, values: Sequence[Any], base_changes: Mapping[str, Any]
) -> None:
    """Plan every configuration of a round that is asked for by hand, before anything of it is written.

    Raises:
        DataError: one thing is wrong with the data files.
        ConfigError: the values that are refused, all at once.

    """
    base = loaded.config("scout", base_changes).to_json()
    changed = ((repr(value), changes_for(dimension, value, base)) for value in values)
    asked = ((place, loaded.config("scout", {**base_changes, **changes})) for place, changes in changed)
    _check(catalog, asked, f"--vary {dimension.path}")


def _check(catalog: Catalog, asked: Iterable[tuple[str, Config]], source: str) -> None:
    """Plan configs by the place that asks for them; see :func:`check_plan`."""
    found: dict[tuple[str, str], Problem] = {}
    data_errors: list[DataError] = []
    room = this_machine().memory_bytes
    code: dict[str, None] = {}
    leaves_told = False
    for place, config in asked:
        tell_code(*(new := [each for each in model_code(config) if each not in code]))
        code |= dict.fromkeys(new)
        try:
            plan = catalog.plan("check", place, config)
            leaf = _leaf_problems(plan) if _is_judged(place) and not leaves_told else []
            leaves_told |= bool(leaf)  # in every stage they are the same, on other rows
            for problem in [*_memory_problems(plan, catalog, room), *leaf]:
                found.setdefault((problem.path, problem.message), _placed(place, problem))
        except ConfigError as error:
            for problem in error.problems:
                found.setdefault((problem.path, problem.message), _placed(place, problem))
        except DataError as error:
            if ("", str(error)) not in found:
                found["", str(error)] = Problem(place, str(error))
                data_errors.append(error)
    if len(found) == len(data_errors) == 1 and [each.path for each in found.values()] == [BASE]:
        raise data_errors[0]
    if found:
        raise ConfigError(source, list(found.values()))


def _memory_problems(plan: VariantPlan, catalog: Catalog, room: int) -> list[Problem]:
    """A fit that is said to take more memory than there is, whatever its data: no smaller data would help."""
    asked = max((fit.needs.memory_bytes or 0 for fit in plan.fits), default=0)
    if catalog.elsewhere or asked + RAY_BYTES <= room:
        return []
    there = f"{room / GB:.1f} GB are free here, {RAY_BYTES / GB:.0f} of them for Ray"
    rule = f"asks for {asked / GB:.1f} GB a fit, but {there}"
    remedy = "lower it, leave it out (memory is estimated then), or use a cluster that has it (--address)"
    return [Problem("$.model.resources.memory_gb", f"{rule}; {remedy}")]


def _is_judged(place: str) -> bool:
    """Whether rounds stand on it: the base in any stage, or an interpretation; no value of several, no baseline."""
    return place == BASE or place.startswith(READING) or (place.startswith(STAGE) and "," not in place)


def _leaf_problems(plan: VariantPlan) -> list[Problem]:
    """LightGBM whose leaves take more rows than any fold has for two of them: all it predicts would be a constant."""
    model = plan.config.model
    if model.type != "lightgbm" or plan.config.ensemble is not None or not plan.fits:
        return []
    trees = plan.fits[0].model
    least = trees.canonical_params(model.params).get(LEAF, 0)
    rows = min(max(fit.train_rows for fit in plan.fits), model.max_train_samples or sys.maxsize)
    if not isinstance(least, int) or 2 * least <= rows:
        return []
    name = next(key for key in model.params if LEAF in trees.canonical_params({key: least}))
    why = f"a leaf takes {least:,} rows, so no tree splits: the largest fold trains on {rows:,}"
    return [Problem(f"$.model.params.{name}", f"{why}, and every prediction would be the same; set it to {rows // 50}")]


def pin(loaded: LoadedPlan, catalog: Catalog, history: Sequence[RoundRecord]) -> None:
    """Keep to the eras that the experiment first ran on, or is about to; what is wrong is left for the check to say."""
    configs = [config for _, config in _asked_for(loaded)]
    configs += [loaded.interpreted(name).config("interpret", {}) for name in loaded.plan.interpretations]
    with suppress(DataError):
        pin_eras(catalog, history, configs)


def _asked_for(loaded: LoadedPlan) -> Iterator[tuple[str, Config]]:
    base = loaded.config("scout", {})
    yield BASE, base
    yield "$.baseline", loaded.baseline_config("scout")
    for name in loaded.plan.interpretations:
        yield f"{READING}{name}", loaded.interpreted(name).config("interpret", {})
    for name, dimension in loaded.space.dimensions.items():
        for value in dimension.examples() if dimension.applies(base.to_json()) else []:
            changes = changes_for(dimension, value, base.to_json())
            yield f"$.search_space.dimensions.{name}.values: {value!r}", loaded.config("scout", changes)
    for stage in loaded.stages:
        yield f"$.stages.{stage}", loaded.config(stage, {})
        yield f"$.stages.{stage}, baseline", loaded.baseline_config(stage)


def _placed(place: str, problem: Problem) -> Problem:
    """``$.base`` and ``$.model.params.num_leaves`` are ``$.base.model.params.num_leaves``."""
    inner = problem.path.removeprefix("$")
    return Problem(
        f"{place}{inner}" if place == BASE or place.startswith(READING) else f"{place}, at ${inner}", problem.message
    )
