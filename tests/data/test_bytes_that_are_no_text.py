"""Bytes that are no text, where a file says that they are: refused alike by info, build and run, never half read."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_requests import VERSION, Desk, check_refusal, make_market, set_desk

from numerai_ray.cli.main import run

NO_TEXT = b"\xd6\xff"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def desk(market: Path, tmp_path: Path) -> Desk:
    return set_desk(tmp_path / "desk", market)


def spoiled(desk: Desk, name: str, column: str, row: int = 7) -> None:
    """Write a file again with one text of a column in other bytes."""
    table = pq.read_table(desk.version / name)
    texts = [each.encode() for each in table[column].to_pylist()]
    texts[row] = NO_TEXT + texts[row][2:]
    wrong = pa.array(texts, pa.binary()).view(pa.string())
    place = table.column_names.index(column)
    (desk.version / name).unlink()
    pq.write_table(table.set_column(place, column, wrong), desk.version / name)


@pytest.mark.parametrize(
    ("name", "column"), [("full.parquet", "id"), ("full.parquet", "era"), ("full_benchmark_models.parquet", "id")]
)
def test_run_refuses_and_info_finds_it(name: str, column: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    desk.write_plan({"stages": {"scout": {"data": "full"}}})
    spoiled(desk, name, column)
    code = run(desk.run_arguments())
    out, err = capfd.readouterr()
    check_refusal(code, out, err, (name, column, "UTF-8"))
    assert not desk.exp.joinpath("results", "rounds.jsonl").exists()
    assert run(["data", "info", "--version", VERSION, "--deep", "--data-dir", str(desk.data)]) in (0, 2)
    out, err = capfd.readouterr()
    assert name in out + err
    assert "Traceback" not in out + err


def test_build_refuses_it(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    for made in ("full", "downsampled_full", "full_benchmark_models", "downsampled_full_benchmark_models"):
        (desk.version / f"{made}.parquet").unlink()
    spoiled(desk, "train.parquet", "id")
    assert run(["data", "build", "--version", VERSION, "--data-dir", str(desk.data)]) == 2
    told = capfd.readouterr().err
    assert "train.parquet" in told
    assert "UTF" in told
    assert "Traceback" not in told


def test_a_column_whose_name_is_no_text(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    """One bit of the footer is enough."""
    for name in ("full", "downsampled_full"):
        file = desk.version / f"{name}.parquet"
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(re.sub(rb"target_jasper_20", b"\xfdarget_jasper_20", content))
    code = run(desk.run_arguments())
    check_refusal(code, *capfd.readouterr(), ("full.parquet",))
    for words in (["data", "info", "--version", VERSION], ["data", "info", "--version", VERSION, "--deep"]):
        assert run([*words, "--data-dir", str(desk.data)]) in (0, 2)
        out: Any = capfd.readouterr()
        assert "full.parquet" in out.out + out.err
        assert "Traceback" not in out.out + out.err
