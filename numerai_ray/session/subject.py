"""Subject: what pictures, pages and comparisons ask of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import StoredScores

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
