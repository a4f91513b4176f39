"""Row groups of an earlier file: taken over where they hold the same, and never where one value differs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from weeks import as_of

from numerai_ray.data.digests import digests_file, read_digests
from numerai_ray.data.files import build as building
from numerai_ray.data.files.build import SOURCES, build
from numerai_ray.data.files.earlier import Earlier
from numerai_ray.data.files.footer import Footer
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

LAST = 50
Change = Callable[[pa.Table], pa.Table]


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A week's files with what was built of them, and the next week's files."""
    root = tmp_path_factory.mktemp("weeks")
    write_market(MarketSpec(eras=56, rows=50, features=12, seed=1), root / "all")
    as_of(root / "all", root / "before", LAST)
    as_of(root / "all", root / "now", LAST + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "_GROUP_ROWS", 120)  # three eras
        build(root / "before")
    return root / "before", root / "now"


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many row groups were taken over, of each file of which any was."""
    counts: dict[str, int] = {}
    copy = Earlier.copy

    def counted(self: Earlier, sink: pa.NativeFile, groups: int) -> None:
        counts[self.path.name] = groups
        copy(self, sink, groups)

    monkeypatch.setattr(Earlier, "copy", counted)
    monkeypatch.setattr(building, "_GROUP_ROWS", 120)
    return counts


def folders(weeks: tuple[Path, Path], root: Path) -> tuple[Path, Path]:
    """Next week's files twice: beside what was built the week before, and alone."""
    over, alone = root / "over", root / "alone"
    for folder in (over, alone):
        shutil.copytree(weeks[1], folder)
    for path in {*weeks[0].glob("*full*"), *weeks[0].glob(".*")}:
        shutil.copy2(path, over)
    return over, alone


def change(path: Path, how: Change) -> None:
    pq.write_table(how(pq.read_table(path)), path, row_group_size=500)


def flipped(column: str, row: int) -> Change:
    """One value becomes another one that the column has."""

    def how(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = next(value for value in values if value is not None and value != values[row])
        place = table.schema.get_field_index(column)
        return table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    return how


def groups_before(path: Path, era: int) -> int:
    """How many row groups of a built file end before an era."""
    file = pq.ParquetFile(path)
    lasts = [int(file.read_row_group(i, ["era"])["era"][-1].as_py()) for i in range(file.num_row_groups)]
    return sum(last < era for last in lasts)


def assert_same(over: Path, alone: Path) -> None:
    """The two builds hold the same to the last bit, in the same row groups, and are known by the same digests."""
    for name in SOURCES:
        files = [pq.ParquetFile(folder / name) for folder in (over, alone)]
        groups = [[file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] for file in files]
        assert groups[0] == groups[1]
        tables = [file.read() for file in files]
        assert tables[0].schema.equals(tables[1].schema, check_metadata=True)
        for column in tables[0].column_names:
            one, other = (table[column].to_numpy() for table in tables)
            assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), (name, column)
        assert files[0].metadata.metadata[building.BUILD_KEY] == files[1].metadata.metadata[building.BUILD_KEY]
        kept = [
            read_digests(folder / name, building.file_fingerprint(folder / name), "era") for folder in (over, alone)
        ]
        assert kept[0] is not None
        assert kept[1] is not None
        assert kept[0].eras == kept[1].eras
        assert np.array_equal(kept[0].values, kept[1].values)


def test_a_new_week_takes_over_what_it_left_alone(
    weeks: tuple[Path, Path], tmp_path: Path, copied: dict[str, int]
) -> None:
    over, alone = folders(weeks, tmp_path)
    assert all(each.fresh for each in build(over))
    build(alone)
    # 60-day labels of era 43 came, and era 51.
    assert copied["full.parquet"] == groups_before(over / "full.parquet", 43) > 10
    assert copied["full_benchmark_models.parquet"] >= groups_before(over / "full_benchmark_models.parquet", 50)
    assert [*copied] == [*SOURCES]
    assert_same(over, alone)
    read_by_others = pl.read_parquet(over / "full.parquet")
    assert read_by_others.equals(pl.read_parquet(alone / "full.parquet"))
    assert not any(each.fresh for each in build(over)), "and what was so built is up to date"
    as_of(weeks[0].parent / "all", over, LAST + 2)
    copied.clear()
    build(over)
    assert min(copied.values()) >= 4, "what was taken over is taken over once more"
    assert len(copied) == 4
    pq.ParquetFile(over / "full.parquet").read()


@pytest.mark.parametrize(
    ("name", "column", "era"),
    [
        ("train.parquet", "feature_", 1),
        ("train.parquet", "target_ender_20", 10),
        ("train.parquet", "feature_", 11),
        ("validation.parquet", "id", 35),
        ("validation.parquet", "feature_", 40),
        ("validation.parquet", "era", 36),
        ("validation_benchmark_models.parquet", "v52_", 37),
    ],
)
def test_one_value_that_differs_is_in_the_new_file(
    weeks: tuple[Path, Path], tmp_path: Path, copied: dict[str, int], name: str, column: str, era: int
) -> None:
    over, alone = folders(weeks, tmp_path)
    table = pq.read_table(over / name)
    column = next(each for each in table.column_names if each.startswith(column))
    row = [int(each) for each in table["era"].to_pylist()].index(era)
    if column == "era":  # its first row becomes one of the era before
        assert flipped(column, row)(table)["era"][row].as_py() != table["era"][row].as_py()
    for folder in (over, alone):
        change(folder / name, moved(row) if column == "era" else flipped(column, row))
    built = "full_benchmark_models.parquet" if "benchmark" in name else "full.parquet"
    left = groups_before(over / built, era - 1 if column == "era" else era)
    build(over)
    build(alone)
    assert_same(over, alone)
    assert copied.get(built, 0) == left


def moved(row: int) -> Change:
    def how(table: pa.Table) -> pa.Table:
        eras = table["era"].to_pylist()
        eras[row] = eras[row - 1]
        return table.set_column(table.schema.get_field_index("era"), "era", pa.array(eras))

    return how


def test_a_built_file_that_somebody_changed_is_not_taken_over(
    weeks: tuple[Path, Path], tmp_path: Path, copied: dict[str, int]
) -> None:
    over, alone = folders(weeks, tmp_path)
    path = over / "full.parquet"
    about = pq.read_metadata(path).metadata
    table = flipped(pq.read_schema(path).names[2], 3)(pq.read_table(path))
    pq.write_table(table.replace_schema_metadata(about), path, row_group_size=120)
    (over / digests_file(over / "downsampled_full.parquet")).write_bytes(b"half")
    build(over)
    build(alone)
    assert sorted(copied) == ["downsampled_full_benchmark_models.parquet", "full_benchmark_models.parquet"]
    assert_same(over, alone)


@pytest.mark.parametrize("kind", ["float64", "text", "new"])
def test_what_digests_do_not_tell_is_not_taken_over(
    weeks: tuple[Path, Path], tmp_path: Path, copied: dict[str, int], kind: str
) -> None:
    """Targets are hashed as float32, and other texts not at all; a new column is in no earlier group."""

    def how(table: pa.Table) -> pa.Table:
        if kind == "float64":
            place = table.schema.get_field_index("target_ender_20")
            return table.set_column(place, "target_ender_20", table["target_ender_20"].cast(pa.float64()))
        values = pa.array(["a"] * len(table)) if kind == "text" else pa.array(np.zeros(len(table), np.float32))
        return table.append_column("note" if kind == "text" else "target_new_20", values)

    over, alone = folders(weeks, tmp_path)
    for folder in (over, alone):
        for name in ("train.parquet", "validation.parquet"):
            change(folder / name, how)
    if kind != "new":  # the week before was so, too
        for name in ("train.parquet", "validation.parquet"):
            shutil.copy(weeks[0] / name, tmp_path / name)
            change(tmp_path / name, how)
            shutil.copy(tmp_path / name, over / f"old_{name}")
        now = {name: (over / name).read_bytes() for name in ("train.parquet", "validation.parquet")}
        for name in now:
            (over / f"old_{name}").replace(over / name)
        build(over)
        copied.clear()
        for name, content in now.items():
            (over / name).write_bytes(content)
    build(over)
    build(alone)
    assert not {"full.parquet", "downsampled_full.parquet"} & {*copied}
    assert_same(over, alone)


@pytest.mark.parametrize("at", [-8, -30, -600])
def test_a_damaged_footer_is_no_footer(weeks: tuple[Path, Path], tmp_path: Path, at: int) -> None:
    path = tmp_path / "full.parquet"
    content = bytearray((weeks[0] / "full.parquet").read_bytes())
    size = int.from_bytes(content[-8:-4], "little")
    place = at if at > -100 else -8 - size + 700
    content[place] ^= 0x5A
    path.write_bytes(content)
    try:
        footer = Footer(path)
    except (ValueError, OSError):
        return
    # What is damaged where no row group is described may still be read, and right.
    whole = pq.read_metadata(weeks[0] / "full.parquet")
    assert all(footer.only(i).row_group(0).equals(whole.row_group(i)) for i in range(whole.num_row_groups))


def test_a_footer_is_cut_as_if_the_file_had_ended_there(weeks: tuple[Path, Path]) -> None:
    path = weeks[0] / "full.parquet"
    footer, whole = Footer(path), pq.read_metadata(path)
    assert len(footer) == whole.num_row_groups
    for groups in (1, 2, len(footer)):
        cut = footer.first(groups)
        assert cut.num_row_groups == groups
        assert cut.num_rows == sum(whole.row_group(i).num_rows for i in range(groups))
        assert cut.row_group(groups - 1).equals(whole.row_group(groups - 1))
    nexts = [whole.row_group(i).column(0) for i in range(1, len(footer))]
    assert [footer.end(i) for i in range(1, len(footer))] == [
        each.dictionary_page_offset or each.data_page_offset for each in nexts
    ]


def test_a_value_that_leaves_size_and_footer_alone_is_seen(
    weeks: tuple[Path, Path], tmp_path: Path, copied: dict[str, int]
) -> None:
    """Compressed pages may have their old length: bytes decide, and not what the footer says of them."""
    over, alone = folders(weeks, tmp_path)
    build(over)
    copied.clear()
    path, column = over / "validation.parquet", pq.read_schema(over / "validation.parquet").names[2]
    pq.write_table(pq.read_table(path), path, compression="none", use_dictionary=False, write_statistics=False)
    build(over)
    footer, size = pq.read_metadata(path), path.stat().st_size
    how = flipped(column, 100)
    pq.write_table(how(pq.read_table(path)), path, compression="none", use_dictionary=False, write_statistics=False)
    assert pq.read_metadata(path).equals(footer)
    assert path.stat().st_size == size
    shutil.copy2(path, alone)
    assert [each.fresh for each in build(over)] == [True] * 4
    build(alone)
    assert_same(over, alone)


def test_files_of_the_version_before_are_built_again_of_their_own_groups(
    weeks: tuple[Path, Path], tmp_path: Path, copied: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knew its inputs by size and footer, which is not enough; what it wrote is good."""
    folder = tmp_path / "old"
    shutil.copytree(weeks[0], folder)
    for name in SOURCES:
        (folder / name).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(building, "_fingerprint", lambda path: f"{path.name}:{path.stat().st_size}:{'0' * 64}")
        build(folder)
    assert "knew its inputs by size and footer" in str(building.out_of_date(folder / "full.parquet"))
    assert [each.fresh for each in build(folder)] == [True] * 4
    assert copied == {name: pq.read_metadata(folder / name).num_row_groups for name in SOURCES}
    assert building.out_of_date(folder / "full.parquet") is None
    assert_same(folder, weeks[0])
