"""A market that drifts and stops paying after the decision: `recheck` says both, in its lines and in the report."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from desk import BASELINE, PLAN
from published import as_of

from numerai_ray.cli.main import run
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec

SEARCHED, NOW = 205, 230  # newest eras, the last five of them without labels
DECIDED = SEARCHED - 5
# Two trees of one feature each hardly find what pays; more of them do.
EXPERIMENT = PLAN | {
    "budget": {"rounds": 1},
    "base": {"model": {"params": {"n_estimators": 2, "colsample_bytree": 0.1}}},
    "search_space": {"dimensions": {"n_estimators": {"path": "model.params.n_estimators", "values": [40]}}},
    "stages": {"scout": {"data": "full"}, "confirm": {"data": "full", "feature_set": "medium"}},
}


def planted(folder: Path, *, turns: bool) -> None:
    """All features decide the labels alike; after the search none does, and half of them lose their data."""
    for name in ("train.parquet", "validation.parquet"):
        table = pq.read_table(folder / name)
        eras = np.array([int(era) for era in table["era"].to_pylist()])
        rng = np.random.default_rng(len(table))
        features = [each for each in table.column_names if each.startswith("feature")]
        later = eras > DECIDED if turns else np.zeros(len(eras), bool)
        for place, field in enumerate(table.schema):
            if field.name.startswith("target"):
                pays = np.where(later, 0.0, 0.3 * sum(table[each].to_numpy() - 2.0 for each in features))
                values = np.clip(np.rint(pays + 1.5 * rng.standard_normal(len(eras))) / 4 + 0.5, 0, 1)
                known = ~np.isnan(table[field.name].to_numpy())
                values = pa.array(np.where(known, values, np.nan).astype(np.float32))
                table = table.set_column(place, field, values)
        for feature in features[2::2] if turns else ():
            place = table.schema.get_field_index(feature)
            values = np.where(later, 2, table[feature].to_numpy()).astype(np.int8)
            table = table.set_column(place, table.schema.field(feature), pa.array(values))
        pq.write_table(table, folder / name, row_group_size=5000)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment on the weeks before the market turned, and the market on which it did not."""
    root = tmp_path_factory.mktemp("turns")
    write_market(MarketSpec(eras=240, rows=60, features=12, seed=3), root / "whole")
    planted(root / "whole", turns=False)
    (root / "experiments" / "baselines").mkdir(parents=True)
    (root / "experiments" / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(BASELINE))
    (root / "experiments" / "small").mkdir()
    (root / "experiments" / "small" / "experiment.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    as_of(root / "whole", root / "data" / "tiny", SEARCHED)
    where = ["--data-dir", str(root / "data"), "--in-process", "--accept-suspect"]
    assert run(["run", str(root / "experiments" / "small"), *where]) == 0
    return root


@pytest.mark.slow
@pytest.mark.parametrize("turns", [True, False])
def test_recheck_says_that_it_fell_and_what_is_unusual(
    searched: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], turns: bool
) -> None:
    root = tmp_path / "own"
    shutil.copytree(searched, root)
    if turns:
        planted(root / "whole", turns=True)
    as_of(root / "whole", root / "data" / "tiny", NOW)
    folder, where = root / "experiments" / "small", ["--data-dir", str(root / "data"), "--in-process"]
    capsys.readouterr()
    assert run(["recheck", str(folder), *where]) == 0
    said, report = capsys.readouterr().out, (folder / "experiment.md").read_text()
    assert run(["recheck", str(folder), *where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (pair,) = [each for each in found["pairs"] if each["theirs"] == "base"]
    since = report[report.index("## Since the decision") :]
    if not turns:
        assert (pair["word"], found["drift"]) == ("as promised", [])
        assert "data tiny" not in said + report
        return
    assert pair["word"] == "worse than promised"
    assert pair["worse_since"] - DECIDED <= pair["eras_needed"]
    for text in (said, since):
        assert "worse than promised" in text
        assert "data tiny: " in text
        assert "have only one value now" in text
    line = json.loads((folder / "results" / "rechecks.jsonl").read_text())
    assert line.pop("drift") == found["drift"]
    (folder / "results" / "rechecks.jsonl").write_text(json.dumps(line) + "\n")  # as it was before drift was in it
    assert run(["weekly", str(folder), *where, "--no-download", "--json"]) == 0
    alarms = json.loads(capsys.readouterr().out)["alarms"]
    assert "small: winner − base is worse than promised" in alarms
    assert any("have only one value now" in each for each in alarms)
