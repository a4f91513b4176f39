"""Export of an experiment's variant: what a command and a notebook ask for, carried out by ``submission``."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from numerai_ray.config.plan import LoadedPlan
from numerai_ray.errors import RequestError
from numerai_ray.experiment.paths import EnsemblePaths, ExperimentPaths
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.system.process import start_over
from numerai_ray.system.storage import Place

if TYPE_CHECKING:
    from numerai_ray.submission.container.trial_run import LiveData
    from numerai_ray.submission.container.verify import Verification
    from numerai_ray.submission.export.choice import Choice
    from numerai_ray.submission.export.refit import RefitJob, Refitted


@dataclass(frozen=True)
class ExportAsked:
    """The pickle to write, of which variant (the winner without one), for which Python, trained where.

    The data root is looked for when it is known what is exported: a wrong request is refused for what is wrong with it.
    """

    out: Path
    variant: str | None
    python: str | None
    root: Callable[[], Path]
    address: str | None = None
    in_process: bool = False


def export_variant(
    paths: ExperimentPaths, loaded: LoadedPlan, asked: ExportAsked, on_step: Callable[[str], None]
) -> "Verification":
    """Refit a variant into a pickle that stands alone, proved for Numerai's container.

    Raises:
        RequestError: there is no such variant, or the container cannot run it; nothing was written.
        FitError: training failed.

    """
    from numerai_ray.experiment.ledger import read_ledger
    from numerai_ray.submission.export.choice import choose

    origins = [each.origin for each in read_ledger(paths.ledger)]
    return _export(paths, lambda: choose(paths, loaded.name, asked.variant), origins, asked, on_step)


def export_ensemble(folder: Path, asked: ExportAsked, on_step: Callable[[str], None]) -> "Verification":
    """Refit the members of an ensemble, each once, into one pickle that stands alone; raises as above."""
    return _export(EnsemblePaths(folder), lambda: choose_ensemble(folder, asked.variant), [], asked, on_step)


def _export(
    paths: ExperimentPaths,
    choosing: "Callable[[], Choice]",
    origins: Sequence[Mapping[str, str]],
    asked: ExportAsked,
    on_step: Callable[[str], None],
) -> "Verification":
    from numerai_ray.experiment.ledger import remembered_of
    from numerai_ray.models import rule_of
    from numerai_ray.submission.container.containers import DEFAULT_PYTHON, container_for
    from numerai_ray.submission.export.exporting import ExportOrder
    from numerai_ray.submission.export.exporting import export as export_model
    from numerai_ray.training.catalog import Catalog
    from numerai_ray.training.store.fits import FitStore

    container = container_for(asked.python or DEFAULT_PYTHON)
    choice, root = choosing(), asked.root()
    live = live_of(root, choice.config.data.version)
    order = ExportOrder(choice, paths, container, asked.out, live, FitStore.below(root))
    rule, remembered = rule_of(origins), remembered_of(origins)
    catalog = Catalog(root, paths.root, elsewhere=asked.address is not None, rule=rule, remembered=remembered)
    run_jobs = _run_jobs(paths, asked.address, in_process=asked.in_process)
    return export_model(order, catalog, run_jobs, on_step)


def _run_jobs(
    paths: ExperimentPaths, address: str | None, *, in_process: bool
) -> "Callable[[Sequence[RefitJob]], list[Refitted]]":
    from numerai_ray.submission.export.refit import in_process as run_here
    from numerai_ray.submission.export.refit import refit
    from numerai_ray.system.machine import this_machine

    if in_process:
        return partial(run_here, threads=this_machine().cores)

    def on_ray(jobs: "Sequence[RefitJob]") -> "list[Refitted]":
        from numerai_ray.runners.ray.fold_tasks import run_on_ray
        from numerai_ray.runners.ray.start import RaySettings

        settings = RaySettings(
            paths.trials, paths.driver_log, address, dashboard=False, experiment=paths.root.name, on_lost=start_over
        )
        return run_on_ray(refit, jobs, "refit", settings, lambda job: job.needs)

    return on_ray


def live_of(root: Place | None, version: str) -> "LiveData | None":
    """Live data of a data version, where it was downloaded."""
    from numerai_ray.submission.container.trial_run import LiveData

    if root is None:
        return None
    version_dir = root / version
    found = LiveData(version_dir / "live.parquet", version_dir / "live_benchmark_models.parquet")
    return found if found.complete else None


def choose_ensemble(folder: Path, part: str | None) -> "Choice":
    """An ensemble, or the ``best-N`` of its members, or ``library-N`` without models of the user's own, in proportion.

    Raises:
        RequestError: there is no such part, or the ensemble's results are damaged.
        ConfigError: its config is damaged.

    """
    from numerai_ray.ensembles.deployment import with_members
    from numerai_ray.ensembles.outcome import read_outcome
    from numerai_ray.experiment.score_values import per_era_scores
    from numerai_ray.submission.export.choice import Choice, refit_config
    from numerai_ray.training.outcome import metrics_by

    paths = EnsemblePaths(folder)
    outcome = read_outcome(paths)
    names: dict[str, list[str]] = {}
    light: dict[str, list[str]] = {}
    part_scores: dict[str, float] = {}
    for kind, found, listed in (("best", names, "parts"), ("library", light, "library_parts")):
        for each in outcome["ensemble"].get(listed, ()):
            name = f"{kind}-{len(each['members'])}"
            found[name], part_scores[name] = each["members"], _score(each["bmc_where_chosen"])
    alone = outcome["ensemble"].get("without_model", [])
    if alone and (part in (None, paths.name) or not names):
        told = f"of {', '.join(alone)} there are predictions alone, and no model to train"
        offer = (
            f"export the best part without them: --variant {next(iter(names))}" if names else "it has no other member"
        )
        raise RequestError(f"{folder}: the ensemble cannot be exported whole: {told}; {offer}")
    config = refit_config(paths.recipe)
    source = str(paths.recipe)
    parts = {name: with_members(config, members, source) for name, members in names.items()}
    by_score = sorted(light, key=lambda name: -part_scores[name])
    lighter = {name: with_members(config, light[name], source) for name in by_score}
    if part in (None, paths.name):
        scores = per_era_scores(outcome["per_era"])[1]
        metrics = metrics_by(config.score, scores)
        record = VariantRecord(paths.name, paths.name, "variant", outcome["fingerprint"], {}, metrics)
        return Choice(paths.name, record, "ensemble", {}, config, parts, lighter, part_scores)
    every = {**parts, **lighter}
    if part not in every:
        known = ", ".join([paths.name, *every])
        raise RequestError(f"--variant: the ensemble {paths.name} has no part {part!r}; choose one of {known}")
    # Only the whole was scored; a part's scores are not the whole's.
    record = VariantRecord(part, part, "variant", every[part].fingerprint(), {}, None)
    smaller, light_smaller = (
        {name: each for name, each in found.items() if _size(name) < _size(part)} for found in (parts, lighter)
    )
    return Choice(paths.name, record, "ensemble", {}, every[part], smaller, light_smaller, part_scores)


def _score(value: float | None) -> float:
    return math.nan if value is None else value


def _size(part: str) -> int:
    return int(re.sub(r"\D", "", part))
