"""A new week: Numerai appends an era and fills in late labels, and an experiment goes on as if nothing had come."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from desk import BASELINE, PLAN
from numerai_server import NumeraiServer
from weeks import as_of

from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides

FIRST, SECOND = 112, 113  # last labelled eras


class Weekly:
    """A researcher's folder, and what Numerai publishes."""

    def __init__(self, root: Path, market: Path, server: NumeraiServer):
        self.root, self.market, self.server = root, market / "tiny", server
        self.data, self.published = root / "data", root / "numerai"
        (root / "experiments" / "baselines").mkdir(parents=True)
        (root / "experiments" / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(BASELINE))

    def publish(self, last: int) -> None:
        as_of(self.market, self.published, last)
        self.server.files = {f"tiny/{path.name}": path for path in self.published.iterdir()}

    def fetch(self) -> None:
        self.server.log.clear()
        where = ["--version", "tiny", "--data-dir", str(self.data)]
        assert run(["data", "download", *where]) == 0
        assert run(["data", "build", *where]) == 0

    def plan(self, name: str, changes: dict[str, Any]) -> Path:
        folder = self.root / "experiments" / name
        folder.mkdir(exist_ok=True)
        (folder / "experiment.yaml").write_text(yaml.safe_dump(apply_overrides(PLAN, changes)))
        return folder

    def run(self, folder: Path, *more: str) -> int:
        return run(["run", str(folder), "--data-dir", str(self.data), "--in-process", "--accept-suspect", *more])

    def forecast(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
        capsys.readouterr()
        assert run(["plan", str(folder), "--data-dir", str(self.data), "--no-calibrate", "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found


@pytest.fixture
def weekly(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Weekly]:
    with NumeraiServer({}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        found = Weekly(tmp_path, market, server)
        found.publish(FIRST)
        found.fetch()
        yield found


def rounds(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results" / "rounds.jsonl").read_text().splitlines()]


def fits(folder: Path) -> dict[str, tuple[int, int]]:
    """Fits reused and trained, by variant."""
    own = [each for record in rounds(folder) for each in record["variants"] if each["role"] != "benchmark"]
    return {each["id"]: (each["fits_stored"], each["fits_new"]) for each in own}


def table(title: str, folder: Path) -> tuple[int, int]:
    """Print what was reused and trained; all of it."""
    print(f"\n{title:32} reused  trained")
    for name, (stored, new) in fits(folder).items():
        print(f"{name:32} {stored:6}  {new:7}")
    reused, trained = (sum(each[place] for each in fits(folder).values()) for place in (0, 1))
    print(f"{'in all':32} {reused:6}  {trained:7}")
    return reused, trained


@pytest.mark.slow
def test_an_experiment_goes_on_with_its_eras(weekly: Weekly, capsys: pytest.CaptureFixture[str]) -> None:
    folder = weekly.plan("first", {})
    assert weekly.run(folder, "--rounds", "1") == 0
    before = weekly.forecast(folder, capsys)["stages"][0]
    assert (before["last_era"], before["newer_eras"]) == (FIRST, 0)

    weekly.publish(SECOND)
    weekly.fetch()
    assert not weekly.server.seen("tiny/train.parquet"), "nothing of it changed, so nothing is fetched"
    assert weekly.server.seen("tiny/validation.parquet")
    after = weekly.forecast(folder, capsys)["stages"][0]
    assert (after["last_era"], after["newer_eras"]) == (FIRST, 1)
    assert (after["eras"], after["rows"]) == (before["eras"], before["rows"])
    assert weekly.run(folder, "--rounds", "1") == 0
    records = rounds(folder)
    assert [record["origin"]["last_era"] for record in records] == [str(FIRST)] * 2
    assert records[0]["origin"]["the eras"] == records[1]["origin"]["the eras"]
    scored = json.loads((folder / "results" / f"{records[1]['variants'][1]['id']}.json").read_text())
    assert max(map(int, scored["per_era"]["era"])) == FIRST
    assert f"up to {FIRST:04d}" in (folder / "experiment.md").read_text()

    # The same rounds once more, pinned by hand in another experiment: everything is there.
    copy = weekly.plan("again", {"base": {"data": {"last_era": FIRST}}})
    assert weekly.run(copy, "--rounds", "2") == 0
    reused, trained = table("pinned, after a new week", copy)
    assert reused / (reused + trained) >= 0.95
    assert [each["metrics"] for each in rounds(copy)[0]["variants"]] == [
        each["metrics"] for each in records[0]["variants"]
    ]
    # One that begins now takes what has come, and is another experiment.
    new = weekly.plan("new", {})
    assert weekly.forecast(new, capsys)["stages"][0]["last_era"] == SECOND


def test_it_begins_where_every_label_is_resolved(weekly: Weekly, capsys: pytest.CaptureFixture[str]) -> None:
    folder = weekly.plan("sixty", {"base": {"data": {"target": "target_ender_60"}}})
    stage = weekly.forecast(folder, capsys)["stages"][0]
    assert (stage["last_era"], stage["newer_eras"]) == (FIRST - 8, 8)


@pytest.mark.slow
def test_a_changed_era_is_named(weekly: Weekly, capsys: pytest.CaptureFixture[str]) -> None:
    folder = weekly.plan("first", {})
    assert weekly.run(folder, "--rounds", "1") == 0
    whole = weekly.published / "validation.parquet"
    changed = pq.read_table(whole)
    eras = np.array([int(era) for era in changed["era"].to_pylist()])
    values = changed["target_ender_20"].to_numpy().copy()
    values[np.isin(eras, (60, 90, 91))] = 0.5
    place = changed.schema.get_field_index("target_ender_20")
    pq.write_table(changed.set_column(place, changed.schema.field(place), pa.array(values)), whole)
    weekly.fetch()
    capsys.readouterr()
    for command in ("plan", "run"):
        assert run([command, str(folder), "--data-dir", str(weekly.data), "--in-process"]) == 2
        said = " ".join(capsys.readouterr().err.split())
        assert "3 of 112 eras of tiny/full.parquet (0060, 0090–0091) changed since round 1" in said
        assert "new experiment's folder" in said
    # What may be done: a copy of the plan trains what read these eras, and no other fit.
    shutil.rmtree(folder / "results")
    copy = weekly.plan("copy", {})
    assert weekly.run(copy, "--rounds", "1") == 0
    reused, trained = table("after a revision of three eras", copy)
    assert reused
    assert trained
