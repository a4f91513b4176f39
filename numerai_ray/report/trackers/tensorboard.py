"""TensorBoard: a run a variant below ``logs/tensorboard``; ``tensorboard --logdir EXP/logs/tensorboard`` shows them."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.report.trackers.facts import by_round, cumulative, metric_values, new_variants, parameters

# The run of the experiment as a whole. No variant has this name: theirs begin with their round.
ROUNDS = "rounds"


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
        make_writer = _writer()
        for record in undrawn:
            self._add_round(make_writer, history, record)
        reader = ScoreReader(self.paths)
        for record, variant in missing:
            partial = self.paths.tensorboard / f".{variant.id}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            writer = make_writer(str(partial), write_to_disk=True)
            try:
                self._write(writer, record, variant, reader)
            finally:
                writer.close()
            # A run is there whole or not at all, so that the next call knows what is missing.
            partial.replace(self.paths.tensorboard / variant.id)

    def _curves(self, record: RoundRecord) -> Path:
        """The file with a round's points of the curves over rounds; TensorBoard reads a run's files in this order."""
        return self.paths.tensorboard / ROUNDS / f"events.out.tfevents.{record.number:010d}"

    def _add_round(self, make_writer: Any, history: Sequence[RoundRecord], record: RoundRecord) -> None:
        partial = self.paths.tensorboard / f".{ROUNDS}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        writer = make_writer(str(partial), write_to_disk=True)
        try:
            for name, points in by_round(history).items():
                for number, value in points:
                    if number == record.number:
                        writer.add_scalar(name, value, number)
            writer.add_text("decision", record.decision.reason, record.number)
        finally:
            writer.close()
        (written,) = partial.iterdir()
        self._curves(record).parent.mkdir(parents=True, exist_ok=True)
        written.replace(self._curves(record))
        partial.rmdir()

    def _write(self, writer: Any, record: RoundRecord, variant: VariantRecord, reader: ScoreReader) -> None:
        for name, value in metric_values(variant).items():
            writer.add_scalar(f"metrics/{name}", value, record.number)
        for name, sums in cumulative(reader, variant).items():
            for era, value in sums:
                writer.add_scalar(f"per_era/{name}", value, era)
        told = {"stage": record.stage, "round": record.number, "role": variant.role, **parameters(self.paths, variant)}
        lines = [f"| {name} | {value} |" for name, value in told.items()]
        writer.add_text("configuration", "\n".join(["| name | value |", "|:--|:--|", *lines]), record.number)


def _writer() -> Any:
    """``SummaryWriter``; tensorboardX imports torch where it is there, for seconds, and is handed no tensors by us."""
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        from tensorboardX import SummaryWriter  # noqa: PLC0415
    finally:
        if hidden:
            del sys.modules["torch"]
    return SummaryWriter


def runs(folder: Path) -> list[str]:
    """Names of the variants whose runs are there whole."""
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted(each.name for each in there if not each.name.startswith(".") and each.name != ROUNDS)
