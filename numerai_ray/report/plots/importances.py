"""How much each dimension matters in the joint rounds, as Optuna sees it."""

from dataclasses import dataclass
from typing import Any

from numerai_ray.report.plots.drawing import Theme, new_figure, shortened
from numerai_ray.report.reading import Reading

# More bars than these are small ones.
MOST_BARS = 12


@dataclass(frozen=True)
class ImportancesInfo:
    """Dimensions from the most to the least important, their shares (of 1), and how many results tell."""

    names: tuple[str, ...]
    shares: tuple[float, ...]
    hidden: int
    results: int


def importances_info(reading: Reading) -> ImportancesInfo | None:
    """The newest round's importances; None where nothing guides that knows any, or there are too few results."""
    found = reading.scouts[-1].importances if reading.scouts else {}
    if not found:
        return None
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered[:MOST_BARS]
    joint = [record for record in reading.scouts if record.kind == "joint"]
    trials = {v.id for r in joint for v in r.variants if v.role in {"base", "variant"} and v.metrics}
    return ImportancesInfo(
        tuple(name for name, _ in shown),
        tuple(share for _, share in shown),
        len(ordered) - len(shown),
        len(trials),
    )


def importances_caption(info: ImportancesInfo) -> str:
    """What the picture does not say by itself."""
    left_out = "1 less important one is" if info.hidden == 1 else f"{info.hidden} less important ones are"
    hidden = f" {left_out} not shown." if info.hidden else ""
    return (
        f"Share of the primary metric's variation that each dimension accounts for over its values in "
        f"{info.results} results of joint rounds (PED-ANOVA): rough shares, of which the first place is sure.{hidden}"
    )


def draw_importances(info: ImportancesInfo, theme: Theme) -> Any:
    figure = new_figure(7, max(3.0, 1.2 + 0.45 * len(info.names)))
    axes = figure.subplots()
    places = range(len(info.names))
    colours = [theme.kinds["best"], *[theme.kinds["benchmark"]] * (len(info.names) - 1)]
    axes.barh(places, [100 * share for share in info.shares], height=0.6, color=colours, zorder=2)
    for place, share in zip(places, info.shares, strict=True):
        axes.text(100 * share + 1, place, f"{share:.0%}", va="center", fontsize=10.5)
    axes.set_yticks(places, [shortened(name, 28) for name in info.names])
    axes.invert_yaxis()
    axes.set_xlim(0, 100 * max(info.shares) * 1.12 + 4)
    axes.set_xlabel("share of the variation of BMC, %")
    axes.grid(visible=False, axis="y")
    return figure
