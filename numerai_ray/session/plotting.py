"""Pictures of an experiment as matplotlib figures, by the drawing code of its report."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import numpy as np

from numerai_ray.errors import RequestError
from numerai_ray.experiment.ledger import chosen_interpretation
from numerai_ray.experiment.paths import FOREIGN
from numerai_ray.experiment.scores import StoredScores
from numerai_ray.report.excerpt import Excerpt, excerpt
from numerai_ray.report.plots.compare import compare_info, draw_compare
from numerai_ray.report.plots.correlation import correlation_info, draw_correlation
from numerai_ray.report.plots.cumulative import cumulative_info, cumulative_line, draw_cumulative
from numerai_ray.report.plots.delta import delta_info, draw_delta, variants_delta_info
from numerai_ray.report.plots.drawing import DARK, LIGHT, draw_figure, say_start
from numerai_ray.report.plots.per_era import draw_per_era, per_era_info
from numerai_ray.report.plots.rounds import draw_rounds, rounds_info
from numerai_ray.report.plots.sweeps import draw_sweeps, sweeps_info
from numerai_ray.report.plots.tradeoff import Contribution, draw_tradeoff, tradeoff_info
from numerai_ray.report.reading import Reading
from numerai_ray.session.settings import check_named, first_era
from numerai_ray.session.subject import Subject


class Look(TypedDict, total=False):
    """What every picture of an experiment takes.

    ``ax`` is an axes of yours, an array of them where the picture has several panels; ``variants`` are ids or names,
    of :meth:`Experiment.table` or of predictions that were added: what is shown beside the bases, the baseline and the
    benchmark; ``start_era`` counts scores from that era on, everywhere: sums, means, intervals, correlations (what
    rounds decided stays as it was); ``dark`` draws for a dark page.
    """

    ax: Any
    variants: Iterable[str] | None
    start_era: int | str | None
    dark: bool


def figure_of_lines(
    title: str,
    lines: Mapping[str, StoredScores],
    ax: Any,
    start_era: int | str | None,
    *,
    dark: bool,
    against: str = "the benchmark",
) -> Any:
    """Cumulative CORR and BMC of several predictions, by name.

    Raises:
        RequestError: no era is left to draw.

    """
    first = first_era(start_era)
    drawn = [cumulative_line(name, each, first) for name, each in lines.items()]
    info = compare_info(title, drawn, against)
    if info is None:
        raise RequestError("no per-era score is there to draw; lower start_era")
    return draw_figure(lambda theme: draw_compare(info, theme, ax), DARK if dark else LIGHT)


class ExperimentPlots:
    """The pictures of one experiment: each method gives a matplotlib figure, drawn as in the report.

    All of them take what :class:`Look` names: ``ax``, ``variants``, ``start_era``, ``dark``. Each raises
    :class:`RequestError` where nothing is there to draw, and says why.
    """

    def __init__(self, experiment: Subject):
        self._experiment = experiment

    def cumulative(self, **look: Unpack[Look]) -> Any:
        """Sums of CORR and BMC over the eras of the latest stage: best, base, baseline, benchmark; or ``variants``.

        Two panels. ``variants`` alone are drawn where they are given, of any stage.
        """
        asked = self._asked("cumulative", look)
        if not asked.wanted:
            return self._draw(cumulative_info(asked), draw_cumulative, look)
        stored = {name: self._experiment.stored_scores(name) for name in asked.wanted}
        title = f"Variants of {self._experiment.name}"
        return figure_of_lines(title, stored, look.get("ax"), asked.start_era, dark=look.get("dark", False))

    def delta(self, **look: Unpack[Look]) -> Any:
        """What each stage gained over what it is compared with, era by era, a panel a stage; or each of ``variants``.

        A variant is held against its round's base, and judged as there; the band ends at the interval of the mean.
        """
        asked = self._asked("delta", look)
        info = variants_delta_info(asked, asked.wanted) if asked.wanted else delta_info(asked)
        return self._draw(info, draw_delta, look, why="no stage has a winner that differs from what it began with")

    def sweep(self, dimension: str | None = None, **look: Unpack[Look]) -> Any:
        """The primary metric against the values of a dimension, a panel a round; of all dimensions without a name.

        Raises:
            RequestError: no scout round varied it.

        """
        asked = self._asked("sweep", look, rounds=True)
        info = sweeps_info(asked)
        if info is not None and dimension is not None:
            there = dict.fromkeys(panel.dimension for panel in info.panels)
            panels = tuple(each for each in info.panels if dimension in (each.dimension, each.path))
            if not panels:
                raise RequestError(f"sweep: no round varied {dimension!r}; varied were {', '.join(there)}")
            info = replace(info, panels=panels, rounds=len(panels))
        return self._draw(info, draw_sweeps, look, asked.start_era)

    def rounds(self, **look: Unpack[Look]) -> Any:
        """The primary metric round by round, with the best so far; one panel."""
        asked = self._asked("rounds", look, rounds=True)
        return self._draw(rounds_info(asked), draw_rounds, look, asked.start_era)

    def per_era(self, **look: Unpack[Look]) -> Any:
        """The distribution of per-era CORR and BMC in the latest stage, or that of ``variants``; two panels."""
        asked = self._asked("per_era", look).in_one_stage()
        return self._draw(per_era_info(asked), draw_per_era, look, asked.start_era)

    def correlation(self, **look: Unpack[Look]) -> Any:
        """How alike the out-of-fold predictions of variants are; one panel.

        Raises:
            RequestError: one of ``variants`` predicted other rows than the others.

        """
        asked = self._asked("correlation", look).in_one_stage()
        info = correlation_info(asked, asked.start_era or 0)
        lost = [name for name in asked.wanted if info is not None and name not in info.names]
        if lost:
            raise RequestError(f"correlation: {lost[0]} has no predictions of the same rows as the others")
        return self._draw(info, draw_correlation, look, asked.start_era)

    def tradeoff(self, metric: Contribution | None = None, **look: Unpack[Look]) -> Any:
        """CORR against BMC or MMC of all variants of the stage that has most, with the Pareto front; one panel.

        ``metric`` is "bmc" or "mmc"; without it, MMC where the plan decides by it, else BMC.

        Raises:
            RequestError: there is no such metric, or fewer than two variants.

        """
        if metric not in (None, "bmc", "mmc"):
            raise RequestError(f"tradeoff: metric must be 'bmc' or 'mmc', but is {metric!r}")
        asked = self._asked("tradeoff", look).in_one_stage()
        return self._draw(tradeoff_info(asked, metric), draw_tradeoff, look, asked.start_era)

    def _asked(self, plot: str, look: Look, *, rounds: bool = False) -> Excerpt:
        """What the picture is of; with ``rounds``, of decided rounds alone, in which predictions of others are not."""
        check_named(Look, look, f"plot.{plot}")
        own = self._experiment
        first, variants = first_era(look.get("start_era")), look.get("variants")
        listed = [variants] if isinstance(variants, str) else variants
        wanted = None if listed is None else list(dict.fromkeys(own.id_of(each) for each in listed))
        if wanted == []:
            raise RequestError("variants: names none; leave it out to see all of them")
        foreign = [each for each in wanted or () if each.startswith(FOREIGN)]
        if rounds and foreign:
            raise RequestError(f"{plot}: {foreign[0]} ran in no round; cumulative, delta and tradeoff draw it")
        loaded = own.loaded.interpreted(chosen_interpretation(own.rounds))
        return excerpt(Reading(loaded, own.paths, tuple(own.rounds)), wanted, first)

    def _draw(
        self,
        info: Any,
        draw: Callable[[Any, Any, Any], Any],
        look: Look,
        start_era: int | None = None,
        *,
        why: str = "nothing of this kind was scored",
    ) -> Any:
        """The figure; ``start_era`` is told in it where its axes do not show eras."""
        if info is None and not self._experiment.rounds:
            rule = "no round is decided yet, so there is nothing to draw; run it first"
            raise RequestError(f"{self._experiment.name}: {rule}")
        if info is None:
            raise RequestError(f"{self._experiment.name}: {why}, so there is nothing to draw; run more rounds")
        ax = look.get("ax")
        figure = draw_figure(lambda theme: draw(info, theme, ax), DARK if look.get("dark") else LIGHT)
        if start_era is not None:
            own = [each for each in figure.axes if each.get_visible() and each.get_label() != "<colorbar>"]
            for axes in own if ax is None else np.ravel(np.asarray(ax, object)):
                say_start(axes, start_era)
        return figure
