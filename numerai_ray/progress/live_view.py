"""What `run` shows: one quiet screen on a terminal, plain lines elsewhere, JSON events for programs."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.mirror import ResultsMirror
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.metrics.registry import BMC, MEAN
from numerai_ray.progress.events import JsonView
from numerai_ray.progress.round_state import (
    Best,
    Budget,
    Pace,
    RoundState,
    Snapshot,
    counted,
    duration,
    number,
    progress_json,
    round_title,
    usage_text,
    varied,
)
from numerai_ray.progress.terminal import Console
from numerai_ray.rounds.start import RoundStart
from numerai_ray.runners.base import Progress
from numerai_ray.runners.ray.needs import token_hint
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import without_nan

__all__ = ["JsonView", "LiveView", "PlainView", "ProgressFile", "Watchers", "decided_line", "duration", "number"]

MOST_FITS = 8


class ProgressFile:
    """Keeps ``logs/progress.json`` for `status`; written at most twice a second."""

    def __init__(self, path: Path):
        self.path = path
        self._last = 0.0
        self._state: RoundState | None = None
        self._pace = Pace()
        self._snapshot = Snapshot()
        self._ray: str | None = None

    def dashboard(self, url: str) -> None:
        """Where Ray's own dashboard is; told with every round from now on."""
        self._ray = url

    def round_started(self, start: RoundStart) -> None:
        self._state = RoundState(start, self._pace)
        self._write(force=True)

    def trial_progress(self, progress: Progress) -> None:
        if self._state is not None:
            self._state.tell(progress)
        self._write(force=False)

    def round_decided(self, record: RoundRecord) -> None:
        del record
        self._pace = Pace() if self._state is None else self._state.pace()
        self._state = None
        self._write(force=True)

    def observed(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        if self._state is not None:
            self._write(force=False)

    def _write(self, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self._last < 0.5:
            return
        self._last = now
        state = self._state
        running = None if state is None else {**progress_json(state, self._snapshot), "ray_dashboard": self._ray}
        value = {"running": running}
        write_text(self.path, json.dumps(without_nan(value)) + "\n")


class MirrorWatcher:
    """Has a decided round carried to the experiment's copy beside the next one; the rest goes there now and then."""

    def __init__(self, mirror: ResultsMirror):
        self.mirror = mirror

    def round_started(self, start: RoundStart) -> None: ...

    def trial_progress(self, progress: Progress) -> None: ...

    def round_decided(self, record: RoundRecord) -> None:
        del record
        self.mirror.push_soon()


class LiveView:
    """The running round on a terminal; decided rounds stay above it as lines."""

    def __init__(
        self,
        console: Console,
        budget: Budget | None = None,
        look: Callable[[], Snapshot] = Snapshot,
        history: Sequence[RoundRecord] = (),
    ):
        self.console = console
        self.best = Best(history)
        self.budget = budget or Budget(0)
        self.look = look
        self._state: RoundState | None = None
        self._pace = Pace()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def round_started(self, start: RoundStart) -> None:
        self._state = RoundState(start, self._pace)

    def trial_progress(self, progress: Progress) -> None:
        if self._state is not None:
            self._state.tell(progress)

    def round_decided(self, record: RoundRecord) -> None:
        self.best.decided(record)
        self.budget.decided(record)
        self._pace = Pace() if self._state is None else self._state.pace()
        self._state = None
        self.console.print(decided_line(record), highlight=False, markup=False)

    def dashboard(self, url: str) -> None:
        self.console.print(f"Ray dashboard: {url}{token_hint()}", highlight=False, soft_wrap=True, markup=False)

    def _render(self) -> Group | Text:
        """The running round as it stands now."""
        state = self._state
        if state is None:
            return Text("…", style="dim")
        known = [{"variant": f"{each.name} ({each.id})", "known": each.metrics} for each in state.start.known]
        value = progress_json(state, self.look())
        parts: list[Any] = [_trial_table(value, known), *_machine_lines(value)]
        parts.append(Text(f"best so far: {self.best.text()}", style="dim"))
        left, later = value["seconds_left"], self.budget.seconds_left()
        times = f"time left: {'not known yet' if left is None else f'{duration(left)} of this round'}"
        if later is not None:
            times += f", at most {duration(later)} of the budget's further rounds"
        parts.append(Text(times, style="dim"))
        return Group(*parts)


def running_table(running: Mapping[str, Any]) -> Group:
    """A running round as its driver last wrote it, see :func:`progress_json`."""
    left = running.get("seconds_left")
    parts: list[Any] = [_trial_table(running, ()), *_machine_lines(running)]
    if left is not None:
        parts.append(Text(f"time left: about {duration(left)} of this round"))
    return Group(*parts)


def _trial_table(running: Mapping[str, Any], known: Any) -> Group:
    # Above the table: a table's own title is broken at its width.
    title = Text(round_title(running["round"], running["stage"], running.get("dimension")), style="bold")
    table = Table(box=None, pad_edge=False)
    table.add_column("variant", no_wrap=True)
    table.add_column("folds", justify="right")
    table.add_column(str(running.get("metric", BMC.name)).removesuffix(MEAN), justify="right")
    for each in known:
        metrics = each["known"]
        table.add_row(each["variant"], "known", number(metrics.primary if metrics else None))
    for trial in running["trials"]:
        shown = Text("failed", style="red") if trial["error"] else Text(number(trial["primary"]))
        shown = Text("pruned", style="yellow") if trial.get("pruned") else shown
        table.add_row(trial["variant"], f"{trial['folds_done']}/{trial['folds']}", shown)
    return Group(title, table)


def _machine_lines(running: Mapping[str, Any]) -> list[Text]:
    """Running fits with their speed, and what the machine does."""
    lines = []
    fits = running.get("fits") or []
    for fit in fits[:MOST_FITS]:
        name = "/".join(fit["name"].split("/")[1:])
        lines.append(f"  fitting {name}{_done(fit)}")
    if len(fits) > MOST_FITS:
        lines.append(f"  and {len(fits) - MOST_FITS} more")
    speeds = [fit["trees_per_second"] or 0.0 for fit in fits if fit.get("unit", "trees") == "trees"]
    count = "1 fit running" if len(fits) == 1 else f"{len(fits)} fits running"
    shown = f"{count}, {sum(speeds):.0f} trees/s" if any(speeds) else count
    parts = [shown if fits else "", usage_text(running.get("machine"))]
    if any(parts):
        lines.append("; ".join(part for part in parts if part))
    return [Text(line, style="dim") for line in lines]


def _done(fit: Mapping[str, Any]) -> str:
    """`` 120/400 trees, 12/s``; nothing where its model does not tell."""
    if not fit["trees"]:
        return ""
    speed = fit["trees_per_second"] or 0.0
    return f" {fit['trees']}/{fit['trees_in_all']} {fit.get('unit', 'trees')}, {speed:.{0 if speed >= 10 else 1}f}/s"


class PlainView:
    """One line an event that matters, for logs and pipes."""

    def __init__(self, console: Console):
        self.console = console
        self._names: Mapping[str, str] = {}
        self._metric = BMC.name.removesuffix(MEAN)
        self._over: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def round_started(self, start: RoundStart) -> None:
        self._names, self._metric = start.trials, start.metric.removesuffix(MEAN)
        self._over = set()
        state = RoundState(start)
        self._say(
            f"{state.title()}: {counted(len(start.trials), 'trial')}, {counted(sum(start.folds.values()), 'fold')}"
        )

    def trial_progress(self, progress: Progress) -> None:
        name = self._names.get(progress.trial, progress.trial)
        # Every fold of a trial tells that it failed or was stopped; a reader is told once.
        if progress.trial in self._over:
            return
        if progress.pruned or progress.error:
            self._over.add(progress.trial)
        if progress.pruned:
            self._say(f"  {name} {progress.pruned}")
        if progress.error:
            self._say(f"  {name} failed: {' '.join(progress.error.split())}")
        elif progress.folds_done == progress.folds:
            self._say(f"  {name}: {counted(progress.folds, 'fold')}, {self._metric} {number(progress.primary)}")

    def round_decided(self, record: RoundRecord) -> None:
        self._say(decided_line(record))

    def dashboard(self, url: str) -> None:
        self._say(f"Ray dashboard: {url}{token_hint()}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)


def wide_console() -> Console:
    """A terminal as it is; a pipe gets lines long enough for a table."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def decided_line(record: RoundRecord) -> str:
    """``round 2 (scout, num_leaves): promoted: … [12 s]``."""
    what = ", ".join(part for part in (record.stage, varied(record.dimension or "")) if part)
    return f"round {record.number} ({what}): {record.decision.reason} [{duration(record.wall_s)}]"


class Watchers:
    """Tells several watchers the same."""

    def __init__(self, *watchers: Any):
        self._watchers = watchers

    def round_started(self, start: RoundStart) -> None:
        for watcher in self._watchers:
            watcher.round_started(start)

    def trial_progress(self, progress: Progress) -> None:
        for watcher in self._watchers:
            watcher.trial_progress(progress)

    def round_decided(self, record: RoundRecord) -> None:
        for watcher in self._watchers:
            watcher.round_decided(record)

    def observed(self, snapshot: Snapshot) -> None:
        """For those who show running fits; a full disk shows up where results are written."""
        for watcher in self._watchers:
            if hasattr(watcher, "observed"):
                try:
                    watcher.observed(snapshot)
                except EnvironmentFault:
                    continue
