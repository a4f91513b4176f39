"""What `run` shows: a live table on a terminal, plain lines elsewhere, JSON events for programs."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from numerai_ray.atomic_files import write_text
from numerai_ray.fold_runner import Progress
from numerai_ray.results import RoundRecord, VariantRecord, to_json, without_nan
from numerai_ray.round_scheduler import RoundStart


def number(value: float | None, digits: int = 5) -> str:
    """A metric for people; unknown is a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def duration(seconds: float) -> str:
    """``2 min 05 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class RoundState:
    """The running round as numbers: folds done, metrics so far, time left."""

    def __init__(self, start: RoundStart):
        self.start = start
        self.began = time.monotonic()
        self.progress: dict[str, Progress] = {
            trial: Progress(trial, 0, start.folds[trial], math.nan) for trial in start.trials
        }

    def seconds_left(self) -> float | None:
        """Of this round, from the folds done so far; None before the first."""
        running = [each for each in self.progress.values() if each.error is None]
        done, total = sum(each.folds_done for each in running), sum(each.folds for each in running)
        return None if done == 0 else (time.monotonic() - self.began) * (total - done) / done

    def title(self) -> str:
        """``round 3, scout: varying num_leaves``."""
        varying = f": varying {self.start.dimension}" if self.start.dimension else ""
        return f"round {self.start.number}, {self.start.stage}{varying}"


class Best:
    """The best configuration so far, by primary metric, in the stage that ran last."""

    def __init__(self) -> None:
        self.record: VariantRecord | None = None

    def decided(self, record: RoundRecord) -> None:
        winner = next((v for v in record.variants if v.id == record.decision.winner), None)
        self.record = winner or self.record

    def text(self) -> str:
        if self.record is None or self.record.metrics is None:
            return "none yet"
        return f"{self.record.id} {number(self.record.metrics.primary)}"


class ProgressFile:
    """Keeps ``logs/progress.json`` for `status`; written at most twice a second."""

    def __init__(self, path: Path):
        self.path = path
        self._last = 0.0
        self._state: RoundState | None = None

    def round_started(self, start: RoundStart) -> None:
        self._state = RoundState(start)
        self._write(force=True)

    def trial_progress(self, progress: Progress) -> None:
        if self._state is not None:
            self._state.progress[progress.trial] = progress
        self._write(force=False)

    def round_decided(self, record: RoundRecord) -> None:
        del record
        self._state = None
        self._write(force=True)

    def _write(self, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self._last < 0.5:
            return
        self._last = now
        state = self._state
        value: dict[str, Any] = {"running": None}
        if state is not None:
            value["running"] = {
                "round": state.start.number,
                "stage": state.start.stage,
                "dimension": state.start.dimension,
                "seconds_left": state.seconds_left(),
                "trials": [
                    {"variant": state.start.trials[trial], **asdict(each)} for trial, each in state.progress.items()
                ],
            }
        write_text(self.path, json.dumps(without_nan(value)) + "\n")


class LiveView:
    """A table of the running round on a terminal; decided rounds stay above it as lines."""

    def __init__(self, console: Console):
        self.console = console
        self.best = Best()
        self._state: RoundState | None = None
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def round_started(self, start: RoundStart) -> None:
        self._state = RoundState(start)

    def trial_progress(self, progress: Progress) -> None:
        if self._state is not None:
            self._state.progress[progress.trial] = progress

    def round_decided(self, record: RoundRecord) -> None:
        self.best.decided(record)
        self._state = None
        self.console.print(decided_line(record), highlight=False)

    def _render(self) -> Group | Text:
        state = self._state
        if state is None:
            return Text("…", style="dim")
        table = Table(title=state.title(), title_justify="left", title_style="bold", box=None, pad_edge=False)
        table.add_column("variant", no_wrap=True)
        table.add_column("folds", justify="right")
        table.add_column("bmc_last_200_eras", justify="right")
        for known in state.start.known:
            metrics = known.metrics
            table.add_row(f"{known.name} ({known.id})", "known", number(metrics.primary if metrics else None))
        for trial, name in state.start.trials.items():
            each = state.progress[trial]
            shown = Text("failed", style="red") if each.error else Text(number(each.primary))
            shown = Text("pruned", style="yellow") if each.pruned else shown
            table.add_row(name, f"{each.folds_done}/{each.folds}", shown)
        left = state.seconds_left()
        footer = f"best so far: {self.best.text()}   round time left: {'–' if left is None else duration(left)}"
        return Group(table, Text(footer, style="dim"))


class PlainView:
    """One line an event that matters, for logs and pipes."""

    def __init__(self, console: Console):
        self.console = console
        self._names: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def round_started(self, start: RoundStart) -> None:
        self._names = start.trials
        state = RoundState(start)
        self._say(f"{state.title()}: {len(start.trials)} trials, {sum(start.folds.values())} folds")

    def trial_progress(self, progress: Progress) -> None:
        name = self._names.get(progress.trial, progress.trial)
        if progress.pruned:
            self._say(f"  {name} {progress.pruned}")
        if progress.error:
            self._say(f"  {name} failed: {progress.error}")
        elif progress.folds_done == progress.folds:
            self._say(f"  {name}: {progress.folds} folds, bmc_last_200_eras {number(progress.primary)}")

    def round_decided(self, record: RoundRecord) -> None:
        self._say(decided_line(record))

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)


class JsonView:
    """One JSON object a line on stdout: ``round_started``, ``progress``, ``round_decided``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None

    def round_started(self, start: RoundStart) -> None:
        known = [each.id for each in start.known]
        value = {**{k: v for k, v in vars(start).items() if k != "known"}, "known": known}
        self._say("round_started", value)

    def trial_progress(self, progress: Progress) -> None:
        self._say("progress", asdict(progress))

    def round_decided(self, record: RoundRecord) -> None:
        self._say("round_decided", json.loads(to_json(record)))

    def _say(self, event: str, value: Mapping[str, Any]) -> None:
        print(json.dumps(without_nan({"event": event, **value})), flush=True)


def decided_line(record: RoundRecord) -> str:
    """``round 2 (scout, num_leaves): promoted: … [12 s]``."""
    what = ", ".join(part for part in (record.stage, record.dimension) if part)
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
