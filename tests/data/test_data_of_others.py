"""Data as other programs write it: read to the same arrays, or refused by the name of the column and its type.

``info``, ``build`` and ``run`` say the same of the same file.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from other_writers import BENCHMARKS, DATA, TARGETS, Change, Loaded, load, rewrite, small_market

from numerai_ray.config import Config, validate
from numerai_ray.data.columns import LIVE, era_of
from numerai_ray.data.dataset import feature_names, open_index
from numerai_ray.data.features import FeatureMatrix, harmless_name, values_seen
from numerai_ray.data.files.build import build
from numerai_ray.data.files.info import dataset_info
from numerai_ray.data.leaks import leaks
from numerai_ray.errors import ConfigError, DataError
from numerai_ray.models import Batch, model_for

INPUTS = ("train", "validation", "train_benchmark_models", "validation_benchmark_models")
BUILT = ("full", "downsampled_full", "full_benchmark_models", "downsampled_full_benchmark_models")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def root(market: Path, tmp_path: Path) -> Path:
    """A copy of the market that a test may rewrite."""
    shutil.copytree(market / "v5.2", tmp_path / "v5.2", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


def unbuilt(root: Path) -> None:
    for name in BUILT:
        (root / "v5.2" / f"{name}.parquet").unlink()


def assert_same(found: Loaded, expected: Loaded) -> None:
    assert found.index.eras == expected.index.eras
    np.testing.assert_array_equal(found.index.era_starts, expected.index.era_starts)
    assert found.columns.ids.tolist() == expected.columns.ids.tolist()
    for name, values in expected.columns.targets.items():
        np.testing.assert_array_equal(found.columns.targets[name], values)
    for name, values in expected.columns.benchmarks.items():
        np.testing.assert_array_equal(found.columns.benchmarks[name], values)
    np.testing.assert_array_equal(np.stack(found.features.columns), np.stack(expected.features.columns))


def numbers(values: pa.Array) -> list[int | None]:
    return [None if era == "X" else int(era) for era in values.to_pylist()]


def written(pattern: str) -> Change:
    """Eras as texts: ``{}`` is the number."""
    return lambda values: pa.array(["X" if era is None else pattern.format(era) for era in numbers(values)])


def as_type(kind: pa.DataType) -> Change:
    return lambda values: values.cast(pa.string()).cast(kind)


def category(kind: pa.DataType, indices: pa.DataType | None = None) -> Change:
    def change(values: pa.Array) -> pa.Array:
        encoded = values.cast(pa.string()).dictionary_encode()
        codes = encoded.indices.cast(indices or pa.int32())
        return pa.DictionaryArray.from_arrays(codes, encoded.dictionary.cast(kind))

    return change


def era_integers(kind: pa.DataType) -> Change:
    return lambda values: pa.array(numbers(values)).cast(kind)


def integer_category(values: pa.Array) -> pa.Array:
    return pa.array(numbers(values)).cast(pa.int16()).dictionary_encode()


# kind -> (columns of every file as another program writes them)
TYPES: dict[str, dict[str, Change]] = {
    "string_view, as polars writes": dict.fromkeys(("id", "era", "data_type"), as_type(pa.string_view())),
    "large_string": dict.fromkeys(("id", "era", "data_type"), as_type(pa.large_string())),
    "binary": dict.fromkeys(("id", "era", "data_type"), as_type(pa.binary())),
    "categories": dict.fromkeys(("id", "era", "data_type"), category(pa.string())),
    "categories of large strings": dict.fromkeys(("id", "era", "data_type"), category(pa.large_string(), pa.int16())),
    "eras as int8": {"era": era_integers(pa.int8())},
    "eras as int16": {"era": era_integers(pa.int16())},
    "eras as int32": {"era": era_integers(pa.int32())},
    "eras as int64": {"era": era_integers(pa.int64())},
    "eras as uint8": {"era": era_integers(pa.uint8())},
    "eras as uint64": {"era": era_integers(pa.uint64())},
    "eras as float": {"era": era_integers(pa.float64())},
    "eras as a category of integers": {"era": integer_category},
    "eras as '7'": {"era": written("{}")},
    "eras as '0007'": {"era": written("{:04d}")},
    "eras as 'era7'": {"era": written("era{}")},
    "eras as 'era0007', a category": {"era": lambda values: written("era{:04d}")(values).dictionary_encode()},
    "wider numbers": {
        **dict.fromkeys(TARGETS, lambda values: values.cast(pa.float64())),
        BENCHMARKS[0]: lambda values: values.cast(pa.float64()),
    },
}
# Live rows have no number, so files of live rows stay as they are where eras become integers.


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_downloads_of_another_type_build_to_the_same_data(kind: str, root: Path, market: Path) -> None:
    unbuilt(root)
    rewrite(root, INPUTS, TYPES[kind])
    build(root / "v5.2")
    assert_same(load(root), load(market))
    info = dataset_info(root / "v5.2", deep=True)
    assert [problem.message for problem in info.problems] == []
    assert [file.eras for file in info.files] == [file.eras for file in dataset_info(market / "v5.2").files]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "which", ["both", *(pytest.param(one, marks=pytest.mark.slow) for one in ("data", "benchmarks"))]
)
def test_data_files_of_another_type_are_read_alike(kind: str, which: str, root: Path, market: Path) -> None:
    names = {"both": ("full", "full_benchmark_models"), "data": ("full",), "benchmarks": ("full_benchmark_models",)}
    rewrite(root, names[which], TYPES[kind])
    assert_same(load(root), load(market))
    leaks(open_index(root, DATA), feature_names(root, "v5.2", "all"), tuple(TARGETS))


def test_types_may_differ_between_train_and_validation(root: Path, market: Path) -> None:
    unbuilt(root)
    rewrite(root, ("train", "validation_benchmark_models"), TYPES["eras as int16"])
    rewrite(root, ("validation",), TYPES["categories"])
    rewrite(root, ("train_benchmark_models",), TYPES["eras as 'era7'"])
    build(root / "v5.2")
    assert_same(load(root), load(market))
    assert pq.read_schema(root / "v5.2" / "full.parquet").field("era").type == pa.int16(), "integers stay integers"


@pytest.mark.parametrize("kind", [pa.int64(), pa.int32(), pa.string()])
def test_ids_may_be_numbers(kind: pa.DataType, root: Path) -> None:
    rewrite(root, ("full",), {"id": lambda values: pa.array(range(len(values))).cast(kind)})
    frame = pq.read_table(root / "v5.2" / "full.parquet")
    bench = pq.read_table(root / "v5.2" / "full_benchmark_models.parquet")
    rows = len(frame) - len(bench)
    rewrite(root, ("full_benchmark_models",), {"id": lambda values: pa.array(range(rows, rows + len(values)))})
    found = load(root).columns
    assert found.ids.tolist() == [str(row).encode() for row in range(len(frame))]
    assert np.isnan(found.benchmarks[BENCHMARKS[0]]).sum() == rows


@pytest.mark.parametrize("eras", [era_integers(pa.int16()), written("{}"), written("era{:04d}")])
def test_ids_that_come_again_are_told_apart_by_numbers_of_eras(eras: Change, root: Path, market: Path) -> None:
    """Where every era has the same ids, as in data by stock, and the two files write eras differently."""
    expected = load(market)
    starts = np.repeat(expected.index.era_starts[:-1], np.diff(expected.index.era_starts)).tolist()
    ids = [each.decode() for each in expected.columns.ids.tolist()]
    names = {each: f"stock{row - start}" for row, (each, start) in enumerate(zip(ids, starts, strict=True))}
    again: Change = lambda values: pa.array([names[each] for each in values.to_pylist()])  # noqa: E731
    rewrite(root, ("full", "full_benchmark_models"), {"id": again})
    rewrite(root, ("full_benchmark_models",), {"era": eras})
    found = load(root).columns
    assert found.ids_persist
    for name, values in expected.columns.benchmarks.items():
        np.testing.assert_array_equal(found.benchmarks[name], values)


def test_ids_may_hold_any_letter(root: Path) -> None:
    change: Change = lambda values: pa.array([f"é{value}" for value in values.to_pylist()])  # noqa: E731
    rewrite(root, ("full", "full_benchmark_models"), {"id": change})
    assert load(root).columns.ids[0].decode().startswith("én")


@pytest.mark.parametrize(
    ("label", "number"),
    [
        (7, 7), (7.0, 7), ("7", 7), ("0007", 7), ("era7", 7), ("era_0007", 7), ("Era 7", 7), ("7.0", 7), ("٧", 7),
        (0, 0), ("99999", 99_999), ("X", LIVE), ("eraX", LIVE),
        (-1, None), ("-1", None), (7.5, None), ("7.5", None), ("", None), (None, None), ("week 7", None), (True, None),
        ("era", None),
        ("20260102", None), (20_260_102, None), (float("inf"), None), (float("nan"), None),
    ],
)  # fmt: skip
def test_eras_are_numbers(label: Any, number: int | None) -> None:
    assert era_of(label) == number


def timestamps(values: pa.Array) -> pa.Array:
    return pa.array(np.arange(len(values)).astype("datetime64[s]"))


ERAS, IDS, TARGET = (
    "column 'era' must hold the numbers of weeks",
    "column 'id' must hold texts or integers",
    "column 'target_ender_20' must hold numbers",
)
# kind -> (column, its values of a type that cannot be what it is, words)
WRONG_TYPES: dict[str, tuple[str, Change, str]] = {
    "eras as dates": ("era", timestamps, ERAS),
    "eras as lists": ("era", lambda values: pa.array([[1]] * len(values)), ERAS),
    "ids as fractions": ("id", lambda values: pa.array(np.arange(len(values)) / 2), IDS),
    "ids of 16 bytes": ("id", lambda values: pa.array([b"0" * 16] * len(values), pa.binary(16)), IDS),
    "a target as text": ("target_ender_20", lambda values: pa.array(["a"] * len(values)), TARGET),
    "a target as truth": ("target_ender_20", lambda values: pa.array([True] * len(values)), TARGET),
    "a target as decimals": (
        "target_ender_20",
        lambda values: pa.array([None] * len(values), pa.decimal128(5, 2)),
        TARGET,
    ),
}


@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_info_build_and_run_refuse_a_type_alike(kind: str, root: Path) -> None:
    column, change, words = WRONG_TYPES[kind]
    rewrite(root, ("train", "full"), {column: change})
    with pytest.raises(DataError) as by_run:
        load(root)
    with pytest.raises(DataError) as by_build:
        build(root / "v5.2")
    told = [each.message for each in dataset_info(root / "v5.2").problems if each.kind == "column_types"]
    kind_of_column = str(pq.read_schema(root / "v5.2" / "full.parquet").field(column).type)
    assert len(told) == 2, "once a file"
    for message in (str(by_run.value), str(by_build.value), *told):
        assert words in message
        assert f"but holds {kind_of_column}; write it" in message


def test_a_benchmark_of_another_type_is_refused_alike(root: Path) -> None:
    as_text: Change = lambda values: pa.array(["a"] * len(values))  # noqa: E731
    rewrite(root, ("train_benchmark_models", "full_benchmark_models"), {BENCHMARKS[0]: as_text})
    words = f"column '{BENCHMARKS[0]}' must hold numbers, but holds string; write it as float32"
    with pytest.raises(DataError, match=words):
        load(root)
    with pytest.raises(DataError, match=words):
        build(root / "v5.2")
    assert sum(words in each.message for each in dataset_info(root / "v5.2").problems) == 2


# Numbers that no fit and no score survives, or that stand for "unknown" elsewhere.
STRANGE = {"inf": np.inf, "-inf": -np.inf, "1e300": 1e300, "-1e30": -1e30, "-9999999": -9_999_999.0}


def one(value: float) -> Change:
    def change(values: pa.Array) -> pa.Array:
        numbers = values.cast(pa.float64()).to_numpy(zero_copy_only=False).copy()
        numbers[700] = value
        return pa.array(numbers)

    return change


@pytest.mark.parametrize("value", STRANGE.values(), ids=STRANGE)
@pytest.mark.parametrize(("file", "column"), [("full", TARGETS[0]), ("full_benchmark_models", BENCHMARKS[0])])
def test_a_number_that_ruins_all_is_named(value: float, file: str, column: str, root: Path) -> None:
    rewrite(root, (file,), {column: one(value)})
    with pytest.raises(DataError) as refused:
        load(root)
    rule = f"column '{column}' must hold finite numbers"
    for words in (f"{file}.parquet", rule, "in 1 of ", f"row 701 with {value:g}"):
        assert words in str(refused.value)
    (problem,) = (each for each in dataset_info(root / "v5.2").problems if each.kind == "infinite_values")
    assert problem.file == f"{file}.parquet"
    assert rule in problem.message


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"data": {"target": {"target_ender_20": 1e308, "target_ender_60": 1e308}}}, "$.data.target.target_ender_20"),
        ({"ensemble": {"members": {"a": {}, "b": {}}, "weights": {"a": 1e308, "b": 1e308}}}, "$.ensemble.weights.a"),
        ({"post": {"blend": {"benchmark": -1e308}}}, "$.post.blend.benchmark"),
        ({"model": {"target_transform": {"type": "subtract_benchmark_zscore", "scale": 1e300}}}, ".scale"),
    ],
)
def test_a_weight_or_scale_that_ruins_all_is_refused(values: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as refused:
        validate(Config, values, "plan")
    assert any(problem.path.endswith(place) for problem in refused.value.problems)


def test_unknown_numbers_stay_unknown(root: Path) -> None:
    """NaN and null alike, in any type."""
    nulls: Change = lambda values: pa.array([None, np.nan, *values.to_pylist()[2:]], pa.float32())  # noqa: E731
    rewrite(root, ("full",), {TARGETS[0]: nulls, TARGETS[1]: lambda values: pa.array([None] * len(values), pa.int8())})
    found = load(root).columns.targets
    assert np.isnan(found[TARGETS[0]][:2]).all()
    assert np.isnan(found[TARGETS[1]]).all()
    assert leaks(open_index(root, DATA), feature_names(root, "v5.2", "all"), tuple(TARGETS)) == ()


def test_ids_that_are_missing_or_no_text_are_counted(root: Path) -> None:
    rewrite(root, ("full",), {"id": lambda values: pa.array([None, *values.to_pylist()[1:]])})
    with pytest.raises(DataError, match="ids must stand in every row, but 1 have none"):
        load(root)
    rewrite(root, ("full",), {"id": lambda values: pa.array([b"\xff%d" % row for row in range(len(values))])})
    with pytest.raises(DataError, match="ids must be texts in UTF-8, but some are other bytes"):
        load(root)
    assert any(each.kind == "damaged_file" for each in dataset_info(root / "v5.2").problems)


def test_an_id_that_would_fill_the_memory_is_refused(root: Path) -> None:
    """All ids are held as wide as the longest."""
    rewrite(root, ("full",), {"id": lambda values: pa.array(["x" * 100_000, *values.to_pylist()[1:]])})
    words = "ids must have at most 200 bytes, but one has 100,000"
    with pytest.raises(DataError, match=words):
        load(root)
    assert any(words in each.message for each in dataset_info(root / "v5.2").problems)


def test_build_compares_eras_as_numbers(root: Path) -> None:
    """``'9'`` comes before ``'10'``, and a fall is still told."""
    unbuilt(root)
    rewrite(root, INPUTS, {"era": written("{}")})
    assert build(root / "v5.2")[0].eras == len(load(root).index.eras)
    path = root / "v5.2" / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table.slice(120), table.slice(0, 120)]), path)
    with pytest.raises(DataError, match=r"eras must rise .* era 0001 comes after era"):
        build(root / "v5.2")


def test_a_column_that_stands_twice_is_refused_alike(root: Path) -> None:
    rename = {"target_ender_60": "target_ender_20"}
    rewrite(root, ("train", "full"), {}, rename)
    words = "two columns 'target_ender_20', so nobody knows which is meant; remove one"
    for act in (lambda: load(root), lambda: build(root / "v5.2")):
        with pytest.raises(DataError, match=words):
            act()
    assert sum(words in each.message for each in dataset_info(root / "v5.2").problems) == 2


STRANGE_NAMES = ("a:b", "a b", "a_b", 'a"b', "[a]", "a,b", "é", "a\tb", "{a}")


def test_feature_names_may_be_any() -> None:
    """The same predictions under any names, also of names that LightGBM refuses or takes for each other."""
    assert len({harmless_name(name) for name in STRANGE_NAMES}) == len(STRANGE_NAMES)
    rows, params = 400, {"n_estimators": 5, "num_leaves": 4}
    values = np.random.default_rng(0).integers(0, 5, (len(STRANGE_NAMES), rows)).astype(np.int8)
    label = (values[0] - values[1] / 2 + values[4]).astype(np.float32)
    found = []
    for names in (STRANGE_NAMES, tuple(f"f{place}" for place in range(len(values)))):
        features = FeatureMatrix(names, tuple(values), values_seen(values, np.array([0, rows // 2, rows])))
        train = Batch(features, ((0, rows // 2),), missing_as_null=False, target=label[: rows // 2])
        test = Batch(features, ((rows // 2, rows),), missing_as_null=False)
        engines = [model_for("lightgbm", None, each) for each in ("five_values", "lightgbm")]
        found.append([engine.fit_predict(train, test, params, 1).predictions for engine in engines])
        texts = [engine.plain(engine.fit(train, params, 1)) for engine in engines]
        read = [engine.restored(text).predict(test, 1) for engine, text in zip(engines, texts, strict=True)]
        np.testing.assert_array_equal(read, found[-1])
    for each in found[1:]:
        np.testing.assert_array_equal(each, found[0])
