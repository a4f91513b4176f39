"""Timing of a run: after every round a table in ``driver.log`` of what its seconds went into; on demand a trace."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from numerai_ray.experiment.records import RoundRecord
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.session.opening import Session
from numerai_ray.system.files import open_own
from numerai_ray.system.json_text import write_json
from numerai_ray.system.timeline import Span, Timeline, chrome_trace, idle_core_s, recording, table


class RoundTimes:
    """A watcher that writes down what a round took; it keeps the spans only where a ``whole`` run is asked for."""

    def __init__(self, session: Session, timeline: Timeline):
        self.session = session
        self.timeline = timeline
        self._kept: list[Span] = []
        self._main = threading.current_thread().name
        self._since = timeline.began
        self.decided = 0

    def round_started(self, start: RoundStart) -> None: ...

    def trial_progress(self, progress: Progress) -> None: ...

    def round_decided(self, record: RoundRecord) -> None:
        """The seconds since the last round: its report, the next plan, fits, and what was recorded."""
        self.decided += 1
        spans = self._taken()
        lines = [table(spans, self._main, time.time() - self._since), _idle(spans, record.cores)]
        self._since = time.time()
        self._write(f"round {record.number}, seconds since the one before was decided:", lines)

    def ended(self) -> None:
        """The rest; and of a whole run its trace, and the table on the console."""
        spans = self._taken()
        now = time.time()
        if self.decided:
            self._write("after the last round:", [table(spans, self._main, now - self._since)])
        if self.session.profile:
            file = self.session.paths.timeline
            write_json(file, chrome_trace(self._kept, self.timeline.began))
            console = self.session.console
            told = table(self._kept, self._main, now - self.timeline.began)
            console.print(told, highlight=False, soft_wrap=True, markup=False)
            console.print(f"{file}: open it in https://ui.perfetto.dev", highlight=False, soft_wrap=True)

    def _taken(self) -> list[Span]:
        spans = self.timeline.take()
        if self.session.profile:
            self._kept += spans
        return spans

    def _write(self, title: str, lines: list[str]) -> None:
        log = self.session.paths.driver_log
        with suppress(OSError):  # a full disk shows where results are written
            log.parent.mkdir(parents=True, exist_ok=True)
            with open_own(log, "a") as file:
                file.write("\n".join([title, *filter(None, lines), ""]))


def _idle(spans: list[Span], cores: int) -> str:
    """How many core-seconds passed idle while fits waited."""
    idle, whole = idle_core_s([each for each in spans if each.name == "fit"], cores)
    return f"idle while fits waited: {idle:.2f} of {whole:.2f} core-seconds ({idle / whole:.0%})" if whole else ""


@contextmanager
def timed(session: Session) -> Iterator[RoundTimes]:
    """Record what a run's seconds go into, and write it down."""
    with recording(session.began) as timeline:
        times = RoundTimes(session, timeline)
        try:
            yield times
        except BaseException:
            if times.decided:  # what is refused leaves nothing behind
                times.ended()
            raise
        times.ended()
