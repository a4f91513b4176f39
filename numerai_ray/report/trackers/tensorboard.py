"""TensorBoard: a run a variant below ``logs/tensorboard``; ``tensorboard --logdir EXP/logs/tensorboard`` shows them."""

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.report.trackers.facts import by_round, cumulative, metric_values, new_variants, parameters

# The run of the experiment as a whole. No variant has this name: theirs begin with their round.
ROUNDS = "rounds"
PREFIX = "events.out.tfevents."


@dataclass(eq=False)
class TensorBoardTracker:
    """Writes event files: curves over the rounds, and of each variant its metrics, cumulative scores and parameters."""

    paths: ExperimentPaths
    _given_up: bool = field(default=False)

    def __call__(self, history: Sequence[RoundRecord]) -> None:
        """Write what is not there yet.

        Raises:
            EnvironmentFault: the folder cannot be written; nothing is tried after that.

        """
        if self._given_up:
            return
        try:
            self._write_all(history)
        except OSError as error:
            self._given_up = True
            raise EnvironmentFault(
                f"{self.paths.tensorboard}: cannot be written: {error.strerror or error} ({error.filename}); free "
                f"space or move away what is there. `numerai-ray track {self.paths.root}` writes later what is missing"
            ) from None

    def _write_all(self, history: Sequence[RoundRecord]) -> None:
        missing = [(r, v) for r, v in new_variants(history) if not (self.paths.tensorboard / v.id).exists()]
        undrawn = [each for each in history if not self._curves(each).exists()]
        if not missing and not undrawn:
            return
        for record in undrawn:
            self._add_round(history, record)
        reader = ScoreReader(self.paths)
        for record, variant in missing:
            partial = self.paths.tensorboard / f".{variant.id}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            self._add_variant(partial / f"{PREFIX}{record.number:010d}", record, variant, reader)
            # A run is there whole or not at all, so that the next call knows what is missing.
            partial.replace(self.paths.tensorboard / variant.id)

    def _curves(self, record: RoundRecord) -> Path:
        """The file with a round's points of the curves over rounds; TensorBoard reads a run's files in this order."""
        return self.paths.tensorboard / ROUNDS / f"{PREFIX}{record.number:010d}"

    def _add_round(self, history: Sequence[RoundRecord], record: RoundRecord) -> None:
        values = {name: dict(points).get(record.number) for name, points in by_round(history).items()}
        known = {name: value for name, value in values.items() if value is not None}
        partial, curves = self.paths.tensorboard / f".{ROUNDS}.partial", self._curves(record)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _write(partial / curves.name, {record.number: known}, ("decision", record.decision.reason, record.number))
        curves.parent.mkdir(exist_ok=True)
        (partial / curves.name).replace(curves)
        partial.rmdir()

    def _add_variant(self, file: Path, record: RoundRecord, variant: VariantRecord, reader: ScoreReader) -> None:
        points: dict[int, dict[str, float]] = {}
        for name, sums in cumulative(reader, variant).items():
            for era, value in sums:
                points.setdefault(era, {})[f"per_era/{name}"] = value
        metrics = {f"metrics/{name}": value for name, value in metric_values(variant).items()}
        points[record.number] = points.get(record.number, {}) | metrics
        told = {"stage": record.stage, "round": record.number, "role": variant.role, **parameters(self.paths, variant)}
        lines = [f"| {name} | {value} |" for name, value in told.items()]
        table = "\n".join(["| name | value |", "|:--|:--|", *lines])
        _write(file, points, ("configuration", table, record.number))


def _write(file: Path, points: Mapping[int, Mapping[str, float]], words: tuple[str, str, int]) -> None:
    """One file of events: numbers by step, and a text by its name, at a step.

    By the library's records and not by its ``SummaryWriter``, whose queue to a thread makes a run of it 20 ms for one.
    """
    tensorboard = _library()
    event, summary = tensorboard.proto.event_pb2.Event, tensorboard.proto.summary_pb2.Summary
    name, text, step = words
    events = [event(file_version="brain.Event:2")]
    for at, values in points.items():
        named = [summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        events.append(event(step=at, summary=summary(value=named)))
    events.append(event(step=step, summary=tensorboard.summary.text(name, text)))
    records = tensorboard.RecordWriter(str(file))
    try:
        now = time.time()
        for each in events:
            each.wall_time = now
            records.write(each.SerializeToString())
    finally:
        records.close()


@cache
def _library() -> Any:
    """``tensorboardX``; it imports torch where it is there, for seconds, and is handed no tensors by us."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        import tensorboardX  # noqa: PLC0415
    finally:
        if hidden:
            del sys.modules["torch"]
    return tensorboardX


def runs(folder: Path) -> list[str]:
    """Names of the variants whose runs are there whole."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(each.name for each in there if not each.name.startswith(".") and each.name != ROUNDS)
