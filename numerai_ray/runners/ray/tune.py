"""Tune: one ``Tuner.fit`` a round, a trial a variant that reports its folds as they come; the only ``ray.tune``."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError

from numerai_ray.metrics.scoring import EraScores, Metrics
from numerai_ray.runners.ray.fit_tasks import Waits, unless_failed
from numerai_ray.training.outcome import FoldScore, join_scores, metrics_by
from numerai_ray.training.spec import VariantPlan

# A trial only waits and reports; memory is the one resource that Ray lets it hold without taking a core.
TRIAL_BYTES = 200 * 2**20


def run_trials(plans: Sequence[VariantPlan], waits: Waits, trial_dir: Path, at_once: int, run_id: str) -> None:
    """Show a round to Tune; returns when every trial has reported all its folds or failed.

    Args:
        plans: one trial each.
        waits: by trial, where the score of each fold will be.
        trial_dir: where Tune keeps its own files.
        at_once: trials at a time; each is a process to start, and fits run in parallel whatever the number.
        run_id: of this driver alone. Tune keeps what trials run in the cluster, by name, under a job number that this
            process may have from an earlier Ray, and that is another driver's on this one: of one name, the driver
            that ends first would take it away from both ("Unknown trainable").

    """
    scoring = {plan.id: partial(metrics_by, plan.config.score) for plan in plans}
    folder = plans[0].label.rsplit("/", 1)[0].replace("/", "-")
    # Tune's state is worth nothing to us: an earlier, killed attempt at this round must not be picked up.
    shutil.rmtree(trial_dir / folder, ignore_errors=True)
    here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    # Beside the driver: a node that is lost takes no trial with it, and Tune's folder is there.
    trainable = tune.with_resources(
        tune.with_parameters(VariantTrial, waits=waits, scoring=scoring),
        {"memory": TRIAL_BYTES, f"node:{here}": 1e-4},
    )
    trainable.__name__ = f"{VariantTrial.__name__}_{run_id}"
    tuner = tune.Tuner(
        trainable,
        param_space={"variant": tune.grid_search([plan.id for plan in plans])},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            max_concurrent_trials=at_once,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=folder,
            storage_path=str(trial_dir.resolve()),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except (tune.TuneError, RayError, OSError) as error:
        # Trials only show the round: its fits, and what comes of them, are the driver's own.
        logging.getLogger("ray.tune").warning("the round is not shown to its end: %s", error)


class VariantTrial(tune.Trainable):
    """A trial: the scores of a variant's folds, reported as they come."""

    def setup(  # type: ignore[override]
        self, config: dict[str, Any], waits: Waits, scoring: Mapping[str, Callable[[EraScores], Metrics]]
    ) -> None:
        self._waits, self._scoring = waits, scoring
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become another variant's trial: this process stays, with all that it has imported and been handed."""
        self._variant = new_config["variant"]
        self._done: list[FoldScore] = []
        self._pending = list(dict(self._waits[self._variant]))
        return True

    def step(self) -> dict[str, Any]:
        """Wait for one fold more, and tell of all that are there."""
        places = dict(self._waits[self._variant])
        ready, waiting = ray.wait(self._pending, num_returns=1)
        more, self._pending = ray.wait(waiting, num_returns=len(waiting), timeout=0) if waiting else ([], [])
        for ref in (*ready, *more):
            self._done.append(unless_failed(ray.get(ref)[places[ref]]))
        metrics = self._scoring[self._variant](join_scores(self._done))
        return {
            "folds_done": len(self._done),
            metrics.metric.name.replace(".", "_"): metrics.primary,
            "bmc_mean": metrics.bmc.mean,
            "corr_mean": metrics.corr.mean,
            "avg_corr_with_benchmark": metrics.avg_corr_with_benchmark,
            "done": not self._pending,
        }


def _trial_name(trial: Any) -> str:
    return str(trial.config["variant"])
