"""Dimensions: what moves with a value, what a variant is called, and that it changes one variable."""

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.config import Config, apply_overrides, validate
from numerai_ray.config.search_space import (
    Dimension,
    SearchSpace,
    changes_for,
    check_variables,
    differences,
    space_problems,
    variant_name,
    variants,
    with_changes,
)
from numerai_ray.config.validation import nested
from numerai_ray.errors import ConfigError, Problem

RATE, TREES, LEAVES = "model.params.learning_rate", "model.params.n_estimators", "model.params.num_leaves"
BASE = {"model": {"params": {"learning_rate": 0.01, "n_estimators": 2000, "num_leaves": 31, "subsample": 0.5}}}


def dimension(path: str = LEAVES, values: Any = (7, 15), **more: Any) -> Dimension:
    return validate(Dimension, {"path": path, "values": list(values), **more}, "a dimension")


def config(changes: dict[str, Any] | None = None) -> Config:
    """The base with ``changes`` by path."""
    values = with_changes(apply_overrides(Config().to_json(), BASE), changes or {})
    return validate(Config, values, "a config")


def changes_in_base(space: Dimension, value: Any, **params: Any) -> dict[str, Any]:
    return changes_for(space, value, apply_overrides(BASE, {"model": {"params": params}}))


# Couplings


def test_a_plain_dimension_changes_its_path_alone() -> None:
    assert changes_for(dimension(), 7, BASE) == {LEAVES: 7}
    assert changes_for(dimension("data.target", ["target_x"]), "target_x", {}) == {"data.target": "target_x"}


@pytest.mark.parametrize(
    ("coupling", "value", "trees"),
    [("inverse", 0.005, 4000), ("inverse", 0.02, 1000), ("proportional", 0.02, 4000), ("proportional", 0.005, 1000)],
)
def test_a_coupling_scales_what_the_base_holds(coupling, value, trees) -> None:
    changes = changes_in_base(dimension(RATE, [value], coupled={TREES: coupling}), value)
    assert changes == {RATE: value, TREES: trees}
    assert isinstance(changes[TREES], int)


def test_a_whole_number_stays_whole_and_is_rounded_to_the_nearest() -> None:
    space = dimension(RATE, [0.03, 0.015], coupled={TREES: "inverse"})
    assert changes_in_base(space, 0.03)[TREES] == 667
    assert changes_in_base(space, 0.015)[TREES] == 1333
    assert isinstance(changes_in_base(space, 0.03)[TREES], int)


def test_a_fraction_stays_a_fraction() -> None:
    changes = changes_in_base(dimension(RATE, [0.03], coupled={"model.params.subsample": "inverse"}), 0.03)
    assert changes["model.params.subsample"] == pytest.approx(0.5 / 3)


@given(st.floats(1e-4, 1e3), st.floats(1e-4, 1e3), st.floats(1e-4, 1e3))
def test_inverse_keeps_the_product_and_proportional_the_ratio(old, value, other) -> None:
    base = {"model": {"params": {"a": old, "b": other, "c": other}}}
    coupled = {"model.params.b": "inverse", "model.params.c": "proportional"}
    changes = changes_for(dimension("model.params.a", [value], coupled=coupled), value, base)
    assert changes["model.params.a"] * changes["model.params.b"] == pytest.approx(old * other)
    assert changes["model.params.c"] / changes["model.params.a"] == pytest.approx(other / old)


def test_a_list_couples_value_by_value() -> None:
    space = dimension(
        values=[7, 15], coupled={"model.params.max_depth": [3, 4], "data.target": ["target_a", "target_b"]}
    )
    assert changes_for(space, 7, {}) == {LEAVES: 7, "model.params.max_depth": 3, "data.target": "target_a"}
    assert changes_for(space, 15, {}) == {LEAVES: 15, "model.params.max_depth": 4, "data.target": "target_b"}


@pytest.mark.parametrize("held", [None, "many", True, 0, 0.0])
@pytest.mark.parametrize("coupling", ["inverse", "proportional"])
@pytest.mark.parametrize("where", ["learning_rate", "n_estimators"])
def test_a_coupling_needs_a_number_to_scale(held, coupling, where) -> None:
    space = dimension(RATE, [0.02], coupled={TREES: coupling})
    with pytest.raises(ConfigError) as refusal:
        changes_in_base(space, 0.02, **{where: held})
    (problem,) = refusal.value.problems
    assert problem.path == f"$.model.params.{where}"
    assert "must hold a number" in problem.message
    assert f", but it holds {held!r}" in problem.message


# Names


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (63, "x=63"),
        (-1, "x=-1"),
        (0.005, "x=0.005"),
        (1e-05, "x=1e-05"),
        (True, "x=true"),
        (None, "x=none"),
        ("target_ender_60", "x=target_ender_60"),
        ("a/b c", "x=a-b-c"),
        ("../../etc", "x=..-..-etc"),
        ([1, 2], "x=1-2"),
    ],
)
def test_a_variant_is_named_after_its_change(value, name) -> None:
    assert variant_name("x", value) == name


@given(st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none(), st.lists(st.text())))
def test_a_name_is_safe_in_a_path(value) -> None:
    assert re.fullmatch(r"dim=[A-Za-z0-9._+-]*", variant_name("dim", value))


@given(st.lists(st.integers() | st.floats(allow_nan=False, allow_infinity=False), unique=True, max_size=8))
def test_different_numbers_have_different_names(values) -> None:
    assert len({variant_name("dim", value) for value in values}) == len(values)


def test_variants_are_made_in_order() -> None:
    made = variants("rate", dimension(RATE, [0.02, 0.005], coupled={TREES: "inverse"}), [0.02, 0.005], BASE)
    assert [(each.name, dict(each.changes)) for each in made] == [
        ("rate=0.02", {RATE: 0.02, TREES: 1000}),
        ("rate=0.005", {RATE: 0.005, TREES: 4000}),
    ]


# One variable


def test_changes_by_path_are_laid_over_and_leave_the_config_alone() -> None:
    before = apply_overrides(BASE, {})
    changed = with_changes(BASE, {LEAVES: 7, "data.target": "target_x"})
    assert changed["model"]["params"] == {**BASE["model"]["params"], "num_leaves": 7}
    assert changed["data"] == {"target": "target_x"}
    assert before == BASE


def test_differences_are_listed_leaf_by_leaf() -> None:
    other = config({LEAVES: 7, "model.params.max_bin": 5, "cv.n_splits": 4})
    assert differences(config(), other) == {
        "cv.n_splits": (5, 4),
        "model.params.max_bin": (None, 5),
        "model.params.num_leaves": (31, 7),
    }
    assert differences(other, config())["model.params.max_bin"] == (5, None)
    assert differences(other, other) == {}


@given(
    st.dictionaries(st.sampled_from(["cv.n_splits", "cv.embargo_eras", LEAVES, "score.last_eras"]), st.integers(6, 9))
)
def test_differences_are_what_was_changed(changes) -> None:
    assert differences(config(), config(changes)) == {
        path: (old, new)
        for path, new in sorted(changes.items())
        if (old := {"cv.n_splits": 5, "cv.embargo_eras": 16, LEAVES: 31, "score.last_eras": 200}[path]) != new
    }


def test_a_change_of_one_dimension_passes() -> None:
    check_variables(config(), config({LEAVES: 7}), [dimension()], "v")
    coupled = dimension(RATE, [0.02], coupled={TREES: "inverse"})
    check_variables(config(), config({RATE: 0.02, TREES: 1000}), [coupled], "v")
    # rounding may leave the coupled value where it was
    check_variables(config(), config({RATE: 0.02}), [coupled], "v")


def test_the_first_parameter_of_a_base_without_any_passes() -> None:
    base = Config()
    assert base.model.params == {}
    variant = validate(Config, nested(LEAVES, 7), "v")
    assert differences(base, variant) == {LEAVES: (None, 7)}
    check_variables(base, variant, [dimension()], "v")


def test_every_other_difference_is_refused_by_name() -> None:
    other = config({LEAVES: 7, RATE: 0.02, "cv.embargo_eras": 8, "model.params.max_bin": 5})
    with pytest.raises(ConfigError) as refusal:
        check_variables(config(), other, [dimension()], "num_leaves=7")
    assert refusal.value.source == "variant num_leaves=7"
    assert [problem.path for problem in refusal.value.problems] == [
        "$.cv.embargo_eras",
        f"$.{RATE}",
        "$.model.params.max_bin",
    ]
    first = refusal.value.problems[0].message
    assert first.startswith(f"changes from 16 to 8, but a variant may change only {LEAVES}; undo it, or declare it")


def test_a_coupled_change_alone_is_no_variant() -> None:
    coupled = dimension(RATE, [0.02], coupled={TREES: "inverse"})
    with pytest.raises(ConfigError) as refusal:
        check_variables(config(), config({TREES: 1000}), [coupled], "v")
    assert refusal.value.problems == (Problem(f"$.{RATE}", "does not differ from the base"),)


def test_no_difference_is_refused() -> None:
    with pytest.raises(ConfigError, match=f"does not differ from the base @ \\$.{LEAVES}"):
        check_variables(config(), config(), [dimension()], "v")


# What is wrong with dimensions themselves


def found_in(**dimensions: Dimension) -> list[tuple[str, str]]:
    return [(problem.path, problem.message) for problem in space_problems(SearchSpace(dimensions=dimensions))]


def test_a_good_space_has_no_problem() -> None:
    good = found_in(
        leaves=dimension(),
        rate=dimension(RATE, [0.005, 0.02], coupled={TREES: "inverse", "model.params.max_bin": [5, 7]}),
        target=dimension("data.target", ["target_a", "target_b"]),
        features=dimension("data.feature_set", ["small", "medium"]),
        missing=dimension("data.missing", ["nan"]),
        model=dimension("model.type", ["lightgbm"]),
        flag=dimension("model.params.extra_trees", [True, False]),
        lists=dimension("model.params.alphas", [[1, 2], [3]]),
    )
    assert good == []


@pytest.mark.parametrize(
    "path", ["cv.n_splits", "score.target", "data.version", "model", "model.params", "model.params.", "x"]
)
def test_a_round_may_not_vary_every_path(path) -> None:
    ((where, message),) = found_in(a=dimension(path))
    assert where == "$.dimensions.a.path"
    assert message.startswith("a round may vary data.feature_set, data.target, ")
    assert message.endswith(f"but is {path!r}")
    ((where, message),) = found_in(a=dimension(RATE, [1], coupled={path: "inverse"}))
    assert where == "$.dimensions.a.coupled"
    assert message.endswith(f"but is {path!r}")


def test_a_path_has_one_dimension() -> None:
    found = found_in(a=dimension(), b=dimension(values=[3]), c=dimension(values=[5]))
    assert found == [(f"$.dimensions.{name}.path", "is also the path of 'a'") for name in "bc"]


def test_a_dimension_is_not_coupled_to_itself() -> None:
    assert found_in(a=dimension(RATE, [0.02], coupled={RATE: "inverse"})) == [
        ("$.dimensions.a.coupled", f"{RATE!r} cannot be coupled to itself")
    ]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([7, 15, 7], "each value once, but 7 stands there again"),
        ([7, 7.0], "each value once, but 7.0 stands there again"),
        (["a", "b", "a", "b"], "each value once, but 'a', 'b' stands there again"),
        ([7, "seven"], "must all be of one type, but are number and text"),
        ([1, True], "must all be of one type, but are number and true/false"),
        ([None, "a"], "must all be of one type, but are null and text"),
        ([{"a": 1}], "a mapping holds several"),
        (["a b", "a-b"], "'a b' and 'a-b' have one name, 'a=a-b', as files; change one"),
        (["x" * 300], "must give names of at most 160 characters"),
    ],
)
def test_values_are_distinct_alike_and_nameable(values, words) -> None:
    ((where, message),) = found_in(a=dimension(values=values))
    assert where == "$.dimensions.a.values"
    assert words in message


def test_whole_numbers_and_fractions_are_of_one_type() -> None:
    assert found_in(a=dimension(RATE, [1, 0.5])) == []
    assert found_in(a=dimension("model.params.max_depth", [-1, 1])) == []


@pytest.mark.parametrize("given_values", [[1], [1, 2, 3], []])
def test_a_coupled_list_has_a_value_for_each(given_values) -> None:
    ((where, message),) = found_in(a=dimension(values=[7, 15], coupled={TREES: given_values}))
    assert where == f"$.dimensions.a.coupled.{TREES}"
    assert message == f"must hold one value for each of the 2 values, but holds {len(given_values)}"


@pytest.mark.parametrize("values", [[0, 1], [-1, 2], ["a", "b"], [True, False]])
def test_scaling_needs_values_above_zero(values) -> None:
    ((where, message),) = found_in(a=dimension(RATE, values, coupled={TREES: "proportional"}))
    assert where == f"$.dimensions.a.coupled.{TREES}"
    assert message == f"'proportional' needs values above 0, but values are {values}"


def test_all_problems_at_once_below_the_given_place() -> None:
    space = SearchSpace(
        dimensions={
            "a": dimension("cv.mode", [1, "x"]),
            "b": dimension(RATE, [0, 0], coupled={RATE: "inverse", TREES: [1]}),
        }
    )
    paths = [problem.path for problem in space_problems(space, "$.search_space.dimensions")]
    below = "$.search_space.dimensions."
    assert paths == [
        f"{below}a.path",
        f"{below}a.values",
        f"{below}b.coupled",
        f"{below}b.values",
        f"{below}b.coupled.{RATE}",
        f"{below}b.coupled.{TREES}",
    ]


def test_a_space_without_dimensions_or_values_is_refused() -> None:
    for value in ({}, {"dimensions": {}}, {"dimensions": {"a": {"path": RATE, "values": []}}}):
        with pytest.raises(ConfigError, match=r"\$\.dimensions"):
            validate(SearchSpace, value, "a space")


POSITIVE = st.one_of(st.sampled_from([5e-324, 1e-300, 1e300, 1.7e308]), st.floats(5e-324, 1.7e308))


@given(POSITIVE, POSITIVE, st.sampled_from(["inverse", "proportional"]), st.sampled_from([100, 10**18, 0.3]))
def test_a_coupling_gives_a_number_or_says_that_there_is_none(value, old, coupling, other) -> None:
    space = dimension(RATE, [value], coupled={TREES: coupling})
    try:
        changes = changes_in_base(space, value, learning_rate=old, n_estimators=other)
    except ConfigError as error:
        assert "goes beyond what a number holds" in str(error)
    else:
        assert math.isfinite(changes[TREES])
