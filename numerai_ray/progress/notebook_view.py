"""The running round in a notebook: one output of the cell that stays current, and a line for each decided round."""

import io
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.text import Text

from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.live_view import LiveView, decided_line
from numerai_ray.progress.round_state import Budget, Snapshot
from numerai_ray.progress.terminal import Console
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress

SHOW_S = 0.5
WIDTH = 110
PRE = '<pre style="white-space:pre-wrap;line-height:1.3;font-family:monospace">{code}</pre>'


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this process."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return hasattr(get_ipython(), "kernel")


class NotebookView(LiveView):
    """What a terminal shows, as HTML; needs no widgets, and reads well in a notebook that was saved."""

    def __init__(self, budget: Budget, history: Sequence[RoundRecord] = ()):
        super().__init__(Console(file=io.StringIO(), record=True, width=WIDTH, force_jupyter=False), budget)
        for record in history:
            self.best.decided(record)
        self.look = self._latest
        self._snapshot = Snapshot()
        self._decided: list[Text] = []
        self._handle: Any = None
        self._shown = 0.0

    def __enter__(self) -> Self:
        shown = import_module("IPython.display")
        self._handle = shown.display(shown.HTML(self._html(Text("…"))), display_id=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._state = None
        self._update(force=True)

    def round_started(self, start: RoundStart) -> None:
        super().round_started(start)
        self._update(force=True)

    def trial_progress(self, progress: Progress) -> None:
        super().trial_progress(progress)
        self._update()

    def round_decided(self, record: RoundRecord) -> None:
        self.best.decided(record)
        self.budget.decided(record)
        self._state = None
        self._decided.append(Text(decided_line(record)))
        self._update(force=True)

    def dashboard(self, url: str) -> None:
        self._decided.append(Text(f"Ray dashboard: {url}"))

    def observed(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._update()

    def _latest(self) -> Snapshot:
        return self._snapshot

    def _update(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._handle is None or (not force and now - self._shown < SHOW_S):
            return
        self._shown = now
        running = [] if self._state is None else [self._render()]
        self._handle.update(import_module("IPython.display").HTML(self._html(Group(*self._decided, *running))))

    def _html(self, content: RenderableType) -> str:
        self.console.print(content)
        return self.console.export_html(inline_styles=True, code_format=PRE)
