"""What the best configuration, the base and the baseline learn from and lean on, by Numerai's groups of features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numerai_ray.config.plan_schema import Stage
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.report.plots.drawing import Theme, new_figure, shortened
from numerai_ray.report.reading import Reading

MOST_GROUPS = 16


@dataclass(frozen=True)
class GroupsInfo:
    """By group, the one that matters most first: share of importance and mean size of exposure, a value a variant.

    ``kinds`` are the roles that the variants are drawn as; a value is 0 where a variant has none.
    """

    stage: Stage
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    groups: tuple[str, ...]
    importance: tuple[tuple[float, ...], ...]
    exposure: tuple[tuple[float, ...], ...]


def groups_info(reading: Reading) -> GroupsInfo | None:
    """Of the latest stage in which the best configuration was looked at; the holdout has a single fold to tell of."""
    for stage in (each for each in reversed(reading.stages) if each != "holdout"):
        pair: list[tuple[str, VariantRecord | None]] = [
            ("best", reading.best(stage)),
            ("base", reading.base(stage)),
            ("baseline", reading.baseline(stage)),
        ]
        told: dict[str, tuple[str, Mapping[str, Any]]] = {}
        for kind, variant in pair:
            stored = reading.scores(variant)
            if variant is not None and stored is not None and _shares(stored.diagnostics):
                told.setdefault(variant.id, (kind, stored.diagnostics))
        if told and next(iter(told.values()))[0] == "best":
            return _info(stage, told)
    return None


def _info(stage: Stage, told: Mapping[str, tuple[str, Mapping[str, Any]]]) -> GroupsInfo:
    shares = [_shares(value) for _, value in told.values()]
    exposures = [(value.get("feature_exposure") or {}).get("by_group") or {} for _, value in told.values()]
    groups = sorted({name for each in shares for name in each}, key=lambda name: (-shares[0].get(name, 0.0), name))
    chosen = tuple(groups[:MOST_GROUPS])
    return GroupsInfo(
        stage,
        tuple(told),
        tuple(kind for kind, _ in told.values()),
        chosen,
        tuple(tuple(each.get(name, 0.0) for name in chosen) for each in shares),
        tuple(tuple(each.get(name) or 0.0 for name in chosen) for each in exposures),
    )


def _shares(value: Mapping[str, Any]) -> Mapping[str, float]:
    return (value.get("importance") or {}).get("by_group") or {}


def groups_caption(info: GroupsInfo) -> str:
    """What the picture does not say by itself."""
    return (
        f"Left: share of the model's importance, mean over its fits. Right: mean size of the predictions' exposure to "
        f"the group's features. Stage {info.stage}; groups overlap a little."
    )


def draw_groups(info: GroupsInfo, theme: Theme) -> Any:
    figure = new_figure(9, 1.7 + 0.34 * max(4, len(info.groups)))
    left, right = figure.subplots(1, 2, sharey=True)
    height = 0.8 / len(info.names)
    for axes, values, title in ((left, info.importance, "Importance"), (right, info.exposure, "Exposure (mean size)")):
        for place, (name, kind) in enumerate(zip(info.names, info.kinds, strict=True)):
            at = [row + (place - (len(info.names) - 1) / 2) * height for row in range(len(info.groups))]
            label = f"{kind}: {shortened(name, 26)}"
            axes.barh(at, values[place], height * 0.9, color=theme.kinds[kind], label=label)
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(title, loc="left", fontsize=11.5)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    left.set_yticks(range(len(info.groups)), [shortened(name, 24) for name in info.groups])
    left.invert_yaxis()
    left.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure
