"""Drift: what changes in the newest eras is named, and a market that goes on is left alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.data.files.build import BuildSpec, build
from numerai_ray.data.files.drift import KEPT, drift_of, known_drift, past_blocks
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.errors import DataError, RequestError
from numerai_ray.metrics.drift import blocks_of

TARGET = "target_ender_20"


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only."""
    version = tmp_path_factory.mktemp("drift") / "tiny"
    write_market(MarketSpec(eras=140, rows=120, features=40, seed=4), version)
    build(version, BuildSpec())
    return version


@pytest.fixture
def version(quiet: Path, tmp_path: Path) -> Path:
    own = tmp_path / "tiny"
    shutil.copytree(quiet, own)
    return own


def change(version: Path, edit: object, last: int = 12) -> None:
    """Rewrite the newest eras of the full file: ``edit(name, values, rows)`` gives a column's new values."""
    path = version / "full.parquet"
    table = pq.read_table(path)
    eras = np.array([int(era) for era in table["era"].to_pylist()])
    rows = eras > eras.max() - last
    for place, field in enumerate(table.schema):
        if field.name.startswith(("feature", "target")):
            values = edit(field.name, table[field.name].to_numpy().copy(), rows)  # type: ignore[operator]
            table = table.set_column(place, field, pa.array(values, field.type, from_pandas=True))
    pq.write_table(table, path, row_group_size=4000)


def test_a_market_that_goes_on_is_left_alone(quiet: Path) -> None:
    found = drift_of(quiet, eras=12)
    assert found.findings == ()
    assert (found.target, found.past_blocks, found.file) == (TARGET, 10, "full.parquet")
    assert found.newest == ("0125", "0136")
    whole = found.groups[0]
    assert (whole.group, whole.features) == ("all", 40)
    assert whole.agreement.low <= whole.agreement.newest <= 1
    assert len(found.blocks) == found.past_blocks + 1
    assert {each.target for each in found.targets} >= {TARGET, "target_ender_60"}


def test_features_that_lose_their_data_are_named(version: Path) -> None:
    lost = [f"{name}" for name in pq.read_schema(version / "full.parquet").names if name.startswith("feature")][:25]

    def edit(name: str, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if name in lost:
            values[rows] = 2
        return values

    change(version, edit)
    found = drift_of(version, eras=12)
    assert set(found.newly_constant) == set(lost)
    assert any("25 features have only one value now" in each for each in found.findings)
    assert any("62.5% of the features' eras are missing" in each for each in found.findings)
    assert found.groups[0].constant == 25


def test_values_that_move_are_named(version: Path) -> None:
    def edit(name: str, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if name.startswith("feature"):
            values[rows] = np.minimum(values[rows], 2)
        return values

    change(version, edit)
    found = drift_of(version, eras=12)
    assert any("values of features are further from the past" in each for each in found.findings)
    assert all(each.shift.is_high for each in found.groups if each.features > 5)


def test_what_pays_the_other_way_round_is_named(version: Path) -> None:
    """Targets turned upside down: features and targets look as before, and all that paid costs."""

    def edit(name: str, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
        if name.startswith("target"):
            values[rows] = 1 - values[rows]
        return values

    change(version, edit, last=14)
    (finding,) = drift_of(version, eras=12).findings
    assert f"their correlations with {TARGET} agree by -" in finding


def test_findings_are_kept_beside_the_data_they_are_of(version: Path) -> None:
    assert known_drift(version, TARGET, 12) == ()
    kept = json.loads((version / KEPT).read_text())
    (key,) = kept
    (version / KEPT).write_text(json.dumps({key: ["seen"]}))
    assert known_drift(version, TARGET, 12) == ("seen",)
    change(version, lambda name, values, rows: np.where(rows, 2, values) if name.startswith("feature") else values)
    assert known_drift(version, TARGET, 12) != ("seen",)


@pytest.mark.pictures
def test_the_command(quiet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["data", "info", "--data-dir", str(quiet.parent), "--drift", "--drift-eras", "12"]
    assert run([*own, "--plot", str(tmp_path), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("data info")).validate(value)
    assert value["versions"][0]["drift"]["past_blocks"] == 10
    assert (tmp_path / "drift-tiny.png").read_bytes()[:4] == b"\x89PNG"
    assert run(own) == 0
    text = capsys.readouterr().out
    assert "drift: eras 0125–0136 of full.parquet" in text
    assert "nothing is unusual" in text
    assert run([*own, "--target", "target_elsewhere"]) == 2
    assert "no target 'target_elsewhere'" in capsys.readouterr().err


def test_what_is_refused(quiet: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="has 136 eras with target_ender_20, but 150 are needed"):
        drift_of(quiet, eras=50)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"no full.parquet there; build it"):
        drift_of(tmp_path / "none")


def test_blocks_of_the_past() -> None:
    assert past_blocks(range(1, 10), 3) == [(1, 2, 3), (4, 5, 6)]
    assert past_blocks(range(1, 9), 3) == []
    many = past_blocks(range(1, 1201), 20)
    assert len(many) == 24
    assert many[0] == tuple(range(1, 21))
    assert many[-1] == tuple(range(1161, 1181))


def test_distances_and_missing_eras() -> None:
    # Two eras a block, one column, three values; the newest block's first era is missing as a whole.
    counts = np.array([[[[5, 0, 5]], [[5, 0, 5]]], [[[5, 5, 0]], [[5, 5, 0]]], [[[0, 0, 8]], [[8, 0, 0]]]])
    blocks = blocks_of(counts, np.array([[[0.1], [0.3]], [[0.2], [0.2]], [[0.9], [0.5]]]))
    assert blocks.missing[:, 0].tolist() == [0, 0, 0.5]
    assert blocks.shift[:, 0].tolist() == [0.5, 0.5, 0.5]
    assert blocks.correlation[:, 0].tolist() == pytest.approx([0.2, 0.2, 0.5])
    assert blocks.newly_constant() == []
