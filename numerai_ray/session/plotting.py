"""Pictures of an experiment as matplotlib figures, by the drawing code of its report."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from numerai_ray.errors import RequestError
from numerai_ray.experiment.ledger import chosen_interpretation
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import StoredScores
from numerai_ray.report.plots.compare import compare_info, draw_compare
from numerai_ray.report.plots.correlation import correlation_info, draw_correlation
from numerai_ray.report.plots.cumulative import cumulative_info, cumulative_line, draw_cumulative
from numerai_ray.report.plots.delta import delta_info, draw_delta
from numerai_ray.report.plots.drawing import DARK, LIGHT, draw_figure
from numerai_ray.report.plots.per_era import draw_per_era, per_era_info
from numerai_ray.report.plots.rounds import draw_rounds, rounds_info
from numerai_ray.report.plots.sweeps import draw_sweeps, sweeps_info
from numerai_ray.report.plots.tradeoff import Contribution, draw_tradeoff, tradeoff_info
from numerai_ray.report.reading import Reading
from numerai_ray.session.subject import Subject

Variants = Iterable[str] | None


def figure_of_lines(
    title: str,
    lines: Mapping[str, StoredScores],
    ax: Any,
    start_era: int | None,
    *,
    dark: bool,
    against: str = "the benchmark",
) -> Any:
    """Cumulative CORR and BMC of several predictions, by name.

    Raises:
        RequestError: no era is left to draw.

    """
    drawn = [cumulative_line(name, each, start_era) for name, each in lines.items()]
    info = compare_info(title, drawn, against)
    if info is None:
        raise RequestError("no per-era score is there to draw; lower start_era")
    return draw_figure(lambda theme: draw_compare(info, theme, ax), DARK if dark else LIGHT)


class ExperimentPlots:
    """The pictures of one experiment: each method gives a matplotlib figure, drawn as in the report.

    ``ax`` is an axes of yours (an array of them where the picture has several panels), ``variants`` the ids or names
    that are shown beside base, baseline and benchmark; ``dark`` draws for a dark page.
    """

    def __init__(self, experiment: Subject):
        self._experiment = experiment

    def cumulative(
        self, *, ax: Any = None, variants: Variants = None, start_era: int | None = None, dark: bool = False
    ) -> Any:
        """Sums of CORR and BMC over the eras of the latest stage: best, base, baseline, benchmark; or ``variants``.

        Two panels; sums begin at ``start_era``.
        """
        if variants is None:
            return self._draw(cumulative_info(self._reading(None, start_era)), draw_cumulative, ax, dark=dark)
        wanted = [self._experiment.id_of(each) for each in variants]
        stored = {name: self._experiment.stored_scores(name) for name in wanted}
        return figure_of_lines(f"Variants of {self._experiment.name}", stored, ax, start_era, dark=dark)

    def delta(self, *, ax: Any = None, dark: bool = False) -> Any:
        """What each stage gained over what it is compared with, era by era; a panel a stage."""
        return self._draw(delta_info(self._reading()), draw_delta, ax, dark=dark)

    def sweep(
        self, dimension: str | None = None, *, ax: Any = None, variants: Variants = None, dark: bool = False
    ) -> Any:
        """The primary metric against the values of a dimension, a panel a round; of all dimensions without a name.

        Raises:
            RequestError: no scout round varied it.

        """
        info = sweeps_info(self._reading(variants))
        if info is not None and dimension is not None:
            there = dict.fromkeys(panel.dimension for panel in info.panels)
            panels = tuple(each for each in info.panels if dimension in (each.dimension, each.path))
            if not panels:
                raise RequestError(f"sweep: no round varied {dimension!r}; varied were {', '.join(there)}")
            info = replace(info, panels=panels, rounds=len(panels))
        return self._draw(info, draw_sweeps, ax, dark=dark)

    def rounds(self, *, ax: Any = None, variants: Variants = None, dark: bool = False) -> Any:
        """The primary metric round by round, with the best so far; one panel."""
        return self._draw(rounds_info(self._reading(variants)), draw_rounds, ax, dark=dark)

    def per_era(self, *, ax: Any = None, variants: Variants = None, dark: bool = False) -> Any:
        """The distribution of per-era CORR and BMC in the latest stage; two panels."""
        return self._draw(per_era_info(self._reading(variants)), draw_per_era, ax, dark=dark)

    def correlation(self, *, ax: Any = None, variants: Variants = None, dark: bool = False) -> Any:
        """How alike the out-of-fold predictions of variants are; one panel."""
        return self._draw(correlation_info(self._reading(variants)), draw_correlation, ax, dark=dark)

    def tradeoff(
        self, metric: Contribution | None = None, *, ax: Any = None, variants: Variants = None, dark: bool = False
    ) -> Any:
        """CORR against BMC or MMC of all variants of the stage that has most, with the Pareto front; one panel.

        ``metric`` is "bmc" or "mmc"; without it, MMC where the plan decides by it, else BMC.
        """
        if metric not in (None, "bmc", "mmc"):
            raise RequestError(f"tradeoff: metric must be 'bmc' or 'mmc', but is {metric!r}")
        return self._draw(tradeoff_info(self._reading(variants), metric), draw_tradeoff, ax, dark=dark)

    def _reading(self, variants: Variants = None, start_era: int | None = None) -> Reading:
        own = self._experiment
        history = tuple(own.rounds)
        if variants is not None:
            wanted = {own.id_of(each) for each in variants}
            history = tuple(_with_only(record, wanted) for record in history)
        return Reading(own.loaded.interpreted(chosen_interpretation(own.rounds)), own.paths, history, start_era)

    def _draw(self, info: Any, draw: Callable[[Any, Any, Any], Any], ax: Any, *, dark: bool) -> Any:
        if info is None:
            what = "no round is decided yet" if not self._experiment.rounds else "nothing of this kind was scored"
            raise RequestError(f"{self._experiment.name}: {what}, so there is nothing to draw; run it first")
        return draw_figure(lambda theme: draw(info, theme, ax), DARK if dark else LIGHT)


def _with_only(record: RoundRecord, wanted: set[str]) -> RoundRecord:
    """A round without the variants that are not asked for; what they are held against stays."""
    kept = tuple(each for each in record.variants if each.role != "variant" or each.id in wanted)
    return replace(record, variants=kept)
