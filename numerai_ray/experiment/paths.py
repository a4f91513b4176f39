"""Paths: the name of every file of an experiment."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from numerai_ray.system.files import write_text

# Ids of predictions of others that were added to an experiment begin so.
FOREIGN = "foreign-"


@dataclass(frozen=True)
class ExperimentPaths:
    """Every file name of an experiment's folder."""

    root: Path

    @property
    def plan(self) -> Path:
        return self.root / "experiment.yaml"

    @property
    def ledger(self) -> Path:
        return self.root / "results" / "rounds.jsonl"

    @property
    def seen_plan(self) -> Path:
        """The plan as the last run read it, to tell what was edited since."""
        return self.root / "results" / "plan.json"

    @property
    def eras(self) -> Path:
        """How the eras looked that the experiment keeps to."""
        return self.root / "results" / "eras.json"

    @property
    def calibration(self) -> Path:
        """How long fits take here, measured by `plan`."""
        return self.root / "results" / "calibration.json"

    @property
    def rechecks(self) -> Path:
        """Scores of eras that came after the last decision, a line a recheck; only ever added to."""
        return self.root / "results" / "rechecks.jsonl"

    @property
    def journal(self) -> Path:
        """Optuna's studies."""
        return self.root / "optuna.journal"

    @property
    def report(self) -> Path:
        return self.root / "experiment.md"

    def model_source(self, name: str) -> Path:
        """The file of a model that was written in a notebook or script; ``model.type`` names it as ``models/…``."""
        return self.root / "models" / f"{name}.py"

    @property
    def notes(self) -> Path:
        """What people wrote about it, a note a line."""
        return self.root / "notes.jsonl"

    @property
    def progress(self) -> Path:
        return self.root / "logs" / "progress.json"

    @property
    def timeline(self) -> Path:
        """What the seconds of the last run with --profile went into, as a Chrome trace."""
        return self.root / "logs" / "timeline.json"

    @property
    def driver_log(self) -> Path:
        return self.root / "logs" / "driver.log"

    @property
    def events(self) -> Path:
        """What background runs print with --json, a line each."""
        return self.root / "logs" / "events.jsonl"

    @property
    def said(self) -> Path:
        """What the last background run said on stderr."""
        return self.root / "logs" / "run.log"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def identity(self) -> Path:
        """Tells this experiment's fits apart from those of others (see :mod:`numerai_ray.experiment.paths`)."""
        return self.root / ".experiment"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def plot_index(self) -> Path:
        """What was drawn from which data."""
        return self.plots / "plots.json"

    @property
    def html(self) -> Path:
        return self.root / "report.html"

    @property
    def tensorboard(self) -> Path:
        return self.root / "logs" / "tensorboard"

    @property
    def ensemble(self) -> Path:
        """Folder of the ensemble of its own variants, where the plan asks for one."""
        return self.root / "ensemble"

    @property
    def ensemble_results(self) -> Path:
        return EnsemblePaths(self.ensemble).own_results

    @property
    def ensemble_page(self) -> Path:
        return EnsemblePaths(self.ensemble).html

    @property
    def ensemble_failure(self) -> Path:
        return EnsemblePaths(self.ensemble).failure

    @property
    def wandb(self) -> Path:
        """Where Weights & Biases keeps its files, and all of them offline."""
        return self.root / "logs" / "wandb"

    @property
    def wandb_written(self) -> Path:
        """Which runs it was given."""
        return self.wandb / "written.json"

    @property
    def trials(self) -> Path:
        """Ray Tune's own folder."""
        return self.root / "logs" / "tune"

    def config(self, variant: str) -> Path:
        return self.root / "configs" / f"{variant}.yaml"

    def results(self, variant: str) -> Path:
        return self.root / "results" / f"{variant}.json"

    def predictions(self, variant: str) -> Path:
        return self.root / "predictions" / f"{variant}.parquet"

    def plot(self, name: str) -> Path:
        return self.plots / f"{name}.png"

    def trial_log(self, variant: str) -> Path:
        return self.root / "logs" / f"{variant}.log"

    def foreign_ids(self) -> list[str]:
        """Ids of the predictions of others that were added, in order."""
        return sorted(path.stem for path in self.results(FOREIGN).parent.glob(f"{FOREIGN}*.json"))


@dataclass(frozen=True)
class EnsemblePaths(ExperimentPaths):
    """File names of an ensemble's folder, laid out as an experiment's."""

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def recipe(self) -> Path:
        """The ensemble as a config."""
        return self.root / "ensemble.yaml"

    @property
    def report(self) -> Path:
        return self.root / "ensemble.md"

    @property
    def html(self) -> Path:
        return self.root / "ensemble.html"

    @property
    def own_results(self) -> Path:
        return self.results(self.name)

    @property
    def failure(self) -> Path:
        """Why the stage that was asked for an ensemble last made none; gone when it makes one."""
        return self.root / "not_made.json"

    @property
    def own_predictions(self) -> Path:
        return self.predictions(self.name)


def summary_file(folder: Path) -> Path:
    """The report over several experiments, in the folder that holds them."""
    return folder / "summary.md"


def history_file(folder: Path) -> Path:
    """What was worked out of the experiments in a folder, kept beside them; may be removed at any time."""
    return folder / ".history"


def experiment_identity(paths: ExperimentPaths) -> str:
    """Made once, and carried along when the experiment's folder moves or is renamed."""
    with suppress(OSError, ValueError):
        kept = paths.identity.read_text(encoding="utf-8").strip() if paths.identity.is_file() else ""
        if re.fullmatch("[0-9a-f]{32}", kept):
            return kept
    made = uuid4().hex
    write_text(paths.identity, f"{made}\n")
    return made
