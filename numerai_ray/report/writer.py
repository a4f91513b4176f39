"""Writer: a report written once, or kept up to date while its experiment runs, off the path of the rounds."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.errors import NumeraiRayError
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.ledger import chosen_interpretation
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import read_json
from numerai_ray.system.services import masked
from numerai_ray.system.timeline import span

if TYPE_CHECKING:
    from numerai_ray.report.reading import Reading

# All pictures of a report take about this long to draw on one core.
DRAWING_S = 5.0
# Drawing may take this share of a round's time, lest pictures slow down what they show.
SHARE = 0.05

Tracker = Callable[[Sequence[RoundRecord]], None]


@span("report")
def write_report(
    loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord], start_era: int | None = None
) -> Path:
    """Draw the plots whose data changed, then write ``experiment.md`` and ``report.html``; returns the former's path.

    Any history will do: none, a part, with failed trials, with unknown metrics. Each file is written whole or
    not at all. Cumulative plots begin at ``start_era``.

    Raises:
        EnvironmentFault: the folder cannot be written.

    """
    from numerai_ray.report.html import markdown_and_page  # noqa: PLC0415
    from numerai_ray.report.page_data import page_value  # noqa: PLC0415
    from numerai_ray.report.plots.registry import captions, gathered, write_plots  # noqa: PLC0415

    reading = _reading(loaded, paths, history, start_era)
    with span("plots"):
        infos = gathered(reading)
        said = captions(write_plots(reading, infos), len(history))
    text, page = markdown_and_page(reading, said, {name: page_value(info) for name, info in infos.items()})
    write_text(paths.report, text)
    write_text(paths.html, page)
    return paths.report


@span("report")
def write_report_text(loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord]) -> Path:
    """Write ``experiment.md`` alone, at once, with the plots as they were last drawn."""
    from numerai_ray.report.markdown import report_text  # noqa: PLC0415
    from numerai_ray.report.plots.registry import captions, drawn_plots  # noqa: PLC0415

    reading = _reading(loaded, paths, history)
    write_text(paths.report, report_text(reading, captions(drawn_plots(paths), len(history))))
    return paths.report


def _reading(
    loaded: LoadedPlan, paths: ExperimentPaths, history: Sequence[RoundRecord], start_era: int | None = None
) -> "Reading":
    """Of several readings of the idea, the report follows the one that the experiment went on with."""
    from numerai_ray.report.reading import Reading  # noqa: PLC0415

    return Reading(loaded.interpreted(chosen_interpretation(history)), paths, tuple(history), start_era)


class ReportWriter:
    """Called with the history after every round, and when a run goes on: all is written beside the next round.

    The text is written after every round; where rounds are faster, one text tells of several. Pictures and page are
    drawn while a long round runs, and once the experiment is finished, while the runner is let go. A short round is
    not held up by them: then they are drawn at the end, unless the whole run was short too and is going on later.
    Trackers are told of every round. A fault of theirs, or of a drawing, never ends a run: it is kept in ``problems``.
    """

    def __init__(self, loaded: LoadedPlan, paths: ExperimentPaths, trackers: Sequence[Tracker] = ()):
        self.loaded = loaded
        self.paths = paths
        self.trackers = tuple(trackers)
        self.problems: list[str] = []
        self._began = time.monotonic()
        self._history: tuple[RoundRecord, ...] | None = None
        self._aside = ThreadPoolExecutor(1, "report")
        self._text: Future[None] | None = None
        self._drawing: Future[None] | None = None
        self._drawn = 0  # of how many rounds pictures are drawn, or about to be

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # An interrupt is obeyed at once: what is not drawn can be drawn at any time.
        orderly = kind is None or issubclass(kind, Exception)
        if orderly:
            self._draw_at_the_end()
        with span("waiting for plots"):
            self._aside.shutdown(wait=orderly, cancel_futures=not orderly)
        if kind is None:
            self._raise_text_fault()

    def __call__(self, history: Sequence[RoundRecord]) -> None:
        """A round was decided, or the experiment is finished.

        Raises:
            EnvironmentFault: the folder could not be written, as the last round's text, or at the end this one's.

        """
        self._raise_text_fault()
        if self._history == tuple(history):
            return
        known, self._history = len(self._history or ()), tuple(history)
        waits = self._text is not None and not (self._text.running() or self._text.done())
        once_more = not known and is_finished(self._history) and self._is_current()
        if not (waits or once_more):  # else it is there, or the one that waits writes of this round, too
            self._text = self._aside.submit(self._write_text)
        if len(self._history) == known:
            return
        for tracker in self.trackers:
            self._aside.submit(self._safely, f"{type(tracker).__name__}: ", partial(tracker, self._history))
        idle = self._drawing is None or self._drawing.done()
        long = bool(self._history) and self._history[-1].wall_s * SHARE >= DRAWING_S
        if is_finished(self._history):
            self._draw_at_the_end()
        elif idle and long:
            self._draw()

    def _write_text(self) -> None:
        write_report_text(self.loaded, self.paths, self._history or ())

    def _raise_text_fault(self) -> None:
        if self._text is not None and self._text.done():
            self._text.result()

    def _draw_at_the_end(self) -> None:
        history = self._history
        if not history or self._drawn == len(history) or self._is_current():
            return
        finished = is_finished(history)
        if finished or (time.monotonic() - self._began) * SHARE >= DRAWING_S:
            self._draw()

    def _is_current(self) -> bool:
        """Whether text, page and pictures were written after all that they tell of."""
        paths = self.paths
        told = (paths.ledger, paths.plan, paths.notes, paths.rechecks)
        try:
            written = min(each.stat().st_mtime_ns for each in (paths.report, paths.html, paths.plot_index))
            changed = max(each.stat().st_mtime_ns for each in told if each.exists())
        except (OSError, ValueError):
            return False
        rounds = {each.get("rounds") for each in read_json(paths.plot_index).values() if isinstance(each, dict)}
        return changed < written and rounds == {len(self._history or ())}

    def _draw(self) -> None:
        history = self._history or ()
        self._drawn = len(history)
        draw = partial(write_report, self.loaded, self.paths, history)
        self._drawing = self._aside.submit(self._safely, "plots: ", draw)

    def _safely(self, what: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            logging.getLogger("numerai_ray").debug("%s", what, exc_info=True)
            kind = "" if isinstance(error, NumeraiRayError) else f"{type(error).__name__}: "
            self.problems.append(f"{what}{kind}{masked(str(error))}")
