"""The parts of a run: what a scheduler is handed, as it looks nothing up."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from numerai_ray.experiment.baselines import BaselineStore
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.rounds.candidates import Search
from numerai_ray.rounds.samplers import Sampler
from numerai_ray.rounds.start import RoundStart
from numerai_ray.rounds.time_model import Expected
from numerai_ray.runners.base import Progress, RoundRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.spec import FitSpec, VariantPlan


class Watcher(Protocol):
    """Shows what happens; never decides anything."""

    def round_started(self, start: RoundStart) -> None: ...

    def trial_progress(self, progress: Progress) -> None: ...

    def round_decided(self, record: RoundRecord) -> None: ...


Reporter = Callable[[Sequence[RoundRecord]], object]


def unknown_time(plans: Sequence[VariantPlan], cores: int) -> Expected | None:
    """The estimate of a machine that nothing was measured on."""
    del plans, cores
    return None


def nothing_stored(fit: FitSpec) -> bool:
    """The store of someone who has none."""
    del fit
    return False


def no_archive(search: Search) -> None:
    """Keeps nothing beside the ledger."""
    del search


@dataclass(frozen=True)
class RunParts:
    """What a scheduler is handed: it looks nothing up.

    ``estimate`` gives what a round of these trials takes on so many cores, if it is known; ``archive`` is given what is
    known after every round; ``stored`` tells whether a fit need not be trained; ``baselines`` holds
    results of baselines that were run once for all experiments, None where nobody keeps any.
    """

    paths: ExperimentPaths
    catalog: Catalog
    runner: RoundRunner
    proposer: Sampler
    reporter: Reporter
    watcher: Watcher
    estimate: Callable[[Sequence[VariantPlan], int], Expected | None] = unknown_time
    archive: Callable[[Search], object] = no_archive
    stored: Callable[[FitSpec], bool] = nothing_stored
    baselines: BaselineStore | None = None
