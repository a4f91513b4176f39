"""Rows cut out of a saved LightGBM Dataset: the file that LightGBM itself would have saved of them, and its trees."""

import threading
from dataclasses import replace
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numerai_ray.models.binned_rows import StoredBytes, _saved, load_rows, read_layout, through_memory_file
from numerai_ray.models.unused_buffers import give_back

N_ROWS = 1001
SAME = {"verbosity": -1, "feature_pre_filter": False, "deterministic": True, "force_col_wise": True, "num_threads": 2}


def saved(folder: Path, columns: dict[str, np.ndarray], **params: object) -> StoredBytes:
    """What LightGBM saves of ``columns``, in chunks that cut features in two."""
    table = pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})
    n_rows = table.num_rows
    dataset = lgb.Dataset(table, np.zeros(n_rows, np.float32), params={**SAME, **params}).construct()
    path = folder / "saved.bin"
    path.unlink(missing_ok=True)
    dataset.save_binary(path)
    whole = np.fromfile(path, np.uint8)
    return StoredBytes(np.array_split(whole, 7))


def five_valued(n_rows: int = N_ROWS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    columns = {f"feature_{i}": rng.integers(0, 5, n_rows, dtype=np.int8) for i in range(6)}
    columns["feature_skewed"] = rng.choice(5, n_rows, p=[0.1, 0.1, 0.6, 0.1, 0.1]).astype(np.int8)
    columns["feature_constant"] = np.full(n_rows, 2, np.int8)
    return columns


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredBytes:
    return saved(tmp_path_factory.mktemp("saved"), five_valued())


def whole(stored: StoredBytes) -> bytes:
    return stored.read(0, len(stored)).tobytes()


def test_all_rows_are_the_file_itself(stored: StoredBytes) -> None:
    layout = read_layout(stored)
    assert layout is not None
    pieces = [bytes(piece) for piece in _saved(stored, layout, np.arange(N_ROWS))]
    assert b"".join(pieces) == whole(stored)


@st.composite
def some_rows(draw: st.DrawFn) -> np.ndarray:
    start = draw(st.integers(0, N_ROWS - 1))
    stop = draw(st.integers(start + 1, N_ROWS))
    rows = np.arange(start, stop)
    if draw(st.booleans()):
        rows = rows[np.random.default_rng(draw(st.integers(0, 9))).random(len(rows)) < draw(st.floats(0.1, 1))]
    return rows if len(rows) else np.array([start])


@settings(max_examples=60)
@given(rows=some_rows())
def test_any_rows_are_the_file_of_their_subset(
    stored: StoredBytes, rows: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    layout = read_layout(stored)
    assert layout is not None
    folder = tmp_path_factory.mktemp("subset")
    (folder / "all.bin").write_bytes(whole(stored))
    lgb.Dataset(folder / "all.bin", params=SAME).construct().subset(rows.tolist()).construct().save_binary(
        folder / "subset.bin"
    )
    ours = b"".join(bytes(piece) for piece in _saved(stored, layout, rows))
    assert ours == (folder / "subset.bin").read_bytes()


def trees(dataset: lgb.Dataset, target: np.ndarray) -> str:
    settings_ = {**SAME, "objective": "regression", "num_leaves": 15, "min_data_in_leaf": 5, "seed": 1}
    return lgb.train(settings_, dataset.set_label(target), 20).model_to_string()


@pytest.mark.parametrize(
    "rows",
    [np.arange(600), np.arange(601), np.arange(301, 900), np.r_[0:300, 511:1001], np.arange(0, 1001, 3)],
    ids=["even", "odd", "odd start", "two ranges", "every third"],
)
def test_the_trees_of_the_rows_alone(stored: StoredBytes, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numerai_ray.models.binned_rows.through_memory_file", None)  # the pipe is enough
    layout = read_layout(stored)
    assert layout is not None
    target = np.random.default_rng(5).normal(size=N_ROWS).astype(np.float32)[rows]
    alone = pa.table({name: values[rows] for name, values in five_valued().items()})
    assert trees(load_rows(stored, layout, rows, SAME), target) == trees(lgb.Dataset(alone, params=SAME), target)


def test_nulls_and_wide_features(tmp_path: Path) -> None:
    """More than 16 and more than 256 bins, missing values: whole bytes a value."""
    rng = np.random.default_rng(2)
    columns: dict[str, np.ndarray] = {
        "nulls": np.where(rng.random(N_ROWS) < 0.3, np.nan, rng.integers(0, 5, N_ROWS)).astype(np.float64),
        "hundred": rng.integers(0, 100, N_ROWS).astype(np.float64),
        "wide": rng.normal(size=N_ROWS),
    }
    stored = saved(tmp_path, columns, max_bin=400, min_data_in_bin=1)
    layout = read_layout(stored)
    assert layout is not None
    assert sorted(group.bits for group in layout.groups) == [4, 8, 16]
    assert b"".join(bytes(piece) for piece in _saved(stored, layout, np.arange(N_ROWS))) == whole(stored)
    rows, target = np.arange(101, 901), rng.normal(size=800).astype(np.float32)
    subset = (
        lgb.Dataset(
            pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()}),
            np.zeros(N_ROWS, np.float32),
            params={**SAME, "max_bin": 400, "min_data_in_bin": 1},
        )
        .construct()
        .subset(rows.tolist())
    )
    wide = {**SAME, "max_bin": 400, "min_data_in_bin": 1}
    assert trees(load_rows(stored, layout, rows, wide), target) == trees(subset.construct(), target)


def test_other_files_are_not_misread(stored: StoredBytes) -> None:
    layout = read_layout(stored)
    assert layout is not None
    content = np.frombuffer(whole(stored), np.uint8)
    for damaged in (content[:10], content[:-8], content[: len(content) // 2], np.zeros(4000, np.uint8)):
        assert read_layout(StoredBytes([damaged])) is None
    definition = content.copy()
    definition[layout.groups[2].start - len(layout.groups[2].definition) + 16] = 1  # says that it is sparse
    assert read_layout(StoredBytes([definition])) is None
    for word in range(5, 18):  # any number of the header's that we rely on
        changed = content.copy()
        changed[word * 8] ^= 255
        layout = read_layout(StoredBytes([changed]))
        assert layout is None or layout.n_rows == N_ROWS


def test_a_lightgbm_that_looks_more_often_gets_a_file(stored: StoredBytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numerai_ray.models.binned_rows._LOOKS", 1)
    layout = read_layout(stored)
    assert layout is not None
    assert load_rows(stored, layout, np.arange(500), SAME).num_data() == 500


def test_what_lightgbm_refuses_ends(stored: StoredBytes) -> None:
    """Half a file: LightGBM says so, and neither the thread nor a descriptor is left."""
    layout = read_layout(stored)
    assert layout is not None
    before = len(list(Path("/proc/self/fd").iterdir()))
    broken = replace(layout, groups=layout.groups[:3])
    with pytest.raises(lgb.basic.LightGBMError):
        load_rows(stored, broken, np.arange(500), SAME)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not [thread for thread in threading.enumerate() if thread.name == "binned-rows"]


def test_a_buffer_that_lightgbm_never_uses_is_given_back(tmp_path: Path) -> None:
    """Half of a four-bit feature, page by page; the trees stay what they were, and other layouts are left alone."""
    n_rows = 200_001
    rng = np.random.default_rng(0)
    columns = {f"feature_{i}": rng.integers(0, 5, n_rows, dtype=np.int8) for i in range(8)}
    stored = saved(tmp_path, columns)
    layout = read_layout(stored)
    assert layout is not None
    target = rng.normal(size=n_rows).astype(np.float32)
    before = through_memory_file(stored.chunks(), SAME)
    untouched = trees(before, target)
    size = len(layout.groups) * ((n_rows + 1) // 2)
    assert 0.85 * size < give_back(before, len(layout.groups)) <= size
    assert trees(before, target) == untouched
    assert trees(load_rows(stored, layout, np.arange(n_rows), SAME), target) == untouched
    assert give_back(before, len(layout.groups) + 1) == 0  # no vector of so many groups: nothing is touched
