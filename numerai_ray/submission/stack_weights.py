"""Weights of a stacked ensemble for live predictions: those that its last fold used, learned from the folds before it.

A refit has no out-of-fold predictions of its own to learn from, and weights learned from what the models were trained
on would favour the member that fits it closest.
"""

from collections.abc import Mapping

import numpy as np

from numerai_ray.data.dataset import Columns
from numerai_ray.errors import RequestError
from numerai_ray.training.assembly import member_columns, stack_plan
from numerai_ray.training.post import stack
from numerai_ray.training.rows import take
from numerai_ray.training.spec import TrialPlan
from numerai_ray.training.store.fits import FitStore, stored_fit


def stack_weights(plan: TrialPlan, store: FitStore, columns: Columns) -> Mapping[str, float] | None:
    """Weight by member, None where the config stacks nothing.

    Raises:
        RequestError: the out-of-fold predictions that weights are learned from are not in the store.

    """
    ensemble = plan.config.ensemble
    if ensemble is None or ensemble.stack is None:
        return None
    fits = {spec.key: stored_fit(store, spec) for spec in plan.fits}
    there = {key: fit for key, fit in fits.items() if fit is not None}
    if len(there) < len(fits):
        raise RequestError(
            f"the weights of a stack are learned from the variant's folds on this data, but "
            f"{len(fits) - len(there)} of {len(fits)} fits are not stored; "
            "run the variant on full data first (its final stage)"
        )
    folds = plan.folds.trainable
    parts = [member_columns(plan, position, there) for position in range(len(folds))]
    eras = tuple(era for fold in folds for era in fold.validation_eras)
    found = stack(
        [np.concatenate([part[name] for part in parts]) for name in parts[0]],
        take(columns.targets[plan.config.score.target], plan.index.row_ranges(eras)),
        plan.index.starts_of(eras),
        stack_plan(plan, eras, (folds[-1].validation_eras,)),
    )
    return dict(zip(parts[0], found.weights[-1].tolist(), strict=True))
