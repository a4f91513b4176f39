"""The only ``ray.tune``: one ``Tuner.fit`` a round, a trial a variant that reports its folds as they come."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numerai_ray.fit_task import Flight, unless_failed

# isort: split
import ray
from ray import tune
from ray.exceptions import RayError

from numerai_ray.fold_runner import FoldScore, join_scores
from numerai_ray.results import metrics_of
from numerai_ray.trial_plan import TrialPlan

# A trial only waits and reports; memory is the one resource that Ray lets it hold without taking a core.
TRIAL_BYTES = 200 * 2**20


def run_trials(plans: Sequence[TrialPlan], flight: Flight, trial_dir: Path, at_once: int) -> None:
    """Show a round to Tune; returns when every trial has reported all its folds or failed.

    Args:
        plans: one trial each.
        flight: their fits, under way.
        trial_dir: where Tune keeps its own files.
        at_once: trials at a time; each is a process to start, and fits run in parallel whatever the number.

    """
    waits = {plan.id: [flight.score_of(spec) for spec in plan.fits] for plan in plans}
    windows = {plan.id: plan.config.score.last_eras for plan in plans}
    folder = plans[0].label.rsplit("/", 1)[0].replace("/", "-")
    # Tune's state is worth nothing to us: an earlier, killed attempt at this round must not be picked up.
    shutil.rmtree(trial_dir / folder, ignore_errors=True)
    here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    trainable = tune.with_parameters(_report_folds, waits=waits, windows=windows)
    tuner = tune.Tuner(
        # Beside the driver: a node that is lost takes no trial with it, and Tune's folder is there.
        tune.with_resources(trainable, {"memory": TRIAL_BYTES, f"node:{here}": 1e-4}),
        param_space={"variant": tune.grid_search([plan.id for plan in plans])},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            max_concurrent_trials=at_once,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(name=folder, storage_path=str(trial_dir.resolve()), verbose=0),
    )
    try:
        tuner.fit()
    except (tune.TuneError, RayError, OSError) as error:
        # Trials only show the round: its fits, and what comes of them, are the driver's own.
        logging.getLogger("ray.tune").warning("the round is not shown to its end: %s", error)


def _report_folds(config: Mapping[str, Any], waits: Mapping[str, Any], windows: Mapping[str, int]) -> None:
    """A trial: the scores of a variant's folds, reported as they come."""
    variant = config["variant"]
    places = dict(waits[variant])
    done: list[FoldScore] = []
    pending = list(places)
    while pending:
        ready, pending = ray.wait(pending, num_returns=1)
        for ref in ready:
            place = places[ref]
            done.append(unless_failed(ray.get(ref)[place]))
            metrics = metrics_of(join_scores(done), windows[variant])
            tune.report(
                {
                    "folds_done": len(done),
                    "bmc_last_200_eras_mean": metrics.primary,
                    "bmc_mean": metrics.bmc.mean,
                    "corr_mean": metrics.corr.mean,
                    "avg_corr_with_benchmark": metrics.avg_corr_with_benchmark,
                }
            )


def _trial_name(trial: Any) -> str:
    return str(trial.config["variant"])
