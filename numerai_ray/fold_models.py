"""The models of folds, kept beside their predictions where the plan says ``keep_models: true``.

They decide nothing and are in no key. A fit whose model is lacking is trained once more for it; what is stored of the
fit stays as it is. The longest model of a ladder serves every length, so one is kept for all of its fits.
"""

import math
from typing import Any

from numerai_ray.fit_spec import FitSpec
from numerai_ray.fit_store import FitStore, StoredFit
from numerai_ray.model_store import ModelStore, StoredModel


def stored_fit(store: FitStore, spec: FitSpec) -> StoredFit | None:
    """What the store holds of a fit; a whole entry that cannot be this fit's is set aside as a damaged one is."""
    fit = store.get(spec.key)
    if fit is None or _is_of(fit, spec):
        return fit
    store.set_aside(spec.key)
    return None


def _is_of(fit: StoredFit, spec: FitSpec) -> bool:
    rows = sum(stop - start for start, stop in spec.index.row_ranges(spec.fold.validation_eras))
    numbers = (fit.facts.get(name) for name in ("train_rows", "dropped_rows", "seconds"))
    told = fit.facts.get("importance")
    return (
        len(fit.predictions) == rows
        and all(_is_number(each) for each in numbers)
        and (told is None or _is_importance(told, len(spec.features)))
    )


def _is_importance(value: Any, features: int) -> bool:
    values = value.get("values") if isinstance(value, dict) and isinstance(value.get("kind"), str) else None
    return isinstance(values, list) and len(values) == features and all(_is_number(each) for each in values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_stored(store: FitStore, spec: FitSpec) -> bool:
    """Whether nothing is lacking of what the store is to keep of a fit."""
    return store.has(spec.key) and not lacks_model(store, spec)


def lacks_model(store: FitStore, spec: FitSpec) -> bool:
    """Whether the store is to keep the fit's model and does not have it."""
    return store.keep_models and serving(ModelStore(store.root), spec) is None


def serving(models: ModelStore, spec: FitSpec) -> str | None:
    """Name of the entry that holds the fit's model: its own, or that of a longer one of its ladder."""
    if spec.length is None:
        return spec.family if models.path(spec.family).exists() else None
    lengths = _lengths(models, spec)
    longest = max(lengths, default=0)
    return lengths[longest] if longest >= spec.length else None


def keep_model(store: FitStore, spec: FitSpec, model: StoredModel) -> None:
    """Keep a fit's model unless a longer one is there, and let go of shorter ones.

    Raises:
        EnvironmentFault: the store cannot be written (disk full, no rights).

    """
    models = ModelStore(store.root)
    if serving(models, spec) is not None:
        return
    shorter = [] if spec.length is None else list(_lengths(models, spec).values())
    models.put(spec.family if spec.length is None else f"{spec.family}-{spec.length}", model)
    for name in shorter:
        models.path(name).unlink(missing_ok=True)


def _lengths(models: ModelStore, spec: FitSpec) -> dict[int, str]:
    """Names of the models of a ladder, by their length."""
    ends = ((name.rpartition("-")[2], name) for name in models.names(spec.family) if name != spec.family)
    return {int(end): name for end, name in ends if end.isdecimal()}
