"""``Ensemble`` of the Python API: search combinations of what experiments hold, and read what was found."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from numerai_ray.config import Config, parse_yaml, read_text, validate
from numerai_ray.config.validation import Name
from numerai_ray.config.yaml_files import yaml_text
from numerai_ray.data.eras import least_honest_gap
from numerai_ray.ensembles.candidates import experiment_folders, gather
from numerai_ray.ensembles.confirmation import confirm, judge_gain
from numerai_ray.ensembles.costs import Cost, costs_of, room_of, that_fit
from numerai_ray.ensembles.deployment import deployable, ensemble_config
from numerai_ray.ensembles.evaluation import BLOCKS, refused_blend, walk_forward
from numerai_ray.ensembles.outcome import Found, is_ensemble, read_outcome, results_of, write_predictions
from numerai_ray.ensembles.panel import open_panel
from numerai_ray.ensembles.search import Limits
from numerai_ray.ensembles.sources import all_found
from numerai_ray.ensembles.statistics import statistics_of
from numerai_ray.errors import RequestError
from numerai_ray.experiment.baselines import BaselineStore
from numerai_ray.experiment.paths import EnsemblePaths
from numerai_ray.submission.container.containers import MEMORY_BYTES, SECONDS
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import write_json
from numerai_ray.system.storage import DATA_ROOT_VARIABLE, Place, place
from numerai_ray.training.catalog import Catalog

OnStep = Callable[[str], None]
MEMBERS = 8
CONTAINER = Cost(MEMORY_BYTES, SECONDS)


@dataclass(frozen=True)
class SearchOrder:
    """What to search: folders of ``experiments`` (or folders that hold some), for the ensemble's folder ``out``.

    Target and benchmark are read below the data root ``root``. The ensemble has at most ``members``, with at most
    ``needs`` distinct feature sets (None: any), and is reported in ``blocks`` of later eras. With ``baselines``, those
    that are kept below the data root are candidates, too. The whole takes at
    most what the ``container`` has. ``asked`` is written beside what was found.
    """

    experiments: Sequence[Path]
    out: Path
    root: Place
    members: int = MEMBERS
    needs: int | None = None
    blocks: int = BLOCKS
    baselines: bool = True
    container: Cost = CONTAINER
    asked: Mapping[str, Any] = field(default_factory=dict)


class Ensemble:
    """A combination of what experiments predicted, in its folder; make one with :meth:`search`, read with :meth:`load`.

    Where an experiment lies in ``experiments/leaves`` (that of :class:`numerai_ray.Experiment`'s example):

    >>> from numerai_ray import Ensemble
    >>> ensemble = Ensemble.search(["experiments/leaves"], "ensembles/leaves", members=3, blocks=2)
    >>> round(sum(ensemble.weights.values()), 6), len(ensemble.blocks())
    (1.0, 2)
    >>> ensemble.verdict in ("clear gain", "inside the noise", "clear loss", "no difference", "unknown")
    True
    >>> ensemble.oof().columns.tolist()
    ['id', 'era', 'target_ender_20', 'prediction', 'chosen_on']
    >>> Ensemble.load("ensembles/leaves").weights == ensemble.weights
    True

    Chosen on earlier eras and reported on later ones; nothing is trained. The folder is never changed afterwards.
    """

    def __init__(self, paths: EnsemblePaths, value: dict[str, Any]):
        self.paths = paths
        self.value: dict[str, Any] = value["ensemble"]

    @classmethod
    def search(
        cls,
        experiments: Sequence[str | Path],
        out: str | Path,
        *,
        data: str | Path | None = None,
        members: int = MEMBERS,
        feature_sets: int | None = None,
        blocks: int = BLOCKS,
    ) -> Self:
        """Search combinations of all that the experiments predicted, judge the best on later eras, write its folder.

        Args:
            experiments: folders of experiments, or folders that hold some.
            out: the ensemble's folder; its last part is the name.
            data: the data root, else ``$NUMERAI_RAY_DATA``, else ``./data``; target and benchmark are read from it.
            members: how many it may have at most; the whole also fits Numerai's container.
            feature_sets: how many distinct ones they may read; None is any.
            blocks: in how many blocks of later eras it is chosen anew and reported.

        Returns:
            The ensemble, whose folder is written.

        Raises:
            RequestError: fewer than two candidates, or too few eras in common.
            DataError: a file is missing or damaged, or the data are others than the experiments'.

        """
        root = place(data or os.environ.get(DATA_ROOT_VARIABLE) or "data")
        folders = [Path(each) for each in experiments]
        return cls(*_found(SearchOrder(folders, Path(out), root, members, feature_sets, blocks)))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The ensemble in ``folder``.

        Raises:
            RequestError: none is there, or it is damaged.

        """
        paths = EnsemblePaths(Path(folder))
        if not is_ensemble(paths.root):
            raise RequestError(
                f"{folder}: no ensemble.yaml there; make one with `numerai-ray ensemble EXP… --out NAME`"
            )
        return cls(paths, read_outcome(paths))

    @property
    def name(self) -> str:
        """The folder's."""
        return self.paths.name

    @property
    def verdict(self) -> str:
        """Whether the gain over the best single model is clear of the noise on later eras."""
        return str(self.value["verdict"])

    @property
    def weights(self) -> dict[str, float]:
        """Weight by member, largest first."""
        return {member["name"]: member["weight"] for member in self.value["members"]}

    @property
    def config(self) -> Config:
        """The ensemble as a config, without members of which there are predictions alone.

        Raises:
            ConfigError: there is none, as no member can be trained, or it is damaged.

        """
        source = str(self.paths.recipe)
        return validate(Config, parse_yaml(read_text(self.paths.recipe), source), source)

    def members(self) -> pd.DataFrame:
        """A row a member, largest weight first: where it is from, its BMC, what is lost without it."""
        return pd.DataFrame(self.value["members"]).set_index("name")

    def blocks(self) -> pd.DataFrame:
        """A row a block of later eras: what was chosen before it, and how it and its rivals scored there."""
        rows = [
            {"first": block["reported"]["first"], "last": block["reported"]["last"], **block}
            for block in self.value["blocks"]
        ]
        return pd.DataFrame(rows).drop(columns=["chosen", "reported"])

    def per_era(self) -> pd.DataFrame:
        """BMC and CORR by era: of the ensemble delivered, and on later eras of what was chosen before them."""
        table = pd.DataFrame(self.value["per_era"])
        return table.assign(era=table["era"].astype(int)).set_index("era").astype(float)

    def oof(self) -> pd.DataFrame:
        """The delivered ensemble's predictions, a row an id; ``chosen_on`` marks eras that it was chosen on."""
        return pd.read_parquet(self.paths.own_predictions)

    def __repr__(self) -> str:
        return f"<Ensemble {self.name}: {len(self.weights)} members, {self.verdict}>"


def ensemble_folder(name: str) -> Path:
    """Where ``--out NAME`` lies: a bare name below ``ensembles/``, a path where it says.

    Raises:
        RequestError: the last part cannot be a name.

    """
    path = Path(name)
    folder = path if len(path.parts) > 1 else Path("ensembles") / path
    try:
        TypeAdapter(Name).validate_python(folder.name)
    except ValidationError:
        rule = "must be a name of letters, digits and . _ = + - that begins with a letter or digit"
        raise RequestError(f"--out: {rule}, but is {folder.name!r}; give another") from None
    return folder


def search_ensemble(order: SearchOrder, on_step: OnStep = lambda _: None) -> Ensemble:
    """Search, judge, and write the ensemble's folder; see :meth:`Ensemble.search`. ``on_step`` is told what is done."""
    return Ensemble(*_found(order, on_step))


def _found(order: SearchOrder, on_step: OnStep = lambda _: None) -> tuple[EnsemblePaths, dict[str, Any]]:
    """The written folder and its results."""
    from numerai_ray.report.ensemble import write_ensemble_report

    paths = EnsemblePaths(order.out)
    kept = BaselineStore.below(order.root).all() if order.baselines else ()
    gathered = gather(that_fit(all_found(experiment_folders(order.experiments), kept), order.container))
    candidates = gathered.candidates
    smallest = min(candidates, key=lambda each: len(each.eras))
    index = Catalog(order.root).index(smallest.config.data)
    gap = least_honest_gap((smallest.config.score.target,))
    with open_panel(candidates, index, on_step) as panel:
        on_step(f"summing {len(panel.eras)} eras of {len(candidates)} candidates")
        stats = statistics_of(panel.scaled, panel.target, panel.benchmark, panel.eras, panel.era_starts)
        on_step("searching")
        room = room_of(order.container)
        limits = Limits(
            order.members,
            order.needs,
            gathered.kinds,
            costs_of(candidates),
            np.array([room.memory_bytes, room.seconds]),
        )
        evaluation = walk_forward(stats, limits, gap, order.blocks)
        confirmed = confirm(panel, stats, evaluation, on_step)
        judgement = judge_gain(panel, evaluation, confirmed, gap - 1, len(candidates))
        own = deployable(evaluation.delivered.blend, candidates)
        config = None if own is None else ensemble_config(own, candidates, str(paths.recipe))
        refused = refused_blend(stats, evaluation.delivered, limits)
        told = (order.out, order.asked, order.container)
        found = Found(gathered, stats, evaluation, confirmed, judgement, config, gap, *told, refused)
        on_step("writing the report")
        # An ensemble that is made again is none until its page is there.
        for stale in (paths.recipe, paths.html):
            stale.unlink(missing_ok=True)
        write_predictions(paths.own_predictions, found, panel)
        write_json(paths.own_results, results_of(found, panel, paths.name))
    if config is not None:
        write_text(paths.recipe, yaml_text(config.to_json()))
    write_ensemble_report(paths)
    return paths, read_outcome(paths)
