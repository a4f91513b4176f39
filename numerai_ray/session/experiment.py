"""Experiment: one line of inquiry as an object: written, run, read as frames, drawn, exported."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import pandas as pd

from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.progress.terminal import Console, say
from numerai_ray.report.trackers import check_trackers
from numerai_ray.session.authoring import Dimensions, PlanSettings, write_plan
from numerai_ray.session.evaluate import Scoring
from numerai_ray.session.exporting import ExportAsked, export_variant
from numerai_ray.session.foreign import TrainEras, add_foreign
from numerai_ray.session.opening import Session
from numerai_ray.session.places import answering, data_place, data_root, open_experiment, writable_folder
from numerai_ray.session.running import HowFar, forecast_of, known_stage, run_round, run_rounds
from numerai_ray.session.settings import check_named, first_era
from numerai_ray.session.shown import Forecast
from numerai_ray.session.status import status_json
from numerai_ray.session.stored import StoredExperiment
from numerai_ray.system.storage import place

if TYPE_CHECKING:
    from numerai_ray.submission.container.verify import Verification


class RunSettings(TypedDict, total=False):
    """How rounds run, as the command line's flags say it.

    ``data`` is the data root (else ``$NUMERAI_RAY_DATA``, else ``./data``); ``address`` a running Ray cluster;
    ``in_process`` runs without Ray, one fit at a time; ``results`` the experiment's copy (a folder or a URL);
    ``accept_suspect`` lets a variant win although it looks like a leak; ``mlflow`` a tracking server;
    ``wandb`` a project of Weights & Biases; ``on_event`` is called with every event that ``run --json`` prints;
    ``quiet`` shows no progress.
    """

    data: str | Path | None
    address: str | None
    in_process: bool
    results: str | None
    accept_suspect: bool
    mlflow: str | None
    wandb: str | None
    on_event: Callable[[Mapping[str, Any]], object] | None
    quiet: bool


class Experiment(StoredExperiment):
    """One experiment: its folder, and what is decided so far.

    >>> from numerai_ray import Dimension, Experiment
    >>> experiment = Experiment.create(
    ...     "experiments/leaves",
    ...     idea="Smaller trees carry signal that the benchmark does not have.",
    ...     novelty="Nobody has mapped the size of trees on this market.",
    ...     dimensions=[Dimension("model.params.num_leaves", [15, 63])],
    ...     base={"model": {"params": {"n_estimators": 20, "num_leaves": 7}}},
    ...     baseline="quickstart_lgbm_ender20",
    ...     data_version="tiny",
    ...     stages={"scout": {"data": "full"}},
    ... )
    >>> experiment.run(rounds=1, in_process=True, quiet=True)
    <Experiment leaves: 1 round>
    >>> experiment.table().index.tolist()[-1] in experiment.table().index
    True

    The file ``experiment.yaml`` stays the truth: the command line goes on with what was begun here, and the reverse.
    Make one with :meth:`create` or :meth:`load`; :attr:`plot` draws it. It shows what was decided when it was loaded or
    last run: :meth:`refresh` sees rounds that somebody else decided since.
    """

    def __init__(self, paths: ExperimentPaths, rounds: tuple[RoundRecord, ...]):
        super().__init__(paths, rounds)
        self._last_run: RunSettings = {}

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        idea: str,
        novelty: str,
        dimensions: Dimensions = (),
        base: Mapping[str, Any] | None = None,
        **settings: Unpack[PlanSettings],
    ) -> "Experiment":
        """Write ``experiment.yaml`` in ``folder``; run again in a notebook, the same plan changes nothing.

        Args:
            folder: of the experiment, by convention ``experiments/NAME``.
            idea: what should help, and why.
            novelty: what nobody has tried yet.
            dimensions: what rounds vary, in their order; a mapping names them, else the end of each path does.
            base: changes on top of the baseline's config, with :class:`Model` wherever a ``model`` section may stand.
            **settings: see :class:`PlanSettings`.

        Returns:
            The experiment, with the rounds that were decided before.

        Raises:
            ConfigError: everything that is wrong with the plan, at once; nothing is left behind.
            RequestError: another plan is there already.

        """
        sentences = {"idea": idea, "novelty": novelty}
        return cls.load(write_plan(Path(folder), sentences, base or {}, dimensions, settings).root)

    def run(
        self,
        rounds: int | None = None,
        *,
        stop_after: str | None = None,
        extend: bool = False,
        **settings: Unpack[RunSettings],
    ) -> "Experiment":
        """Run from wherever it stands: to its end, for so many ``rounds`` more, or until a stage is over.

        An interrupt stops it; the next call, or ``numerai-ray run``, goes on. Trials that fail are in :meth:`table`.

        Args:
            rounds: how many more; None: all that are left.
            stop_after: the stage after which it stops, "scout" for instance.
            extend: go on scouting after the search has ended.
            **settings: see :class:`RunSettings`.

        Returns:
            This experiment, which sees what was decided.

        Raises:
            RequestError: the plan, the data or the machine will not do; nothing was trained.
            FitError: a round cannot be decided.
            KeyboardInterrupt: it was interrupted; everything that was decided is kept.

        """
        if rounds is not None and rounds < 1:
            raise RequestError(f"rounds must be 1 or more, but is {rounds}")
        session = self._session(settings)
        how_far = HowFar(rounds, known_stage(stop_after, session.loaded), settings.get("accept_suspect", False), extend)
        self._last_run = settings
        try:
            run_rounds(session, how_far)
        finally:
            self.refresh()
        return self

    def resume(self, **changes: Unpack[RunSettings]) -> "Experiment":
        """Go on to the end, with the settings of the last :meth:`run` in this process and ``changes`` to them."""
        settings: RunSettings = {**self._last_run, **changes}
        return self.run(**settings)

    def round(self, vary: Mapping[str, Sequence[Any]], **settings: Unpack[RunSettings]) -> "Experiment":
        """Run one scout round of one variable around the best so far: ``vary={"model.params.num_leaves": [15, 63]}``.

        Raises:
            RequestError: more than one variable, or values that are refused; nothing was trained.
            FitError: the round cannot be decided.

        """
        if len(vary) != 1:
            raise RequestError(f"vary: a round varies one variable, but {len(vary)} are given; run a round for each")
        path, values = next(iter(vary.items()))
        self._last_run = settings
        try:
            run_round(self._session(settings), path, list(values), accept_suspect=settings.get("accept_suspect", False))
        finally:
            self.refresh()
        return self

    def forecast(self, *, calibrate: bool = True, **settings: Unpack[RunSettings]) -> Forecast:
        """What a run will do: stages, first rounds, fits, time, memory. ``calibrate`` trains a few trees for the time.

        Raises:
            RequestError: the plan or the data will not do.

        """
        return Forecast(forecast_of(self._session(settings), calibrate=calibrate))

    def status(self) -> dict[str, Any]:
        """What ``numerai-ray status --json`` tells: state, best, decided rounds, the running one, report."""
        return status_json(self.paths, self.paths.root)

    def report(self, *, start_era: int | str | None = None) -> Path:
        """Write the report again, and give the path of ``experiment.md``; ``report.html`` is beside it.

        With a ``start_era`` its cumulative pictures begin there.

        Raises:
            RequestError: no round is decided yet.

        """
        from numerai_ray.report.writer import write_report

        first = first_era(start_era)
        if not self.refresh().rounds:
            raise RequestError(f"{self.name}: no round is decided yet; run it first")
        return write_report(self.loaded, self.paths, self.rounds, first)

    def export(
        self,
        out: str | Path,
        variant: str | None = None,
        *,
        python: str | None = None,
        **settings: Unpack[RunSettings],
    ) -> "Verification":
        """Refit a variant into a pickle for Numerai, proved in its container's Python.

        Args:
            out: the pickle's path.
            variant: its id or name; the winner without one.
            python: the container's, "3.12" for instance; else that of the command line.
            **settings: see :class:`RunSettings`; what concerns rounds alone is of no use here.

        Returns:
            What was found: ``ok``, else ``problems``; ``agreement`` with our own predictions.

        Raises:
            RequestError: no such variant, or the container cannot run it; nothing was written.
            FitError: training failed.

        """
        from numerai_ray.submission.export.packing import pickle_path

        check_named(RunSettings, settings, self.name)
        given, path = settings.get("data"), pickle_path(Path(out))
        writable_folder(path.parent, "out")
        asked = ExportAsked(
            path,
            variant,
            python,
            lambda: data_root(None if given is None else str(given)),
            settings.get("address"),
            in_process=settings.get("in_process", False),
        )
        shown = _nothing if settings.get("quiet") else say
        return export_variant(self.paths, self.loaded, asked, shown)

    def add_predictions(
        self, name: str, predictions: Any, *, train_eras: TrainEras = None, scoring: Scoring | None = None
    ) -> pd.DataFrame:
        """Put predictions of somebody else beside the variants; they are marked so, and decide nothing.

        Args:
            name: what they are called; :meth:`oof`, :meth:`per_era` and :attr:`plot` know them as ``foreign-NAME``.
            predictions: as :func:`evaluate` takes them, out of fold; a column ``cv_fold`` says of which.
            train_eras: by fold, the eras that its model was trained on; with them it is checked that no training label
                overlaps a label that is predicted.
            scoring: see :class:`Scoring`; what it leaves out is as in the experiment's own latest stage.

        Returns:
            :meth:`foreign`: one row a name, with metrics and flags; one that begins with ``suspect`` is a leak.

        Raises:
            RequestError, DataError: the name or the predictions will not do; nothing was written.

        """
        add_foreign(self, name, predictions, train_eras, scoring or {})
        return self.foreign()

    def _session(self, settings: RunSettings) -> Session:
        check_named(RunSettings, settings, self.name)
        data, results = settings.get("data"), settings.get("results")
        given = None if data is None else str(data)
        paths, loaded = open_experiment(self.paths.root, given)
        root = data_place(given, made_here=loaded.plan.market is not None)
        mlflow, wandb = settings.get("mlflow"), settings.get("wandb")
        check_trackers(mlflow, wandb)
        return Session(
            paths,
            loaded,
            root,
            Console(),
            settings.get("address"),
            in_process=settings.get("in_process", False),
            mlflow=mlflow,
            wandb=wandb,
            results=None if results is None else answering(place(results), "results"),
            on_event=settings.get("on_event"),
            quiet=settings.get("quiet", False),
        )


def _nothing(text: str) -> None:
    del text
