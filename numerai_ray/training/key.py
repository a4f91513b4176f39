"""What a fit is known by: one key made of everything that decides its predictions, and of nothing else."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from numerai_ray.config import Config, fingerprint
from numerai_ray.data.eras import Fold
from numerai_ray.models import Engine, Ladder, Model
from numerai_ray.models.engine import FIVE_VALUES, fast_version
from numerai_ray.models.user import UserModel

# Raised whenever the code comes to train differently from the same values.
FIT_VERSION = 2


def features_fingerprint(features: Sequence[str]) -> str:
    """Twelve hex digits that stand for named features in their order."""
    return fingerprint(features)


@cache
def library_version(name: str) -> str:
    """Version of an installed library; the distribution for processors alone stands for the whole one.

    Looked up once a process: every key of every fit asks, and a look reads the library's metadata file (2 ms).
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return version(f"{name}-cpu")


def whole_files(dataset: str, benchmark_file: str, benchmarks: Sequence[str]) -> dict[str, Any]:
    """What a fit was said to read before November 2026: all of its files.

    Args:
        dataset: fingerprint of the data file.
        benchmark_file: fingerprint of the benchmark file.
        benchmarks: columns that are looked at while training.

    """
    return {"dataset": dataset} | ({"benchmarks": dict.fromkeys(benchmarks, benchmark_file)} if benchmarks else {})


def fit_identity(
    config: Config,
    fold: Fold,
    reads: Mapping[str, Any],
    features: Sequence[str],
    others: tuple[Model, Engine],
) -> tuple[str, str, int | None]:
    """Key, family and length of a fit; the key is 64 hex digits of everything that decides its predictions.

    Fits of one family differ in their length alone, as models on a ladder do; see :class:`~numerai_ray.models.Ladder`.
    ``config`` has one target and at most one seed, which stands in its params; ``fold`` and ``features`` are what is
    left after sampling; ``others`` are the model and what grows its trees. ``reads`` says what the data hold that it
    reads: ``content``, and of keys made before November 2026 the whole file's fingerprint (:func:`whole_files`).
    What a config does not use is not in its key: a new setting leaves every stored fit of those without it valid.
    """
    model, engine = others
    (target,) = config.data.targets
    decides: dict[str, Any] = {
        "fit_version": FIT_VERSION,
        **reads,
        "features": fingerprint(features, digits=64),
        "missing": config.data.missing,
        "target": target,
        "train_eras": fold.train_eras,
        "validation_eras": fold.validation_eras,
        "model": config.model.type,
        "params": model.canonical_params(config.model.params),
        # "default_rng": rows drawn otherwise, as they once were, made other fits.
        "sample": [config.model.max_train_samples, config.model.sample_seed, "default_rng"]
        if config.model.max_train_samples
        else None,
        "libraries": {name: library_version(name) for name in model.libraries},
    }
    if engine.name == FIVE_VALUES:
        decides["engine"] = [FIVE_VALUES, fast_version()]
    if config.model.target_transform is not None:
        transform = config.model.target_transform
        own = {name: getattr(transform, name) for name in sorted(transform.own_keys[transform.type] - {"benchmark"})}
        decides["target_transform"] = [transform.type, own]
    if config.model.era_weights is not None:
        decides["era_weights"] = config.model.era_weights.model_dump(mode="json")
    if isinstance(model, UserModel):
        decides["code"] = model.identity
    key = family = fingerprint(decides, digits=64)
    params = config.model.params
    length = model.length(params) if isinstance(model, Ladder) else None
    if isinstance(model, Ladder) and length is not None:
        family = fingerprint(decides | {"params": model.at_length(params, 0)}, digits=64)
    return key, family, length
