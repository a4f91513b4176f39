"""Experiments written in code: the same ``experiment.yaml`` that the command line writes, from typed objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from numerai_ray.config import parse_yaml, read_text, validate
from numerai_ray.config.plan import load_plan
from numerai_ray.config.search_space import Dimension as PlannedDimension
from numerai_ray.config.shipped import find_shipped
from numerai_ray.config.validation import leaves
from numerai_ray.config.yaml_files import yaml_text
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.models.described import Model
from numerai_ray.system.files import write_text

HEAD = "# Written by Experiment.create; it may be edited, and `numerai-ray plan {folder}` says what it will do.\n"


class Dimension(PlannedDimension):
    """One variable that rounds change: a config path and what to try on it.

    >>> from numerai_ray import Dimension
    >>> Dimension("model.params.num_leaves", [15, 63]).values
    [15, 63]
    >>> rate = Dimension("model.params.learning_rate", [0.005, 0.02], coupled={"model.params.n_estimators": "inverse"})
    >>> rate.paths()
    ('model.params.learning_rate', 'model.params.n_estimators')
    >>> Dimension("model.params.num_leaves", [15, 63], whyy="tree size")
    Traceback (most recent call last):
    numerai_ray.errors.ConfigError: Dimension('model.params.num_leaves'): unknown key; did you mean 'why'? @ $.whyy

    Args:
        path: where it stands in a config, e.g. ``model.params.num_leaves`` or ``data.target``.
        values: what is tried, in this order; may be left out where a ``range`` is given.
        **settings: ``range``, ``coupled``, ``when``, ``required`` and ``why``, as in a search space file.

    Raises:
        ConfigError: a setting is unknown or wrong.

    """

    def __init__(self, path: str, values: Sequence[Any] = (), **settings: Any) -> None:
        given = {"path": path, **({"values": [_scalar(each) for each in values]} if len(values) else {}), **settings}
        found = validate(PlannedDimension, given, f"Dimension({path!r})")
        super().__init__(**{name: getattr(found, name) for name in found.model_fields_set})


Dimensions = Sequence[PlannedDimension] | Mapping[str, PlannedDimension]


class PlanSettings(TypedDict, total=False):
    """Keys of ``experiment.yaml`` that :meth:`Experiment.create` takes as they stand there, each with its default.

    ``baseline``, ``benchmark``, ``data_version``, ``metric``, ``payout``, ``interpretations``, ``rounds``, ``stages``,
    ``budget``, ``holdout_eras``, ``market``, ``keep_models``, ``name``, ``tags``; ``search_space`` names a file instead
    of ``dimensions``.
    """

    baseline: str
    benchmark: str
    data_version: str
    metric: str
    payout: Mapping[str, float]
    interpretations: Mapping[str, Mapping[str, Any]]
    rounds: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]]
    budget: Mapping[str, Any]
    holdout_eras: int
    market: Mapping[str, int]
    keep_models: bool
    name: str
    tags: Sequence[str]
    search_space: str


def write_plan(
    folder: Path, sentences: Mapping[str, str], base: Mapping[str, Any], dimensions: Dimensions, settings: PlanSettings
) -> ExperimentPaths:
    """Write ``experiment.yaml`` and the sources of models of one's own; the same plan again changes nothing.

    Raises:
        ConfigError: everything that is wrong with the plan, at once; nothing is left behind.
        RequestError: a plan that says something else is there already.

    """
    paths = ExperimentPaths(folder)
    sources: dict[str, str] = {}
    values = {**sentences, **_plain({"base": base, **settings}, sources)}
    if not values["base"]:
        del values["base"]
    if len(dimensions):
        if "search_space" in values:
            raise RequestError("dimensions and search_space both say what is varied; give one of them")
        values["search_space"] = {"dimensions": _named(dimensions, sources)}
    if paths.plan.exists():
        _check_same(paths, values, sources)
        return paths
    made = [paths.model_source(name) for name in sources]
    there = folder.exists()
    try:
        for path, text in zip(made, sources.values(), strict=True):
            write_text(path, text)
        write_text(paths.plan, HEAD.format(folder=folder) + yaml_text(values))
        load_plan(paths.plan, lambda kind, name: find_shipped(kind, name, folder))
    except BaseException:
        for path in (paths.plan, *made):
            path.unlink(missing_ok=True)
        for empty in (*{path.parent for path in made}, *([] if there else [folder])):
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()
        raise
    return paths


def _check_same(paths: ExperimentPaths, values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    before = leaves(parse_yaml(read_text(paths.plan), str(paths.plan)))
    now = leaves(values)
    apart = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    for name, text in sources.items():
        path = paths.model_source(name)
        if not path.is_file() or read_text(path) != text:
            apart.append(path.name)
    if apart:
        shown = "; ".join(f"{key}: {before.get(key)!r:.60} there, {now.get(key)!r:.60} here" for key in apart[:4])
        raise RequestError(
            f"{paths.plan} is there already and says something else ({shown}); go on with it by "
            f"Experiment.load({str(paths.root)!r}), edit the file, or create the new plan in another folder"
        )


def _named(dimensions: Dimensions, sources: dict[str, str]) -> dict[str, Any]:
    if not isinstance(dimensions, Mapping):
        named: dict[str, PlannedDimension] = {}
        for each in dimensions:
            name = each.path.rsplit(".", 1)[-1]
            if name in named:
                rule = f"two are named {name!r} after the end of their path; give a mapping of names to dimensions"
                raise RequestError(f"dimensions: {rule}")
            named[name] = each
        dimensions = named
    return {name: _plain(each.model_dump(exclude_unset=True), sources) for name, each in dimensions.items()}


def _plain(value: Any, sources: dict[str, str]) -> Any:
    """``value`` with models in the form of a plan; what has to stand beside the plan is put into ``sources``."""
    if isinstance(value, Model):
        if value.source is not None:
            sources[value.source.name] = value.source.text
        return value.config()
    if isinstance(value, Mapping):
        return {str(key): _plain(each, sources) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, sources) for each in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    """A number of numpy as Python's own."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
