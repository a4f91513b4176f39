"""Subject: what pictures, pages and comparisons ask of an experiment, and its winner that others are held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.decision import last_compared
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import ScoreReader, StoredScores
from numerai_ray.experiment.variant_files import AGAIN
from numerai_ray.session.places import experiment_paths

if TYPE_CHECKING:
    import pandas as pd


class Subject(Protocol):
    """An experiment that can be read; :class:`numerai_ray.Experiment` is one."""

    @property
    def paths(self) -> ExperimentPaths: ...

    @property
    def rounds(self) -> Sequence[RoundRecord]: ...

    @property
    def name(self) -> str: ...

    @property
    def finished(self) -> bool: ...

    @property
    def loaded(self) -> LoadedPlan: ...

    def table(self) -> pd.DataFrame: ...

    def id_of(self, variant: str | None) -> str: ...

    def stored_scores(self, variant: str) -> StoredScores: ...


def paths_of(experiment: str | Path | Subject) -> ExperimentPaths:
    """The files of an experiment given as a folder or an object; raises :class:`RequestError` where there is none."""
    if isinstance(experiment, str | Path):
        return experiment_paths(Path(experiment))
    return experiment.paths


def winner_of(experiment: str | Path | Subject) -> tuple[str, StoredScores]:
    """Name and per-era scores of an experiment's best in the latest stage that it reached, a holdout aside.

    Raises:
        RequestError: no round is decided.
        DataError: its results file is missing or damaged.

    """
    paths = paths_of(experiment)
    last = last_compared(read_ledger(paths.ledger))
    if last is None or last.decision.winner is None:
        raise RequestError(f"{paths.root}: no round is decided yet; start with `numerai-ray run {paths.root}`")
    stored = ScoreReader(paths).read(last.decision.winner)
    if stored is None:
        raise DataError(f"{paths.results(last.decision.winner)}: missing or damaged; {AGAIN.format(paths.root)}")
    return f"{paths.root.resolve().name} ({last.stage})", stored
