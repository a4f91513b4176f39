"""Full and downsampled files: equal to what plain pandas gives, whole or absent, and not built twice."""

import errno
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from numerai_ray.data.files import build as dataset_build
from numerai_ray.data.files import sources
from numerai_ray.data.files.build import BuildSpec, BuiltFile, build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.errors import DataError, EnvironmentFault, RequestError

INPUTS = ("train", "validation", "train_benchmark_models", "validation_benchmark_models")
OUTPUTS = ("full", "downsampled_full", "full_benchmark_models", "downsampled_full_benchmark_models")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_market(MarketSpec(eras=60, rows=80, features=12, seed=1), folder)
    return folder


@pytest.fixture
def folder(market: Path, tmp_path: Path) -> Path:
    """A copy of the inputs that a test may change."""
    for name in INPUTS:
        shutil.copy2(market / f"{name}.parquet", tmp_path)
    return tmp_path


def plain_pandas(folder: Path, step: int = 4, offset: int = 0) -> dict[str, pd.DataFrame]:
    train, validation, *benchmarks = (pd.read_parquet(folder / f"{name}.parquet") for name in INPUTS)
    full = pd.concat([train, validation[validation["data_type"] == "validation"]])
    full = full.drop(columns="data_type").reset_index()
    eras = full["era"].unique()
    benchmark = pd.concat(benchmarks).reset_index()
    frames = {"full": full, "downsampled_full": full[full["era"].isin(eras[offset::step])]}
    frames["full_benchmark_models"] = benchmark[benchmark["era"].isin(eras)]
    frames["downsampled_full_benchmark_models"] = benchmark[benchmark["era"].isin(eras[offset::step])]
    return {name: frame.reset_index(drop=True) for name, frame in frames.items()}


def assert_equals_plain_pandas(folder: Path, step: int = 4, offset: int = 0) -> None:
    for name, expected in plain_pandas(folder, step, offset).items():
        built = pd.read_parquet(folder / f"{name}.parquet")
        assert len(expected) > 0
        assert list(built.columns[:2]) == ["id", "era"]
        assert isinstance(built.index, pd.RangeIndex)
        # The frames' own column order differs in the benchmark files: pandas puts the index first as we do.
        pd.testing.assert_frame_equal(built, expected[list(built.columns)], check_exact=True)
        assert set(built.columns) == set(expected.columns)


def rewrite(path: Path, change: object = None, **options: object) -> None:
    """Read a parquet file, change its table, write it back."""
    table = pq.read_table(path)
    pq.write_table(change(table) if callable(change) else table, path, **options)


def held(folder: Path) -> set[Path]:
    """What is there beside the remembered hashes of the inputs."""
    return {path for path in folder.iterdir() if path.name != ".fingerprints.json"}


def fresh(files: tuple[BuiltFile, ...]) -> list[bool]:
    return [file.fresh for file in files]


def test_equals_plain_pandas(folder: Path) -> None:
    files = build(folder)
    assert_equals_plain_pandas(folder)
    expected = plain_pandas(folder)
    assert [file.path.name for file in files] == [f"{name}.parquet" for name in OUTPUTS]
    assert [(file.rows, file.eras) for file in files] == [
        (len(expected[name]), expected[name]["era"].nunique()) for name in OUTPUTS
    ]
    assert fresh(files) == [True] * 4


@pytest.mark.parametrize(("step", "offset"), [(1, 0), (4, 3), (7, 2)])
def test_step_and_offset(folder: Path, step: int, offset: int) -> None:
    build(folder, BuildSpec(step=step, offset=offset))
    assert_equals_plain_pandas(folder, step, offset)


def test_test_rows_and_pandas_metadata_are_left_out(folder: Path) -> None:
    build(folder)
    full = pq.read_table(folder / "full.parquet")
    validation = pq.read_table(folder / "validation.parquet")
    unlabelled = validation.filter(pc.equal(validation["data_type"], "test"))["id"].to_pylist()
    assert unlabelled
    assert not set(unlabelled) & set(full["id"].to_pylist())
    assert "data_type" not in full.column_names
    assert b"pandas" not in (pq.read_metadata(folder / "full.parquet").metadata)
    benchmark_eras = pq.read_table(folder / "full_benchmark_models.parquet")["era"].to_pylist()
    assert max(benchmark_eras) == max(full["era"].to_pylist())


@pytest.mark.parametrize(
    ("read_cells", "row_group_size"),  # slice by slice, or a row group at once
    [
        *((0, 500), (200_000_000, 100_000)),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((0, 37), (0, 100_000))),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((200_000_000, 37), (200_000_000, 500))),
    ],
)
def test_eras_may_straddle_row_groups_of_the_inputs_but_not_of_the_outputs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, row_group_size: int, read_cells: int
) -> None:
    monkeypatch.setattr(sources, "_READ_CELLS", read_cells)
    for name in INPUTS:
        rewrite(folder / f"{name}.parquet", row_group_size=row_group_size)
    monkeypatch.setattr(dataset_build, "_SLICE_ROWS", 110)  # an era and a half
    monkeypatch.setattr(sources, "_SLICE_ROWS", 110)
    monkeypatch.setattr(dataset_build, "_GROUP_ROWS", 150)  # two or three eras
    build(folder)
    assert_equals_plain_pandas(folder)
    for name in OUTPUTS:
        file = pq.ParquetFile(folder / f"{name}.parquet")
        assert file.num_row_groups > 2
        seen: set[str] = set()
        for group in range(file.num_row_groups):
            eras = set(file.read_row_group(group, columns=["era"])["era"].to_pylist())
            assert not eras & seen
            seen |= eras
        assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) < 300


def test_inputs_written_by_pandas_with_large_strings(folder: Path) -> None:
    for name in INPUTS:
        pd.read_parquet(folder / f"{name}.parquet").to_parquet(folder / f"{name}.parquet")
    build(folder)
    assert_equals_plain_pandas(folder)


def test_what_is_up_to_date_is_left_alone(folder: Path) -> None:
    first = build(folder)
    written = {name: (folder / f"{name}.parquet").stat() for name in OUTPUTS}
    calls: list[tuple[int, int]] = []
    second = build(folder, on_rows=lambda done, total: calls.append((done, total)))
    assert fresh(second) == [False] * 4
    assert [(file.rows, file.eras) for file in second] == [(file.rows, file.eras) for file in first]
    for name, before in written.items():
        after = (folder / f"{name}.parquet").stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert calls == []


def test_another_step_rebuilds_the_downsampled_files_alone(folder: Path) -> None:
    build(folder)
    assert fresh(build(folder, BuildSpec(step=5))) == [False, True, False, True]
    assert_equals_plain_pandas(folder, step=5)


def test_a_changed_input_rebuilds(folder: Path) -> None:
    build(folder)

    def nudged(table: pa.Table) -> pa.Table:
        column = table.column_names.index("v52_lgbm_ender20")
        return table.set_column(column, "v52_lgbm_ender20", pc.multiply(table.column(column), 0.5))

    rewrite(folder / "validation_benchmark_models.parquet", nudged)
    assert fresh(build(folder)) == [False, False, True, True]
    rewrite(folder / "train.parquet", lambda table: table.slice(3))
    assert fresh(build(folder)) == [True] * 4
    assert_equals_plain_pandas(folder)


def test_a_missing_or_damaged_output_is_built_again(folder: Path) -> None:
    build(folder)
    (folder / "full.parquet").unlink()
    (folder / "downsampled_full_benchmark_models.parquet").write_bytes(b"PAR1 half a file")
    assert fresh(build(folder)) == [True, False, False, True]
    assert_equals_plain_pandas(folder)


def test_a_new_build_version_rebuilds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(folder)
    monkeypatch.setattr(dataset_build, "BUILD_VERSION", dataset_build.BUILD_VERSION + 1)
    assert fresh(build(folder)) == [True] * 4


def test_progress_rises_to_the_rows_of_all_inputs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_build, "_SLICE_ROWS", 500)
    calls: list[tuple[int, int]] = []
    build(folder, on_rows=lambda done, total: calls.append((done, total)))
    total = sum(pq.read_metadata(folder / f"{name}.parquet").num_rows for name in INPUTS)
    done = [rows for rows, _ in calls]
    assert done == sorted(done)
    assert len(done) > 4
    assert calls[-1] == (total, total)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_build_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(dataset_build, "_SLICE_ROWS", 500)
    before = held(folder)

    def stop(done: int, total: int) -> None:
        if done > total / 3:
            raise error

    with pytest.raises(error) as raised:  # noqa: F841 - holds the traceback, and with it the frames, while we look
        build(folder, on_rows=stop)
    assert held(folder) == before
    build(folder)
    assert_equals_plain_pandas(folder)


@pytest.mark.parametrize("name", INPUTS)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.parquet").unlink()
    with pytest.raises(DataError, match=rf"/{name}\.parquet: is missing; download it"):
        build(folder)


@pytest.mark.parametrize("content", [b"", b"not parquet at all", None])
def test_a_damaged_file_is_named(folder: Path, content: bytes | None) -> None:
    path = folder / "validation.parquet"
    path.write_bytes(path.read_bytes()[:-50] if content is None else content)
    with pytest.raises(DataError, match=r"/validation\.parquet: cannot be read .* download it again"):
        build(folder)


def test_damage_inside_a_file_is_found_while_reading_and_leaves_nothing(folder: Path) -> None:
    path = folder / "train.parquet"
    content = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(0).column(3).dictionary_page_offset
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    before = held(folder)
    with pytest.raises(DataError, match=r"/train\.parquet: cannot be read .* download it again"):
        build(folder)
    assert held(folder) == before


@pytest.mark.parametrize(
    ("name", "column"),
    [("train", "era"), ("validation", "data_type"), ("validation", "id"), ("train_benchmark_models", "era")],
)
def test_a_missing_column_is_named(folder: Path, name: str, column: str) -> None:
    rewrite(folder / f"{name}.parquet", lambda table: table.drop_columns([column]))
    with pytest.raises(DataError, match=rf"/{name}\.parquet: has no column '{column}'"):
        build(folder)


def test_files_of_two_versions_do_not_fit(folder: Path) -> None:
    rewrite(folder / "validation.parquet", lambda table: table.drop_columns(["target_ender_60"]))
    with pytest.raises(DataError, match=r"validation\.parquet: has no column 'target_ender_60', which train"):
        build(folder)


def test_a_column_of_another_type_does_not_fit(folder: Path) -> None:
    def widened(table: pa.Table) -> pa.Table:
        return table.set_column(table.column_names.index("target"), "target", table["target"].cast(pa.float64()))

    rewrite(folder / "validation.parquet", widened)
    with pytest.raises(DataError, match="'target' is double, but float in train"):
        build(folder)


def test_unsorted_eras_are_refused(folder: Path) -> None:
    rewrite(folder / "train.parquet", lambda table: pa.concat_tables([table.slice(500), table.slice(0, 500)]))
    with pytest.raises(DataError, match=r"/train\.parquet: eras must rise .* comes after era"):
        build(folder)


def test_eras_of_train_and_validation_must_not_meet(folder: Path) -> None:
    shutil.copy2(folder / "validation.parquet", folder / "train.parquet")
    with pytest.raises(DataError, match=r"/validation\.parquet: eras must rise"):
        build(folder)


def test_unsorted_benchmark_eras_are_refused(folder: Path) -> None:
    rewrite(
        folder / "train_benchmark_models.parquet",
        lambda table: pa.concat_tables([table.slice(300), table.slice(0, 300)]),
    )
    with pytest.raises(DataError, match=r"/train_benchmark_models\.parquet: eras must rise"):
        build(folder)
    assert not (folder / "full_benchmark_models.parquet").exists()


def test_a_full_disk_is_told_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = held(folder)
    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        build(folder)
    assert held(folder) == before


@pytest.mark.parametrize(("step", "offset"), [(0, 0), (4, 4), (4, -1)])
def test_impossible_spacing_is_refused(step: int, offset: int) -> None:
    with pytest.raises(RequestError, match=f"step={step}, offset={offset}"):
        BuildSpec(step=step, offset=offset)
