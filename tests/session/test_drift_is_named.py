"""Drift is named where results fall: by `follow` of a model that does worse than promised, and by what recheck asks."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from live_rounds import BMC, uploaded, weeks_of_rounds
from numerai_account import PUBLIC_ID, SECRET, Account
from numerai_server import NumeraiServer

from numerai_ray.cli.main import run
from numerai_ray.data.files.build import BuildSpec, build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.session.recheck import drift_findings

ERAS, NEWEST = 230, 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root whose v5.2 lost most of its features' data in the newest eras, and whose v5.3 did not: read-only."""
    found = tmp_path_factory.mktemp("drift")
    for version in ("v5.2", "v5.3"):
        write_market(MarketSpec(eras=ERAS, rows=60, features=12, seed=4), found / version)
        build(found / version, BuildSpec())
    path = found / "v5.2" / "full.parquet"
    table = pq.read_table(path)
    eras = np.array([int(era) for era in table["era"].to_pylist()])
    for place, field in enumerate(table.schema):
        if field.name.startswith("feature") and place % 4:
            values = np.where(eras > eras.max() - NEWEST, 2, table[field.name].to_numpy())
            table = table.set_column(place, field, pa.array(values, field.type))
    pq.write_table(table, path, row_group_size=2000)
    return found


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Path) -> Iterator[Account]:
    monkeypatch.chdir(tmp_path)
    for name, value in (("PUBLIC_ID", PUBLIC_ID), ("SECRET_KEY", SECRET)):
        monkeypatch.setenv(f"NUMERAI_{name}", value)
    monkeypatch.setenv("NUMERAI_RAY_DATA", str(root))
    with NumeraiServer({}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        yield Account(server, scopes=frozenset({"read_user_info"}))


def test_follow_names_it_of_a_model_that_does_worse(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    uploaded("ray_one", "model-1")
    uploaded("ray_two", "model-2")
    account.rounds = {"model-1": weeks_of_rounds(60, 0.0), "model-2": weeks_of_rounds(60, BMC.mean)}
    assert run(["follow"]) == 0
    said = capsys.readouterr().out
    assert "data v5.2: " in said
    assert "have only one value now" in said
    account.rounds = {"model-1": weeks_of_rounds(60, BMC.mean), "model-2": weeks_of_rounds(60, BMC.mean)}
    assert run(["follow"]) == 0
    assert "data v5.2" not in capsys.readouterr().out, "looked at only where something fell"


def test_what_is_found_depends_on_the_data(root: Path) -> None:
    lost = drift_findings(root, "v5.2", "target_ender_20")
    assert any("have only one value now" in each for each in lost)
    assert drift_findings(root, "v5.3", "target_ender_20") == ("data v5.3: nothing is unusual in it",)
    assert drift_findings(root, "v9.9", None) == (), "data that are not here tell nothing"
