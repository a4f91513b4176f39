"""An ensemble's pictures: what it gains over the best single member, era by era, and which members carry it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.report.plots.drawing import DASHES, Theme, end_labels, era_axis, new_figure, two_lines

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GainInfo:
    """Per-era BMC gained on later eras over what each label names, (n_eras,) each; ``last`` begins the last block."""

    eras: tuple[int, ...]
    gains: Mapping[str, Floats]
    blocks: tuple[int, ...]
    last: int


@dataclass(frozen=True, eq=False)
class MembersInfo:
    """Members by weight; ``loss_chosen`` and ``loss_last`` are what leaving each out costs, NaN for the only one."""

    names: tuple[str, ...]
    weights: Floats
    loss_chosen: Floats
    loss_last: Floats


def gain_info(value: Mapping[str, Any]) -> GainInfo:
    """From the ``ensemble`` section of its results."""
    per_era = value["per_era"]
    eras = np.array([int(era) for era in per_era["era"]])
    columns = {name: np.array(per_era[name], np.float64) for name in ("chosen_before", "single", "equal")}
    later = ~np.isnan(columns["chosen_before"])
    gains = {
        "best single": (columns["chosen_before"] - columns["single"])[later],
        "equal weights": (columns["chosen_before"] - columns["equal"])[later],
    }
    starts = tuple(int(block["reported"]["first"]) for block in value["blocks"])
    return GainInfo(tuple(eras[later].tolist()), gains, starts, starts[-1])


def members_info(value: Mapping[str, Any]) -> MembersInfo:
    """From the ``ensemble`` section of its results."""
    members = value["members"]

    def column(name: str) -> Floats:
        return np.array([member[name] for member in members], np.float64)

    names = tuple(member["name"] for member in members)
    return MembersInfo(names, column("weight"), column("loss_where_chosen"), column("loss_last_block"))


def draw_gain(info: GainInfo, theme: Theme) -> Any:
    figure = new_figure(9, 4.2)
    axes = figure.subplots()
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06)
    axes.axvspan(info.last, info.eras[-1], color=theme.band, zorder=0, linewidth=0)
    axes.axhline(0, color=theme.text, linewidth=0.8)
    for start in info.blocks:
        axes.axvline(start, color=theme.grid, linewidth=1.2, zorder=0)
    kinds = {"best single": "best", "equal weights": "base"}
    ends = {}
    for label, gains in info.gains.items():
        known = np.nan_to_num(gains)
        axes.plot(info.eras, np.cumsum(known), color=theme.kinds[kinds[label]], linestyle=DASHES[kinds[label]])
        ends[label] = float(known.sum())
    axes.set_ylabel("Cumulative gain in BMC\n(sum over eras)")
    axes.margins(x=0)
    labels = {label: f"over {label}" for label in ends}
    end_labels(axes, ends, labels, {label: theme.kinds[kinds[label]] for label in ends})
    axes.set_title("band: last block", loc="right", fontsize=10.5, color=theme.text, pad=4)
    era_axis(axes)
    return figure


def draw_members(info: MembersInfo, theme: Theme) -> Any:
    count = len(info.names)
    figure = new_figure(10, 1.5 + 0.5 * max(count, 3))
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(count)
    left.barh(places, info.weights, color=theme.series[0])
    left.set_yticks(places, [two_lines(name, 30) for name in info.names], fontsize=10.5)
    left.invert_yaxis()
    left.set_xlabel("Weight")
    for place, weight in zip(places, info.weights, strict=True):
        left.text(weight, place, f" {weight:.2f}", va="center", fontsize=10, color=theme.text)
    left.set_xlim(0, 1.18 * float(info.weights.max()))
    height = 0.38
    for shift, (losses, label) in enumerate(
        ((info.loss_chosen, "eras of choice"), (info.loss_last, "last block")), start=0
    ):
        right.barh(places + (shift - 0.5) * height, 1e4 * losses, height, color=theme.series[shift + 1], label=label)
    right.axvline(0, color=theme.text, linewidth=0.8)
    right.set_xlabel("BMC lost without it (1e-4)")
    # Above the bars, which may reach any corner.
    right.legend(frameon=False, fontsize=10, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    for axes in (left, right):
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.tick_params(length=0)
    return figure
