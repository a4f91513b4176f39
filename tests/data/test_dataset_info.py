"""What ``data info`` tells of a data version, and every kind of problem that it finds, with what to do about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from numerai_ray.cli.main import run
from numerai_ray.data.files.info import VersionInfo, as_json, dataset_info, versions_in

Change = Callable[[pa.Table], pa.Table]
BENCHMARKS = "validation_benchmark_models.parquet"


@pytest.fixture
def folder(market: Path, tmp_path: Path) -> Path:
    """A whole version to damage."""
    ignored = shutil.ignore_patterns(".fingerprints.json")
    return shutil.copytree(market / "tiny", tmp_path / "data" / "v5.2", ignore=ignored)


def rewrite(path: Path, change: Change) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def with_values(name: str, change: Callable[[list[object]], list[object]]) -> Change:
    """A column with other values of the same type."""

    def changed(table: pa.Table) -> pa.Table:
        field = table.schema.field(name)
        values = pa.array(change(table[name].to_pylist()), field.type)
        return table.set_column(table.schema.get_field_index(name), field, values)

    return changed


def kinds(info: VersionInfo) -> list[tuple[str, str]]:
    return [(problem.kind, problem.file) for problem in info.problems]


def test_a_whole_version_has_no_problems(market: Path) -> None:
    info = dataset_info(market / "tiny", deep=True)
    assert info.problems == ()
    assert info.synthetic
    by_name = {file.file: file for file in info.files}
    full = by_name["full.parquet"]
    table = pq.read_table(market / "tiny" / "full.parquet")
    eras = table["era"].unique().to_pylist()
    assert full.eras is not None
    assert (full.rows, full.columns, full.features) == (table.num_rows, table.num_columns, 30)
    assert (full.eras.first, full.eras.last, full.eras.count) == (eras[0], eras[-1], len(eras))
    assert (by_name["live.parquet"].eras.first, by_name["live.parquet"].eras.count) == ("X", 1)  # type: ignore[union-attr]
    assert info.feature_sets["all"] == 30
    assert info.labels_from == ("train.parquet", "validation.parquet")


def test_coverage_counts_labelled_rows(market: Path) -> None:
    info = dataset_info(market / "tiny")
    full = pq.read_table(market / "tiny" / "full.parquet")
    targets = {target.target: target for target in info.targets}
    assert len(targets) == 41
    for name in ("target_ender_20", "target_ender_60", "target_jeremy_20"):
        known = len(full) - full[name].to_numpy().astype(float)[np.isnan(full[name].to_numpy())].size
        assert targets[name].known_rows == known
        assert targets[name].coverage == pytest.approx(known / len(full))
    assert targets["target_ender_20"].missing_eras == ()
    assert targets["target_ender_60"].missing_eras == (("0109", "0116"),)
    benchmark = pq.read_table(market / "tiny" / "full_benchmark_models.parquet")
    ender = next(each for each in info.benchmarks if each.benchmark == "v52_lgbm_ender20")
    assert (ender.first_era, ender.last_era) == ("0015", "0116")
    assert ender.coverage == pytest.approx(len(benchmark) / len(full))


def swap_eras(table: pa.Table) -> pa.Table:
    return pa.concat_tables([table.slice(500), table.slice(0, 500)])


def without_eras(*eras: str) -> Change:
    return lambda table: table.filter(pc.invert(pc.is_in(table["era"], value_set=pa.array(eras))))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def noise(path: Path) -> None:
    chunk = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset : chunk.data_page_offset + 60] = b"\xff" * 60
    path.write_bytes(content)


# name -> file, what is done to it (a change of its table, or of the path), kind of problem, words of the message
DAMAGES: dict[str, tuple[str, Change | Callable[[Path], None], str, str]] = {
    "an id twice": (
        "train.parquet", with_values("id", lambda ids: [*ids[:-1], ids[3]]), "duplicate_ids", "1 ids stand there again",
    ),
    "no id": ("train.parquet", with_values("id", lambda ids: [None, *ids[1:]]), "missing_ids", "1 rows of row group 1"),
    "eras fall": ("train.parquet", swap_eras, "unsorted_eras", "eras must rise, but era 0001 comes after era 0056"),
    "an era that is none": (
        "train.parquet", with_values("era", lambda eras: ["first", *eras[1:]]), "era_labels", "'first' is there",
    ),
    "eras gone from the benchmarks": (
        BENCHMARKS, without_eras("0070", "0071", "0090"), "benchmark_eras",
        "it lacks 3 eras of validation.parquet: 0070–0071, 0090",
    ),
    "rows gone from the benchmarks": (
        BENCHMARKS, lambda table: table.slice(5), "benchmark_eras", "it lacks rows of 1 eras of validation.parquet",
    ),
    "benchmarks of other rows": (
        BENCHMARKS, with_values("id", lambda ids: ["n" + "0" * 15, *ids[1:]]), "benchmark_ids", "1 of its ids are not",
    ),
    "a column gone": ("train.parquet", lambda t: t.drop_columns(["era"]), "missing_columns", "it has no column 'era'"),
    "a target gone": (
        "train.parquet", lambda t: t.drop_columns(["target_ender_60"]), "missing_targets", "first is 'target_ender_60'",
    ),
    "half a file": ("train.parquet", cut, "damaged_file", "its footer cannot be read"),
    "a damaged page": ("train.parquet", noise, "damaged_file", "row group 1 is damaged in columns"),
    "no file": ("train.parquet", Path.unlink, "missing_file", "it is not there"),
    "features.json is none": (
        "features.json", lambda path: path.write_text("[1]"), "damaged_file", "it must hold 'feature_sets'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_every_kind_of_problem(name: str, folder: Path) -> None:
    file, change, kind, words = DAMAGES[name]
    if change in (cut, noise, Path.unlink) or file == "features.json":
        change(folder / file)  # type: ignore[arg-type]
    else:
        rewrite(folder / file, change)  # type: ignore[arg-type]
    info = dataset_info(folder)
    found = [problem for problem in info.problems if (problem.kind, problem.file) == (kind, file)]
    assert found, kinds(info)
    assert words in found[0].message
    assert "run `numerai-ray data synth --out DIR --version v5.2`" in found[0].message


def test_values_outside_0_to_4_are_found_by_deep_alone(folder: Path) -> None:
    table = pq.read_table(folder / "train.parquet")
    features = [name for name in table.column_names if name.startswith("feature")]
    rewrite(folder / "train.parquet", with_values(features[4], lambda values: [7, -1, *values[2:]]))
    assert "feature_values" not in dict(kinds(dataset_info(folder)))
    (found,) = [each for each in dataset_info(folder, deep=True).problems if each.kind == "feature_values"]
    assert f"the first is {features[4]!r} with 2 rows (-1 to 7)" in found.message


def test_a_built_file_older_than_its_inputs(folder: Path) -> None:
    rewrite(folder / "train.parquet", lambda table: table.slice(3))
    (found,) = [each for each in dataset_info(folder).problems if each.file == "full.parquet"]
    assert found.kind == "out_of_date"
    assert found.message == ("it was built before train.parquet changed; run `numerai-ray data build --version v5.2`")


def test_what_was_left_half_done(folder: Path) -> None:
    (folder / ".train.parquet.part").write_bytes(b"half")
    (folder / ".full.parquet.x.partial").write_bytes(b"half")
    found = {each.file: each.message for each in dataset_info(folder).problems}
    assert found[".train.parquet.part"].endswith("run `numerai-ray data synth --out DIR --version v5.2`")
    assert found[".full.parquet.x.partial"].endswith("delete it")


def test_the_keys_of_the_answer(market: Path) -> None:
    answer = json.loads(json.dumps(as_json(market, [dataset_info(market / "tiny")], deep=False)))
    assert list(answer) == ["data_root", "deep", "versions"]
    (version,) = answer["versions"]
    assert list(version) == [
        "version", "path", "synthetic", "files", "feature_sets", "labels_from", "targets", "benchmarks", "problems",
    ]  # fmt: skip
    file = next(each for each in version["files"] if each["file"] == "train.parquet")
    assert list(file) == ["file", "bytes", "rows", "row_groups", "columns", "features", "eras"]
    assert set(file["eras"]) == {"first", "last", "count"}
    assert set(version["targets"][0]) == {"target", "coverage", "known_rows", "missing_eras"}
    assert set(version["benchmarks"][0]) == {"benchmark", "first_era", "last_era", "coverage", "known_rows"}


def test_the_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rewrite(folder / "train.parquet", with_values("id", lambda ids: [*ids[:-1], ids[3]]))
    root = str(folder.parent)
    assert run(["data", "info", "--data-dir", root]) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "a synthetic market" in out
    assert "1 ids stand there again" in " ".join(out.split())
    assert "--deep does that" in out
    assert run(["data", "info", "--data-dir", root, "--version", "v5.2", "--deep", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["deep"] is True
    assert [each["version"] for each in answer["versions"]] == ["v5.2"]
    assert "duplicate_ids" in {problem["kind"] for problem in answer["versions"][0]["problems"]}


def test_versions_and_none(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "store").mkdir()
    assert versions_in(folder.parent) == ["v5.2"]
    assert run(["data", "info", "--data-dir", str(folder.parent), "--version", "v5.3"]) == 2
    message = " ".join(capfd.readouterr().err.replace("│", " ").split())
    assert "no data version 'v5.3'; did you mean 'v5.2'?" in message
    (tmp_path / "empty").mkdir()
    assert run(["data", "info", "--data-dir", str(tmp_path / "empty")]) == 0
    assert "holds no data version; download one with" in capfd.readouterr().out


def test_a_market_is_read_in_blocks(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few values are decoded at once, the answer is the same."""
    before = dataset_info(market / "tiny", deep=True)
    monkeypatch.setattr("numerai_ray.data.files.scan._BLOCK_VALUES", 1000)
    done: list[tuple[int, int]] = []
    assert dataset_info(market / "tiny", deep=True, on_values=lambda *seen: done.append(seen)) == before
    assert done[-1][0] == done[-1][1]
    assert len(done) > 50
