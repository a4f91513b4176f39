"""What is laid over a config replaces what stood there, or is merged with it."""

import pytest

from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.config.schema import merged


@pytest.mark.parametrize(
    ("base", "changes", "expected"),
    [
        ({"data": {"target": {"b": 1.0}}}, {"data": {"target": {"a": 1.0}}}, {"data": {"target": {"a": 1.0}}}),
        (
            {"data": {"target": "b", "version": "v"}},
            {"data": {"target": {"a": 1}}},
            {"data": {"target": {"a": 1}, "version": "v"}},
        ),
        (
            {"post": {"blend": {"x": 0.2}, "rank": True}},
            {"post": {"blend": {"y": 0.1}}},
            {"post": {"blend": {"y": 0.1}, "rank": True}},
        ),
        (
            {"ensemble": {"members": {"b": {}}, "weights": {"b": 1}, "scale": "gauss"}},
            {"ensemble": {"members": {"a": {}}, "weights": {"a": 2}}},
            {"ensemble": {"members": {"a": {}}, "weights": {"a": 2}, "scale": "gauss"}},
        ),
        (
            {"cv": {"n_splits": 3, "embargo_eras": 9}},
            {"cv": {"n_splits": 4}},
            {"cv": {"n_splits": 4, "embargo_eras": 9}},
        ),
        ({"cv": {"mode": "walk_forward", "window_eras": 9}}, {"cv": {"mode": "blocked"}}, {"cv": {"mode": "blocked"}}),
        (
            {"model": {"target_transform": {"type": "residual_to_benchmark", "proportion": 0.5}}},
            {"model": {"target_transform": {"type": "rank"}}},
            {"model": {"target_transform": {"type": "rank"}}},
        ),
        (
            {"model": {"target_transform": {"type": "residual_to_benchmark", "proportion": 0.5}}},
            {"model": {"target_transform": {"per_era": False}}},
            {"model": {"target_transform": {"type": "residual_to_benchmark", "proportion": 0.5, "per_era": False}}},
        ),
        (
            {"model": {"type": "lightgbm", "params": {"num_leaves": 3}, "seeds": [1]}},
            {"model": {"type": "sklearn", "params": {"estimator": "e"}}},
            {"model": {"type": "sklearn", "params": {"estimator": "e"}, "seeds": [1]}},
        ),
        ({"model": {"params": {"a": 1}}}, {"model": {"params": {"b": 2}}}, {"model": {"params": {"a": 1, "b": 2}}}),
    ],
)
def test_what_replaces_and_what_merges(base, changes, expected) -> None:
    before = apply_overrides(base, {})
    assert merged(base, changes) == expected
    assert base == before


def test_a_member_with_another_model_starts_without_the_configs_params() -> None:
    ridge = {"model": {"type": "sklearn", "params": {"estimator": "sklearn.linear_model:Ridge"}}}
    target = {"data": {"target": {"target_jasper_20": 1.0}}}
    own = {
        "data": {"target": {"target_ender_20": 1.0, "target_ender_60": 1.0}},
        "model": {"params": {"num_leaves": 3}},
        "ensemble": {"members": {"ridge": ridge, "other": target}},
    }
    members = validate(Config, own, "t").members()
    assert members["ridge"].model.params == {"estimator": "sklearn.linear_model:Ridge"}
    assert members["other"].data.targets == {"target_jasper_20": 1.0}
    assert members["other"].model.params == {"num_leaves": 3}
