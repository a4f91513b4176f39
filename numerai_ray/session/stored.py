"""Stored experiment: table, predictions and per-era scores as frames, pictures, and trained models."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from numerai_ray.config import Config, parse_yaml, read_text, validate
from numerai_ray.config.plan import LoadedPlan
from numerai_ray.config.plan_schema import ExperimentPlan
from numerai_ray.data.columns import UNREADABLE
from numerai_ray.data.eras import Holdout
from numerai_ray.errors import DataError, RequestError, nearest
from numerai_ray.experiment.decision import is_finished, last_compared
from numerai_ray.experiment.ledger import read_ledger, remembered_of
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.results import read_results
from numerai_ray.experiment.scores import ScoreReader, StoredScores
from numerai_ray.experiment.variant_files import AGAIN
from numerai_ray.models import rule_of
from numerai_ray.session.foreign import foreign_table
from numerai_ray.session.places import open_experiment
from numerai_ray.session.plotting import ExperimentPlots
from numerai_ray.session.shown import COLUMNS, experiment_html, leaderboard_rows
from numerai_ray.system.storage import DATA_ROOT_VARIABLE, place
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.fitted_fold import FoldModel, fit_of, fold_model
from numerai_ray.training.store.fits import FitStore

# Where the official schema of a predictions file has the score target: id, era, target, prediction, cv_fold.
OFFICIAL_TARGET = 2


class StoredExperiment:
    """What an experiment's folder holds, read and never changed."""

    def __init__(self, paths: ExperimentPaths, rounds: tuple[RoundRecord, ...]):
        self.paths = paths
        self.rounds = rounds

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The experiment in ``folder``.

        Raises:
            RequestError: no experiment is there.
            DataError: its ledger is damaged.

        """
        paths = ExperimentPaths(Path(folder))
        if not paths.plan.is_file():
            raise RequestError(f"{folder}: no experiment.yaml there; give the folder of an experiment")
        return cls(paths, tuple(read_ledger(paths.ledger)))

    @property
    def loaded(self) -> LoadedPlan:
        """The plan with everything it refers to, read from its files now; raises :class:`ConfigError`."""
        return open_experiment(self.paths.root)[1]

    @property
    def plan(self) -> ExperimentPlan:
        """``experiment.yaml`` as typed objects; raises :class:`ConfigError`."""
        return self.loaded.plan

    @cached_property
    def plot(self) -> ExperimentPlots:
        """Pictures as matplotlib figures: ``experiment.plot.cumulative()`` and others."""
        return ExperimentPlots(self)

    def refresh(self) -> Self:
        """See rounds that were decided since it was loaded."""
        self.rounds = tuple(read_ledger(self.paths.ledger))
        return self

    def foreign(self) -> pd.DataFrame:
        """Predictions of others that were added, by id: primary, bmc_mean, corr_mean, corr_with_benchmark, flags."""
        return foreign_table(self.paths)

    def stored_scores(self, variant: str) -> StoredScores:
        """Per-era scores of a variant, benchmark or foreign predictions, as its results file has them.

        Raises:
            DataError: its file is missing or damaged.

        """
        name = self.id_of(variant)
        stored = ScoreReader(self.paths).read(name)
        if stored is None:
            raise DataError(f"{self.paths.results(name)}: missing or damaged; {self._why_none(name)}")
        return stored

    @property
    def name(self) -> str:
        """The folder's."""
        return self.paths.root.resolve().name

    @property
    def finished(self) -> bool:
        """Whether the final stage was decided and, where eras were kept out, the holdout scored after it."""
        return is_finished(self.rounds)

    @property
    def best(self) -> str | None:
        """Id of the last decision's winner, a holdout aside, which decides nothing; None before the first."""
        last = last_compared(self.rounds)
        return None if last is None else last.decision.winner

    def table(self) -> pd.DataFrame:
        """Every configuration that ran, each once a stage, latest stage first, best first in it.

        Indexed by id (text). Scores and differences are means of per-era scores (float64): ``primary`` is what decides
        (mean BMC of the last scored eras unless the plan says otherwise); ``delta`` the difference to the round's base,
        with its interval and ``verdict``; ``verdict_overall`` is that against the experiment's base over all scored
        eras, as what all rounds found. ``changes`` (config path to value) are relative to the experiment's base;
        ``fits_new`` and ``fits_stored`` count fits, ``fit_seconds`` are those of the new ones. Unknown is NaN.
        """
        return pd.DataFrame(leaderboard_rows(self.paths, self.rounds), columns=COLUMNS).set_index("id")

    def oof(self, variant: str | None) -> pd.DataFrame:
        """Out-of-fold predictions of a variant, one row an id, in the order of the data file.

        Returns:
            ``id`` and ``era`` (text, as Numerai writes them, "0575"), the score target under its own name
            (``target_ender_20``, for instance) and once more as ``target`` (both float32, 0 to 1, NaN where it is not
            known yet), ``prediction`` (float64, on the scale that the model gives), ``cv_fold`` (int, from 0).

        Raises:
            RequestError: no such variant.
            DataError: its file is missing.

        """
        name = self.id_of(variant)
        path = self.paths.predictions(name)
        try:
            found = pd.read_parquet(path)
        except FileNotFoundError:
            raise DataError(f"{path}: missing; {self._why_none(name)}") from None
        except UNREADABLE as error:
            raise DataError(f"{path}: damaged; {self._why_none(name)}") from error
        official = found.columns[OFFICIAL_TARGET]
        if "target" not in found:
            found.insert(OFFICIAL_TARGET + 1, "target", found[official])
        return found

    def per_era(self, variant: str | None) -> pd.DataFrame:
        """Scores of a variant or benchmark by era.

        Returns:
            By the number of the era (int, a week each): ``corr``, ``bmc``, ``corr_with_benchmark``, and ``mmc`` where
            it is known (float64, correlations and contributions of that one era); NaN where unknown.

        Raises:
            RequestError: no such variant.
            DataError: its file is missing or damaged.

        """
        stored = self.stored_scores(self.id_of(variant))
        scores = stored.scores
        columns = {"corr": scores.corr, "bmc": scores.bmc, "corr_with_benchmark": scores.benchmark_corr}
        if not np.isnan(scores.mmc).all():
            columns["mmc"] = scores.mmc
        return pd.DataFrame(columns, index=pd.Index(stored.eras, name="era"))

    def model(
        self, variant: str, fold: int, *, part: str | None = None, data: str | Path | None = None, train: bool = False
    ) -> FoldModel:
        """The trained model of a fold, where the plan said ``keep_models: true``.

        Models of scikit-learn and of your own are pickles: reading one runs code.

        Args:
            variant: its id, or a name that one variant has.
            fold: from 0, as in the column ``cv_fold``.
            part: tells fits of one fold apart (member, target, seed); only where there are several.
            data: the data root, else ``$NUMERAI_RAY_DATA``, else ``./data``.
            train: train it here where it is not kept.

        Returns:
            The model with the names of its features; ``native`` is the library's own object.

        Raises:
            RequestError: no such variant, fold or part.
            DataError: the model is not kept, or the data or libraries are others than those that it was trained with.

        """
        name = self.id_of(variant)
        stage = next(record.stage for record in self.rounds for each in record.variants if each.id == name)
        root = place(data or os.environ.get(DATA_ROOT_VARIABLE) or "data")
        kept_out = parse_yaml(read_text(self.paths.plan), str(self.paths.plan)).get("holdout_eras")
        origins = [each.origin for each in self.rounds]
        held = Holdout(kept_out) if kept_out else None
        catalog = Catalog(root, self.paths.root, held, rule=rule_of(origins), remembered=remembered_of(origins))
        config = validate(Config, self.config(name), str(self.paths.config(name)))
        plan = catalog.plan(name, f"{self.name}/{name}", config, kept=stage == "holdout")
        spec = fit_of(plan, fold, part)
        folds = self.results(name)["cv"]["folds"]
        if {fit["fit"] for each in folds for fit in (each, *each.get("fits", ()))}.isdisjoint(spec.names):
            raise DataError(
                f"{self.name}, {name}: what was trained cannot be found again: the data file, the versions of the "
                f"libraries or holdout_eras are others now; go back to those, or run the round again"
            )
        return fold_model(spec, FitStore.below(root, keep_models=True), train=train)

    def config(self, variant: str | None) -> dict[str, Any]:
        """The complete configuration of a variant, as it ran."""
        path = self.paths.config(self.id_of(variant))
        return parse_yaml(read_text(path), str(path))

    def results(self, variant: str | None) -> dict[str, Any]:
        """A variant's results in the official pipeline's schema.

        Raises:
            RequestError: no such variant.
            DataError: its file is missing or damaged.

        """
        name = self.id_of(variant)
        path = self.paths.results(name)
        try:
            return read_results(path)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: missing or damaged; {self._why_none(name)}") from error

    def id_of(self, variant: str | None) -> str:
        """The id of a variant given by its id, or by a name that only one has.

        Raises:
            RequestError: none or several have it.

        """
        ids = {each.id: each.name for record in self.rounds for each in record.variants}
        ids |= dict.fromkeys(self.paths.foreign_ids(), "")
        if variant in ids:
            return variant
        named = sorted({each.id for record in self.rounds for each in record.variants if each.name == variant})
        if len(named) == 1:
            return named[0]
        if named:
            raise RequestError(f"{self.name}: {variant!r} ran in several rounds; give one of {', '.join(named)}")
        if variant is None or not ids:
            raise RequestError(f"{self.name}: no variant {variant!r}; {len(self.rounds)} rounds are decided so far")
        begun = [each for each in ids if each.startswith(variant)]
        hint = f"; did you mean {', '.join(begun[:3])}?" if begun else nearest(variant, [*ids])
        raise RequestError(f"{self.name}: no variant {variant!r}{hint}")

    def _why_none(self, trial: str) -> str:
        """Why a variant may have no file, and what to do."""
        found = next((each for record in self.rounds for each in record.variants if each.id == trial), None)
        if found is None:
            return "add these predictions again"
        if found.error is not None:
            return f"the trial failed: {found.error}"
        if found.pruned is not None:
            return f"the trial was {found.pruned}"
        if found.role == "benchmark":
            return "a benchmark's predictions are a column of the benchmark file"
        return AGAIN.format(self.paths.root)

    def __repr__(self) -> str:
        count = "1 round" if len(self.rounds) == 1 else f"{len(self.rounds)} rounds"
        return f"<Experiment {self.name}: {count}{', finished' if self.finished else ''}>"

    def _repr_html_(self) -> str:
        return experiment_html(self)
