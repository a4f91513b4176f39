"""Official words: a config of ours as the results JSON of the official pipeline tells it.

A config that came in official words keeps its own; see :class:`~numerai_ray.config.official.OfficialRun`.
"""

from numerai_ray.config.official import MODEL_TYPES
from numerai_ray.config.schema import Config
from numerai_ray.config.validation import Json


def to_official(config: Config) -> Json:
    """The sections of the official results JSON that repeat the config, of a config of ours."""
    data, cv, model, score = config.data, config.cv, config.model, config.score
    path, benchmark_path = data.files()
    types = {ours: theirs for theirs, ours in MODEL_TYPES.items()}
    return {
        "model": {"type": types.get(model.type, model.type), "params": model.params, **_transform_told(config)},
        "preprocessing": {"missing_value": 2.0, "nan_missing_all_twos": data.missing == "nan"},
        "data": {
            "data_version": data.version,
            "feature_set": data.feature_set,
            "target": data.target,
            "full_data_path": path,
            "embargo_eras": cv.embargo_eras,
        },
        "benchmark": {"model": score.benchmark, "file": benchmark_path},
        "training": {
            "data_sampling": {
                "max_train_samples": model.max_train_samples,
                "sample_seed": model.sample_seed if model.max_train_samples else None,
            },
            "cv": {
                "enabled": True,
                "n_splits": cv.n_splits,
                "embargo": cv.embargo_eras,
                "mode": cv.mode,
                "min_train_size": cv.min_train_eras,
            },
        },
    }


def _transform_told(config: Config) -> Json:
    """``target_transform`` in the official words; nothing where there is none."""
    transform = config.model.target_transform
    if transform is None:
        return {}
    own = transform.own_keys[transform.type] - {"benchmark"}
    told: Json = {"type": transform.type, **{name: getattr(transform, name) for name in sorted(own)}}
    if transform.needs_benchmark:
        told["benchmark_col"] = transform.benchmark or config.score.benchmark
    return {"target_transform": told}
