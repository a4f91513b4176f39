"""Reading configs: what a text means, every problem at once, and fingerprints that depend on values alone."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from numerai_ray.config import (
    Config,
    apply_overrides,
    canonical_json,
    fingerprint,
    leaves,
    parse_yaml,
    read_text,
    validate,
    value_at,
    yaml_text,
)
from numerai_ray.config.search_space import SearchSpace, with_changes
from numerai_ray.config.validation import nested
from numerai_ray.errors import ConfigError, Problem, nearest

KEYS = st.text("abcxyz_0", min_size=1, max_size=4)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS | st.lists(SCALARS, max_size=3), lambda v: st.dictionaries(KEYS, v, max_size=3))
TREES = st.dictionaries(KEYS, VALUES, max_size=4)

# Another valid value for every leaf of a config.
OTHERS: dict[str, Any] = {
    "data.version": "v5.3",
    "data.file": "full",
    "data.path": "mine.parquet",
    "data.benchmark_path": "mine_benchmark.parquet",
    "data.feature_set": "small",
    "data.target": "target_jasper_20",
    "data.missing": "nan",
    "data.era_col": "week",
    "data.id_col": "key",
    "cv.n_splits": 4,
    "cv.mode": "blocked",
    "cv.embargo_eras": 8,
    "cv.embargo_unit": "retained",
    "cv.min_train_eras": 3,
    "model.type": "ridge",
    "model.params": {"num_leaves": 7},
    "model.max_train_samples": 1000,
    "model.sample_seed": 7,
    "score.target": "target_jasper_20",
    "score.benchmark": "v53_lgbm_ender20",
    "score.last_eras": 100,
}


def problems_of(value: Any, kind: Any = Config) -> dict[str, str]:
    """Message by path; a path has one message."""
    with pytest.raises(ConfigError) as refusal:
        validate(kind, value, "a file")
    found = {problem.path: problem.message for problem in refusal.value.problems}
    assert len(found) == len(refusal.value.problems)
    return found


def parse_problem(text: str, source: str = "file.yaml") -> Problem:
    with pytest.raises(ConfigError) as refusal:
        parse_yaml(text, source)
    assert refusal.value.source == source
    (problem,) = refusal.value.problems
    return problem


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, all the way down."""
    return canonical_json(one) == canonical_json(other)


# What a text means


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 100000.0),
        ("-2e+1", -20.0),
        ("2.0e-4", 0.0002),
        (".5", 0.5),
        ("1_000", 1000),
        ("0", 0),
        ("-7", -7),
        ("0x1F", 31),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0575", "0575"),
        ("v5.2", "v5.2"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("true", True),
        ("null", None),
        ("'5'", "5"),
        ("[1, 2.5, x]", [1, 2.5, "x"]),
    ],
)
def test_yaml_scalars(text, value) -> None:
    assert same(parse_yaml(f"a: {text}", "f"), {"a": value})


@settings(max_examples=50)
@given(TREES)
@example({"0": "0E0", "a": "1:30", "b": "010", "c": "1e-3", "d": "2024-01-01", "e": "yes"})
def test_what_json_and_yaml_write_is_read_back(tree) -> None:
    assert same(parse_yaml(json.dumps(tree), "f"), tree)
    assert same(parse_yaml(json.dumps(tree, ensure_ascii=False, indent="\t"), "f"), tree)
    assert same(parse_yaml(yaml_text(tree), "f"), tree)


def test_an_empty_text_is_an_empty_mapping() -> None:
    assert parse_yaml("", "f") == parse_yaml("# nothing yet\n", "f") == parse_yaml("{}", "f") == {}


def test_anchors_are_read() -> None:
    assert parse_yaml("a: &x {b: 1}\nc: *x", "f") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' is given twice"),
        ("x:\n  a: 1\n  b: 2\n  a: 3\n", 4, "the key 'a' is given twice"),
        ('{"a": {"b": 1,\n"b": 2}}', 2, "the key 'b' is given twice"),
        ("a: 1\nb: [1, 2\nc: 3\n", 3, "expected ',' or ']'"),
        ("a: 1\n\tb: 2\n", 2, "'\\t'"),
        ("a: 1\nb: {{ version }}\n", 2, "a key must be text"),
        ("a: !!python/object:os.system x\n", 1, "python/object"),
    ],
)
def test_a_text_that_cannot_be_read_names_its_line(text, line, words) -> None:
    problem = parse_problem(text)
    assert problem.path.startswith(f"line {line}, column ")
    assert problem.message.startswith("not valid YAML: ")
    assert words in problem.message


def test_json_is_called_json() -> None:
    problem = parse_problem('{\n  "a": 1,\n  "b": ]}', "mine.json")
    assert problem.message.startswith("not valid JSON: ")
    assert problem.path.startswith("line 3, ")


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "5", '["a"]'])
def test_anything_but_a_mapping_is_refused(text) -> None:
    assert parse_problem(text).message.startswith("must be a mapping of keys to values, but is ")


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yaml: 1 problem\n  - no such file; check the path"):
        read_text(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_text(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("idée: 1".encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_text(tmp_path / "latin.yaml")
    (tmp_path / "good.yaml").write_text("idée: 1", encoding="utf-8")
    assert read_text(tmp_path / "good.yaml") == "idée: 1"


# Every problem at once


def test_all_problems_are_reported_together() -> None:
    found = problems_of(
        {
            "data": {"feture_set": "medium", "version": "../v5", "file": "half"},
            "cv": {"n_splits": 1, "mode": "sliding"},
            "modle": {},
            "score": {"last_eras": "all"},
        }
    )
    assert found == {
        "$.data.feture_set": "unknown key; did you mean 'feature_set'?",
        "$.data.version": found["$.data.version"],
        "$.data.file": "must be 'full' or 'downsampled', but is 'half'",
        "$.cv.n_splits": "must be greater than or equal to 2, but is 1",
        "$.cv.mode": "must be 'expanding', 'blocked' or 'walk_forward', but is 'sliding'",
        "$.modle": "unknown key; did you mean 'model'?",
        "$.score.last_eras": "must be a valid integer, but is 'all'",
    }
    assert "'../v5'" in found["$.data.version"]


def test_the_text_of_an_error_counts_and_places_its_problems() -> None:
    with pytest.raises(ConfigError) as refusal:
        validate(Config, {"cv": {"n_split": 3}, "colour": 1}, "mine.yaml")
    assert str(refusal.value).splitlines() == [
        "mine.yaml: 2 problems",
        "  - unknown key; did you mean 'n_splits'? @ $.cv.n_split",
        "  - unknown key; known: cv, data, ensemble, model, post, score @ $.colour",
    ]


@pytest.mark.parametrize(
    ("kind", "value", "path", "hint"),
    [
        (Config, {"scores": {}}, "$.scores", "did you mean 'score'?"),
        (Config, {"model": {"parameters": {}}}, "$.model.parameters", "did you mean 'params'?"),
        (Config, {"cv": {"zzz": 1}}, "$.cv.zzz", "known: embargo_eras, embargo_unit, min_train_eras, mode, n_splits"),
        (
            SearchSpace,
            {"dimensions": {"leaves": {"path": "model.params.num_leaves", "values": [3], "vales": [4]}}},
            "$.dimensions.leaves.vales",
            "did you mean 'values'?",
        ),
    ],
)
def test_unknown_keys_name_the_nearest_known_one_at_their_depth(kind, value, path, hint) -> None:
    found = problems_of(value, kind)
    assert found[path].startswith("unknown key; ")
    assert hint in found[path]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("cv.n_splits", "5"),
        ("cv.n_splits", 5.0),
        ("cv.n_splits", True),
        ("cv.n_splits", 2.5),
        ("cv.embargo_eras", None),
        ("cv.embargo_eras", -1),
        ("data.version", 5.2),
        ("data.version", ""),
        ("data.version", "v5/2"),
        ("data.target", ["target"]),
        ("data.path", ""),
        ("data.missing", "zero"),
        ("model.params", [1]),
        ("model.max_train_samples", 0),
        ("model.sample_seed", -1),
        ("score.last_eras", 0),
    ],
)
def test_no_type_is_converted_and_no_value_out_of_range_accepted(path, value) -> None:
    found = problems_of(nested(path, value))
    assert list(found) == [f"$.{path}"]
    assert f"but is {value!r}" in found[f"$.{path}"]


@pytest.mark.parametrize("section", ["data", "cv", "model", "score"])
def test_a_section_must_be_a_mapping(section) -> None:
    assert "must be a mapping" in problems_of({section: 3})[f"$.{section}"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_must_be_finite_wherever_they_stand(value) -> None:
    rule = f"must be a finite number, but is {value}"
    tree = {"cv": {"n_splits": value}, "model": {"params": {"a": value, "b": [1.0, value]}}}
    paths = ("$.cv.n_splits", "$.model.params.a", "$.model.params.b[1]")
    assert problems_of(tree) == dict.fromkeys(paths, rule)
    assert problems_of(parse_yaml("model: {params: {a: .nan}}", "f"))["$.model.params.a"].startswith("must be a finite")


def test_keys_must_be_text_and_values_plain() -> None:
    assert problems_of({"model": {"params": {1: 2}}}) == {"$.model.params": "keys must be text, but got 1"}
    assert "but is Path" in problems_of({"model": {"params": {"a": Path()}}})["$.model.params.a"].replace("Posix", "")


def test_a_mapping_that_holds_itself_is_refused() -> None:
    params: dict[str, Any] = {}
    params["a"] = params
    assert "holds itself" in problems_of({"model": {"params": params}})["$"]


def test_defaults_make_a_whole_config() -> None:
    config = validate(Config, {}, "f")
    assert config == Config()
    assert set(OTHERS) == set(leaves(config.to_json()))
    assert config.data.files() == ("v5.2/downsampled_full.parquet", "v5.2/downsampled_full_benchmark_models.parquet")
    full = validate(Config, {"data": {"version": "v9", "file": "full", "benchmark_path": "b.parquet"}}, "f")
    assert full.data.files() == ("v9/full.parquet", "b.parquet")
    plan = validate(Config, {"cv": {"n_splits": 3, "mode": "blocked", "embargo_eras": 8, "min_train_eras": 2}}, "f")
    assert (plan.cv.n_splits, plan.cv.mode, plan.cv.embargo_eras, plan.cv.min_train_eras) == (3, "blocked", 8, 2)


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().cv.n_splits = 4  # type: ignore[misc]


# Fingerprints


def shuffled(tree: Any, order: random.Random) -> Any:
    if not isinstance(tree, dict):
        return tree
    keys = list(tree)
    order.shuffle(keys)
    return {key: shuffled(tree[key], order) for key in keys}


@given(st.dictionaries(KEYS, SCALARS, max_size=4), st.sets(st.sampled_from(sorted(OTHERS))), st.randoms())
def test_a_fingerprint_does_not_depend_on_key_order_or_format(params, changed, order) -> None:
    values = with_changes(Config().to_json(), {path: OTHERS[path] for path in changed} | {"model.params": params})
    expected = validate(Config, values, "f").fingerprint()
    mixed = shuffled(values, order)
    assert validate(Config, mixed, "f").fingerprint() == expected
    for text in (json.dumps(mixed), yaml.safe_dump(mixed, sort_keys=False)):
        assert validate(Config, parse_yaml(text, "f"), "f").fingerprint() == expected


@given(st.sets(st.sampled_from(sorted(OTHERS))), st.sets(st.sampled_from(sorted(OTHERS))))
def test_a_fingerprint_depends_on_every_value(one, other) -> None:
    def print_of(changed: set[str]) -> str:
        values = with_changes(Config().to_json(), {path: OTHERS[path] for path in changed})
        return validate(Config, values, "f").fingerprint()

    assert (print_of(one) == print_of(other)) == (one == other)


@given(TREES, TREES)
def test_equal_fingerprints_mean_equal_trees(one, other) -> None:
    assert (fingerprint(one, 64) == fingerprint(other, 64)) == same(one, other)
    assert len(fingerprint(one)) == 12


def test_a_whole_number_and_its_float_stay_two_values() -> None:
    assert fingerprint({"max_bin": 5}) != fingerprint({"max_bin": 5.0})


def test_a_default_written_out_is_the_default() -> None:
    assert validate(Config, {"cv": {"n_splits": 5}}, "f").fingerprint() == Config().fingerprint()


# Trees


@given(TREES, TREES)
def test_overrides_win_and_leave_their_arguments_alone(base, changes) -> None:
    before = canonical_json([base, changes])
    merged = apply_overrides(base, changes)
    assert canonical_json([base, changes]) == before
    assert apply_overrides(merged, changes) == merged
    assert apply_overrides(base, {}) == base
    for path, value in leaves(changes).items():
        assert value == {} or value_at(merged, path) == value
    for path, value in leaves(base).items():
        if value_at(changes, path.split(".")[0]) is None and path.split(".")[0] not in changes:
            assert value_at(merged, path) == value


def test_overrides_merge_mappings_and_replace_all_else() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": {"e": 5}}
    assert apply_overrides(base, {"a": {"c": [3]}, "d": 7, "f": {"g": 1}}) == {
        "a": {"b": 1, "c": [3]},
        "d": 7,
        "f": {"g": 1},
    }
    assert apply_overrides(base, {"a": {"b": {"x": 1}}})["a"]["b"] == {"x": 1}


@given(st.lists(KEYS, min_size=1, max_size=4), SCALARS)
def test_nested_is_what_value_at_finds(parts, value) -> None:
    path = ".".join(parts)
    tree = nested(path, value)
    assert leaves(tree) == {path: value}
    assert same(value_at(tree, path), value)
    assert value_at(tree, f"{path}.deeper", "none") == "none"
    assert value_at({}, path, "none") == "none"


@given(TREES)
def test_leaves_rebuild_the_tree(tree) -> None:
    assert same(with_changes({}, leaves(tree)), tree)


def test_the_nearest_word_or_the_known_ones() -> None:
    assert nearest("num_leafs", ["max_depth", "num_leaves"]) == "; did you mean 'num_leaves'?"
    assert nearest("zzz", ["b", "a"]) == "; known: a, b"
    assert nearest("zzz", [f"w{i:02d}" for i in range(20)]).endswith("w11, …")
    assert nearest("zzz", []) == ""
