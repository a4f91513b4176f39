"""Predictions from anywhere get what a variant gets: numerai-tools' scores, and a variant's own results for its OOF."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from desk import Desk
from jsonschema import Draft202012Validator
from numerai_tools.scoring import correlation_contribution, numerai_corr

from numerai_ray import Experiment, RequestError, compare, evaluate, load_targets
from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.errors import DataError

TARGET, BENCHMARK = "target_ender_20", "v52_lgbm_ender20"


@pytest.fixture(scope="module")
def labels(market: Path) -> pd.DataFrame:
    # float64, which both compute in then.
    found = load_targets("tiny", TARGET, benchmarks=[BENCHMARK], file="full", data=market)
    return found.astype({TARGET: np.float64}).reset_index()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    made = Desk(tmp_path_factory.mktemp("evaluate"), market)
    assert made.run("--rounds", "1") == 0
    return made


def guess(labels: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Predictions with some signal: a few eras, some rows missing, in any order, with rows of nobody."""
    rng = np.random.default_rng(seed)
    eras = rng.choice(labels["era"].unique(), rng.integers(2, 6), replace=False)
    own = labels[labels["era"].isin(eras)]
    own = own[rng.random(len(own)) > rng.uniform(0, 0.1)]
    values = rng.normal(size=len(own)).round(int(rng.integers(1, 6))) + 0.3 * own[TARGET].fillna(0.5)
    frame = pd.DataFrame({"id": own["id"], "prediction": values})
    extra = pd.DataFrame({"id": [f"nobody{i}" for i in range(rng.integers(0, 5))], "prediction": 0.5})
    return pd.concat([frame, extra]).sample(frac=1, random_state=seed)


def reference(frame: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Scores of numerai-tools, an era at a time: CORR of the predicted rows, given all labels of the era."""
    rows = {}
    for era, own in labels.merge(frame, on="id", how="left").set_index("id").groupby("era"):
        if own["prediction"].notna().any():
            labelled = own[TARGET].dropna()
            known = own.dropna(subset=["prediction", TARGET])
            corr = numerai_corr(known[["prediction"]], labelled, max_filtered_index_ratio=0.5).iloc[0]
            known = known.dropna()
            bmc = np.nan
            if len(known):
                bmc = correlation_contribution(known[["prediction"]], known[BENCHMARK], known[TARGET]).iloc[0]
            rows[era] = (corr, bmc)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["corr", "bmc"]).sort_index()


@pytest.mark.slow
def test_a_hundred_random_frames_score_as_numerai_tools_scores_them(labels: pd.DataFrame, market: Path) -> None:
    for seed in range(100):
        frame = guess(labels, seed)
        found = evaluate(frame, data_version="tiny", data=market)
        theirs = reference(frame, labels)
        ours = found.per_era()
        assert ours.index.tolist() == theirs.index.tolist()
        assert np.allclose(ours["bmc"], theirs["bmc"], rtol=0, atol=1e-12, equal_nan=True), seed
        in_file = frame["id"].isin(labels["id"])
        assert found.coverage["extra"] == int((~in_file).sum())
        assert np.allclose(ours["corr"], theirs["corr"], rtol=0, atol=1e-12, equal_nan=True), seed
        own = labels[labels["era"].isin(ours.index)]
        assert found.coverage["missing"] == len(own) - int(in_file.sum())
        twice = pd.concat([frame, frame.sample(1 + seed % 3, random_state=seed)]).sample(frac=1, random_state=seed)
        with pytest.raises(DataError, match=f"{1 + seed % 3} stand several times, the first"):
            evaluate(twice, data_version="tiny", data=market)


@pytest.mark.parametrize("variant", ["r01-base", "r01-learning_rate=0.05"])
def test_an_oof_file_scores_as_its_variant_did(desk: Desk, variant: str) -> None:
    experiment = Experiment.load(desk.folder)
    stored = experiment.results(variant)
    found = evaluate(desk.folder / "predictions" / f"{variant}.parquet", data=desk.data, against=[experiment])
    pd.testing.assert_frame_equal(found.per_era(), experiment.per_era(variant), rtol=0, atol=0)
    for row in found.found.rows():
        block, key = row["metric"].split(".")
        assert row["value"] == stored["metrics"][block][key], row
    against = found.against()
    assert against.index.tolist() == [BENCHMARK, "small (scout)"]
    assert against.loc[BENCHMARK, "bmc_delta"] == pytest.approx(found.metrics.primary)
    low, high = found.table().loc["bmc_last_200_eras.mean", ["low", "high"]]
    assert low < found.metrics.primary < high


def test_every_kind_of_frame_and_file_is_read_alike(labels: pd.DataFrame, market: Path, tmp_path: Path) -> None:
    frame = guess(labels, 3)
    frame.to_parquet(tmp_path / "plain.parquet", index=False)
    frame.set_index("id").to_parquet(tmp_path / "index.parquet")
    frame.rename(columns={"prediction": "score"}).to_csv(tmp_path / "other.csv", index=False)
    indexed = frame.set_index("id")
    unnamed = indexed.rename_axis(None)
    given: list[Any] = [
        *(tmp_path / name for name in ("plain.parquet", "index.parquet", "other.csv")),
        *(indexed, unnamed, indexed["prediction"], frame.assign(note="x", era=frame["id"].map(_eras(labels)))),
        *(pl.DataFrame(frame.to_dict("list")), pl.DataFrame(frame.to_dict("list")).lazy()),
        pa.Table.from_pandas(frame, preserve_index=False),
    ]
    expected = evaluate(frame, data_version="tiny", data=market).per_era()
    for each in given[:6] + given[7:]:
        pd.testing.assert_frame_equal(evaluate(each, data_version="tiny", data=market).per_era(), expected)
    with_eras = given[6].dropna(subset=["era"])
    pd.testing.assert_frame_equal(evaluate(with_eras, data_version="tiny", data=market).per_era(), expected)


def _eras(labels: pd.DataFrame) -> dict[str, str]:
    return {row.id: f"{row.era:04d}" for row in labels.itertuples()}


def test_what_is_wrong_is_refused_with_what_to_do(labels: pd.DataFrame, market: Path, tmp_path: Path) -> None:
    frame = guess(labels, 1).head(50)
    twice = pd.concat([frame, frame.head(2)])
    cases: list[tuple[Any, str]] = [
        (twice, "2 stand several times, the first"),
        (frame.assign(prediction=np.inf), "must hold finite numbers"),
        (frame.assign(prediction=np.nan), "every prediction is NaN"),
        (frame.assign(id=[f"x{i}" for i in range(len(frame))]), "none of its 50 ids is in"),
        (frame[["prediction"]].reset_index(drop=True), "the index only counts rows"),
        (frame.rename(columns={"prediction": "a"}).assign(b=1.0), "several columns hold numbers: a, b"),
        (frame.assign(prediction="up"), "column 'prediction' must hold numbers"),
        (frame.assign(era="0001"), "rows name another era than the data file has"),
        (tmp_path / "none.parquet", "no such file"),
        (tmp_path / "none.txt", r"must be a \.parquet or \.csv"),
        (7, "must be a DataFrame of pandas or polars"),
        (pl.Series("prediction", [0.5]), "must be a DataFrame of pandas or polars, .* but are Series"),
    ]
    for given, rule in cases:
        with pytest.raises(RequestError, match=rule):
            evaluate(given, data_version="tiny", data=market)
    with pytest.raises(DataError, match="no target 'target_ender'; did you mean 'target_ender_"):
        evaluate(frame, data_version="tiny", data=market, target="target_ender")
    with pytest.raises(DataError, match="no benchmark 'v9'"):
        evaluate(frame, data_version="tiny", data=market, benchmark="v9")


def test_nan_is_never_filled_and_is_told(labels: pd.DataFrame, market: Path) -> None:
    frame = labels[["id"]].assign(prediction=labels[TARGET].rank())
    frame.loc[::7, "prediction"] = np.nan
    holes = evaluate(frame, data_version="tiny", data=market)
    without = evaluate(frame.dropna(), data_version="tiny", data=market)
    pd.testing.assert_frame_equal(holes.per_era(), without.per_era())
    assert "predictions are NaN: left out, never filled" in holes.found.coverage.sentences[0]
    assert holes.flags[0].startswith("suspect: corr_mean")
    assert "have no prediction" in " ".join(without.flags)


@pytest.mark.pictures
def test_the_command_says_the_same(desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = desk.folder / "predictions" / "r01-base.parquet"
    plot = tmp_path / "mine.png"
    arguments = ["evaluate", str(file), "--data-dir", str(desk.data), "--against", str(desk.folder)]
    capsys.readouterr()
    assert run([*arguments, "--plot", str(plot), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("evaluate")).validate(value)
    found = evaluate(file, data=desk.data)
    told = pd.Series(value["per_era"]["bmc"], dtype=float)
    assert np.array_equal(told, found.per_era()["bmc"], equal_nan=True)
    assert plot.stat().st_size > 10_000
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "small (scout)" in out
    assert f"{found.metrics.bmc.mean:.5f}" in out
    assert run([*arguments, "--file", "half"]) == 2
    assert "no file 'half'" in capsys.readouterr().err


def test_compare_mixes_experiments_files_and_frames(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = Experiment.load(desk.folder)
    file = desk.folder / "predictions" / "r01-base.parquet"
    found = compare([experiment, file, {"mine": experiment.oof("r01-learning_rate=0.05")}], data=desk.data)
    table = found.table().set_index("configuration")
    assert table.loc["r01-base", "bmc"] == pytest.approx(table.loc["base", "bmc"])
    assert {"r01-base", "mine"} <= set(table.index)
    assert len(found.plot().axes) == 2
    capsys.readouterr()
    assert run(["compare", str(desk.folder), str(file), "--data-dir", str(desk.data), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["configuration"] for row in rows][-1] == "r01-base"
    with pytest.raises(RequestError, match="each item must be an experiment"):
        compare([7])


def test_predictions_of_others_stand_beside_the_variants(desk: Desk) -> None:
    experiment = Experiment.load(desk.folder)
    oof = experiment.oof("r01-base")
    before = experiment.table()
    honest = {
        int(fold): range(1, int(own["era"].min()) - 16) for fold, own in oof.astype({"era": int}).groupby("cv_fold")
    }
    scoring: Any = {"data": desk.data}
    table = experiment.add_predictions("honest", oof, train_eras=honest, scoring=scoring)
    assert "suspect" not in table.loc["foreign-honest", "flags"].replace("suspect: corr_mean", "")
    assert table.loc["foreign-honest", "bmc_mean"] == before.loc["r01-base", "bmc_mean"]
    near = {fold: range(1, eras.stop + 14) for fold, eras in honest.items()}
    flags = experiment.add_predictions("near", oof, train_eras=near, scoring=scoring).loc["foreign-near", "flags"]
    assert "labels overlap for 4 eras" in flags
    unsaid = experiment.add_predictions("unsaid", oof.drop(columns="cv_fold"), scoring=scoring)
    assert "unchecked" in unsaid.loc["foreign-unsaid", "flags"]
    mixed = oof.assign(cv_fold=np.arange(len(oof)) % 2)
    split = experiment.add_predictions("split", mixed, scoring=scoring).loc["foreign-split", "flags"]
    assert "is in several folds" in split
    pd.testing.assert_frame_equal(experiment.per_era("foreign-near"), experiment.per_era("r01-base"))
    assert len(experiment.plot.cumulative(variants=["foreign-near", "r01-base"]).axes) == 2
    pd.testing.assert_frame_equal(experiment.refresh().table(), before)
    with pytest.raises(RequestError, match="name must be letters"):
        experiment.add_predictions("../x", oof)
