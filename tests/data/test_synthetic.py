"""The synthetic market: layout, bins, correlations, determinism, and the levels of scores it was made to give."""

import json
import re
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numerai_tools.scoring import correlation_contribution, numerai_corr

from numerai_ray.data.synthetic.era import draw_era
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.layout import (
    TARGET_COLUMNS,
    TARGET_NAMES,
    V52,
    feature_names,
    feature_sets,
    group_sizes,
    medium_size,
    row_ids,
    small_size,
)
from numerai_ray.data.synthetic.market import MarketSpec, draw_market, era_rows
from numerai_ray.errors import RequestError

SPEC = MarketSpec(eras=60, rows=200, features=40, seed=3)
PARQUET_FILES = {
    "train.parquet",
    "validation.parquet",
    "live.parquet",
    "train_benchmark_models.parquet",
    "validation_benchmark_models.parquet",
    "live_benchmark_models.parquet",
    "meta_model.parquet",
    "live_example_preds.parquet",
    "validation_example_preds.parquet",
}
GROUPS = [
    "intelligence", "wisdom", "charisma", "dexterity", "strength", "constitution",
    "agility", "serenity", "sunshine", "rain", "midnight", "faith",
]  # fmt: skip


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market") / "v5.2"
    write_market(SPEC, folder)
    return folder


@pytest.fixture(scope="module")
def train(market: Path) -> pd.DataFrame:
    return pd.read_parquet(market / "train.parquet")


@pytest.fixture(scope="module")
def validation(market: Path) -> pd.DataFrame:
    return pd.read_parquet(market / "validation.parquet")


def test_all_files_are_there_and_nothing_else(market: Path) -> None:
    assert {path.name for path in market.iterdir()} == PARQUET_FILES | {"features.json", "market_truth.json"}


def test_main_files_have_numerais_schema(market: Path) -> None:
    names = json.loads((market / "features.json").read_text())["feature_sets"]["all"]
    for part in ("train", "validation", "live"):
        schema = pq.read_schema(market / f"{part}.parquet")
        assert schema.names == ["era", "data_type", *names, *TARGET_COLUMNS, "id"]
        assert {str(schema.field(name).type) for name in names} == {"int8"}
        assert {str(schema.field(name).type) for name in TARGET_COLUMNS} == {"float"}
        assert {str(schema.field(name).type) for name in ("era", "data_type", "id")} == {"string"}
    assert len(TARGET_COLUMNS) == 41
    assert {"target", "target_ender_20", "target_xerxes_60"} <= set(TARGET_COLUMNS)


def test_ids_are_the_index_and_unique_over_the_whole_market(
    market: Path, train: pd.DataFrame, validation: pd.DataFrame
) -> None:
    live = pd.read_parquet(market / "live.parquet")
    assert train.index.name == validation.index.name == live.index.name == "id"
    ids = [*train.index, *validation.index, *live.index]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"n[0-9a-f]{15}", row) for row in ids)


def test_ids_stay_unique_in_many_big_eras() -> None:
    ids = [row for era in (1, 2, 3, 255, 256, 257, 1233) for row in row_ids(0, era, 20_000).to_pylist()]
    assert len(set(ids)) == len(ids)
    assert row_ids(0, 1, 5) != row_ids(1, 1, 5)


def test_eras_and_data_types(market: Path, train: pd.DataFrame, validation: pd.DataFrame) -> None:
    boundary = round(60 * 574 / 1233)
    assert list(train["era"].unique()) == [f"{era:04d}" for era in range(1, boundary + 1)]
    assert list(validation["era"].unique()) == [f"{era:04d}" for era in range(boundary + 1, 61)]
    assert set(train["data_type"]) == {"train"}
    types = validation.groupby("era")["data_type"].unique().map(list)
    assert list(types[:-3]) == [["validation"]] * (len(types) - 3)
    assert list(types[-3:]) == [["test"]] * 3
    live = pd.read_parquet(market / "live.parquet")
    assert set(live["era"]) == {"X"}
    assert set(live["data_type"]) == {"live"}
    assert live[list(TARGET_COLUMNS)].isna().all(axis=None)


def test_era_sizes_follow_numerais_shape() -> None:
    spec = MarketSpec()
    rows = np.array([era_rows(spec, era) for era in range(1, spec.eras + 1)])
    assert rows.mean() == pytest.approx(6000, rel=0.01)
    assert rows[0] / rows[573] == pytest.approx(2314 / 6009, rel=0.06)
    assert rows[:574].mean() / rows[574:].mean() == pytest.approx(4784 / 6250, rel=0.02)
    assert len(set(rows[600:700].tolist())) > 1


def test_features_take_five_values_evenly(validation: pd.DataFrame) -> None:
    features = validation.filter(like="feature_")
    shares = features.apply(lambda column: column.value_counts(normalize=True).sort_index())
    assert list(shares.index) == [0, 1, 2, 3, 4]
    assert (shares - 0.2).abs().max(axis=None) < 0.03


def test_missing_features_are_all_twos_in_early_eras_only(train: pd.DataFrame) -> None:
    features = train.filter(like="feature_")
    twos = (features == 2).groupby(train["era"]).all()
    missing = twos.any()
    assert 0 < missing.sum() < 0.5 * len(missing)
    assert twos.any(axis=1).to_numpy().nonzero()[0].max() < round(0.1 * SPEC.eras) + 1
    # Once present, a feature stays present.
    assert (twos.astype(int).diff().dropna() <= 0).all(axis=None)


def test_targets_have_numerais_bins_in_every_era(train: pd.DataFrame) -> None:
    for column in ("target_ender_20", "target_tyler_60"):
        for _, era in train.groupby("era"):
            counts = era[column].value_counts(normalize=True).reindex([0, 0.25, 0.5, 0.75, 1]).to_numpy()
            assert counts == pytest.approx([0.05, 0.2, 0.5, 0.2, 0.05], abs=1.01 / len(era))
    assert train["target_ender_20"].std() == pytest.approx(0.2236, abs=0.003)
    assert (train["target"] == train["target_ender_20"]).all()


def test_targets_correlate_as_in_numerais_data() -> None:
    columns = [f"target_{name}_20" for name in ("jasper", "teager2b", "tyler")] + ["target_ender_60"]
    era = draw_era(draw_market(MarketSpec(eras=40, rows=40_000, features=12)), 20)
    lines = [TARGET_COLUMNS.index(column) for column in ("target_ender_20", *columns)]
    measured = np.corrcoef(era.targets[lines])[0, 1:]
    assert measured == pytest.approx([0.80, 0.79, 0.66, 0.46], abs=0.015)


def test_rows_of_a_small_market_have_twins_with_opposite_noise_and_those_of_a_large_one_do_not() -> None:
    def alike(rows: int) -> tuple[float, float]:
        era = draw_era(draw_market(MarketSpec(eras=40, rows=rows, features=12)), 20)
        pairs = len(era.ids) // 2
        target = era.targets[0]
        same = (era.features[:, :pairs] == era.features[:, -pairs:]).mean()
        return float(same), float(np.corrcoef(target[:pairs], target[-pairs:])[0, 1])

    same, correlation = alike(1200)
    assert same > 0.98
    assert correlation == pytest.approx(-0.71, abs=0.08)  # -.8 before binning
    same, correlation = alike(6000)
    assert same == pytest.approx(0.2, abs=0.02)
    assert abs(correlation) < 0.06


def test_unknown_targets_are_nan(validation: pd.DataFrame) -> None:
    by_era = validation[list(TARGET_COLUMNS)].isna().groupby(validation["era"]).mean()
    names_20 = [f"target_{name}" for name in TARGET_NAMES if name.endswith("_20") and "jeremy" not in name]
    names_60 = [f"target_{name}" for name in TARGET_NAMES if name.endswith("_60") and "jeremy" not in name]
    assert (by_era[-3:] == 1).all(axis=None)
    assert (by_era[:-3][[*names_20, "target"]] == 0).all(axis=None)
    assert (by_era[-9:-3][names_60] == 1).all(axis=None)
    assert (by_era[:-9][names_60] == 0).all(axis=None)
    assert by_era[:-9]["target_jeremy_20"].between(0.02, 0.4).all()


def test_benchmarks_are_ranks_and_start_late(market: Path, train: pd.DataFrame) -> None:
    first = max(1, round(60 * 158 / 1233))
    benchmark = pd.read_parquet(market / "train_benchmark_models.parquet")
    assert list(benchmark.columns) == ["era", *V52.benchmark_columns]
    assert "v52_lgbm_ender20" in V52.benchmark_columns
    assert benchmark["era"].iloc[0] == f"{first:04d}"
    assert list(benchmark.index) == list(train.index[train["era"] >= f"{first:04d}"])
    values = benchmark[list(V52.benchmark_columns)]
    assert ((values > 0) & (values < 1)).all(axis=None)
    assert not benchmark.groupby("era")["v52_lgbm_ender20"].apply(lambda era: era.duplicated().any()).any()


def test_small_files_belong_to_the_rows_of_the_big_ones(market: Path, validation: pd.DataFrame) -> None:
    live = pd.read_parquet(market / "live.parquet")
    assert list(pd.read_parquet(market / "validation_benchmark_models.parquet").index) == list(validation.index)
    assert list(pd.read_parquet(market / "validation_example_preds.parquet").index) == list(validation.index)
    assert list(pd.read_parquet(market / "live_example_preds.parquet").index) == list(live.index)
    assert set(pd.read_parquet(market / "live_benchmark_models.parquet")["era"]) == {"X"}
    meta = pd.read_parquet(market / "meta_model.parquet")
    assert list(meta.columns) == ["era", "data_type", "numerai_meta_model"]
    assert meta["era"].iloc[0] == f"{round(60 * 888 / 1233):04d}"
    assert meta["numerai_meta_model"].between(0, 1, inclusive="neither").all()


def test_feature_sets_are_nested_and_groups_partition() -> None:
    names = feature_names(2748, 0)
    assert len(set(names)) == 2748
    assert all(re.fullmatch(r"feature_[a-z]+_[a-z]+", name) for name in names)
    sets = feature_sets(names, np.random.default_rng(0).permutation(2748).tolist())
    assert (len(sets["small"]), len(sets["medium"]), len(sets["all"])) == (42, 780, 2748)
    assert set(sets["small"]) < set(sets["medium"]) < set(sets["all"])
    assert sorted(name for group in GROUPS for name in sets[group]) == sorted(names)
    assert len(sets["fncv3_features"]) == 400


@pytest.mark.parametrize("features", [4, 8, 11, 12, 13, 60, 80, 199, 200, 201, 353, 1000])
def test_set_sizes_have_floors(features: int) -> None:
    assert sum(group_sizes(features).values()) == features
    assert min(8, features) <= small_size(features) <= medium_size(features) <= features
    assert features >= 200 or medium_size(features) >= features // 2
    assert features < 12 or min(group_sizes(features).values()) >= 1


@pytest.mark.parametrize("features", [4, 5, 8, 9, 12, 16, 17, 30, 200, 700])
@pytest.mark.parametrize(("eras", "rows"), [(10, 50), (1233, 6000)])
def test_every_size_has_signal_features_for_both_components(features: int, eras: int, rows: int) -> None:
    spec = MarketSpec(eras=eras, rows=rows, features=features)
    market = draw_market(spec)
    common, distinct = set(market.common.linear.tolist()), set(market.distinct.linear.tolist())
    assert common
    assert distinct
    assert not common & distinct
    assert len(common | distinct) == spec.signal_features


def test_truth_names_features_of_the_market(market: Path) -> None:
    truth = json.loads((market / "market_truth.json").read_text())
    sets = json.loads((market / "features.json").read_text())["feature_sets"]
    signal = set(truth["common"]["linear"]) | set(truth["distinct"]["linear"])
    assert len(signal) == truth["signal_features"] == SPEC.signal_features
    assert signal <= set(sets["all"])
    assert len(signal & set(sets["medium"])) >= 0.7 * len(signal)
    assert truth["spec"] == {"eras": 60, "rows": 200, "features": 40, "seed": 3, "layout": "v5.2"}
    shares = {name: target["distinct_share"] for name, target in truth["targets"].items()}
    assert shares["target_teager2b_20"] > shares["target_ender_20"]


def test_same_seed_gives_the_same_bytes_and_another_seed_another_market(market: Path, tmp_path: Path) -> None:
    write_market(SPEC, tmp_path / "again")
    for path in market.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name
    write_market(MarketSpec(eras=60, rows=200, features=40, seed=4), tmp_path / "other")
    other = pd.read_parquet(tmp_path / "other" / "train.parquet")
    train = pd.read_parquet(market / "train.parquet")
    assert list(other.columns) != list(train.columns)
    assert set(other.index) != set(train.index)
    assert not np.array_equal(other["target"].to_numpy(), train["target"].to_numpy())


def test_an_era_does_not_depend_on_the_eras_made_before_it(validation: pd.DataFrame) -> None:
    era = draw_era(draw_market(SPEC), 50)
    written = validation[validation["era"] == "0050"]
    assert era.ids.to_pylist() == list(written.index)
    assert np.array_equal(era.features.T, written.filter(like="feature_").to_numpy())
    assert np.array_equal(era.targets.T, written[list(TARGET_COLUMNS)].to_numpy(), equal_nan=True)


def test_progress_counts_every_era(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_market(MarketSpec(eras=12, rows=60, features=8), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(era, 13) for era in range(1, 14)]


def test_an_interrupted_market_is_recognizably_incomplete(tmp_path: Path) -> None:
    spec = MarketSpec(eras=12, rows=60, features=8)
    write_market(spec, tmp_path)
    before = (tmp_path / "train.parquet").read_bytes()

    def stop(done: int, _: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_market(spec, tmp_path, stop)
    assert not (tmp_path / "features.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == PARQUET_FILES | {"market_truth.json"}
    assert (tmp_path / "train.parquet").read_bytes() == before


@pytest.mark.parametrize("wrong", [{"eras": 9}, {"rows": 10}, {"features": 3}, {"seed": -1}])
def test_impossible_sizes_are_refused_with_the_limit(wrong: dict[str, int]) -> None:
    (name, value) = next(iter(wrong.items()))
    with pytest.raises(RequestError, match=rf"<= {name} <= .* got {name}={value}"):
        MarketSpec(**wrong)


@pytest.mark.slow
def test_scores_have_the_levels_of_real_data(tmp_path: Path) -> None:
    """A small LightGBM on every 4th era of the quickstart market, scored by numerai-tools."""
    write_market(MarketSpec(eras=400, rows=300, features=80, seed=7), tmp_path)
    features = json.loads((tmp_path / "features.json").read_text())["feature_sets"]["medium"]
    columns = ["era", "target_ender_20", *features]
    full = pd.concat(
        [pd.read_parquet(tmp_path / f"{part}.parquet", columns=columns) for part in ("train", "validation")]
    )
    full["era"] = full["era"].astype(int)
    full = full[(full["era"] % 4 == 1) & full["target_ender_20"].notna()]
    benchmark = pd.concat(
        [pd.read_parquet(tmp_path / f"{part}_benchmark_models.parquet") for part in ("train", "validation")]
    )["v52_lgbm_ender20"]
    blocks = np.array_split(full["era"].unique(), 5)
    parameters = {
        "objective": "regression", "verbosity": -1, "num_leaves": 15, "learning_rate": 0.04, "min_data_in_leaf": 200,
        "feature_fraction": 0.3, "seed": 0, "num_threads": 1, "deterministic": True, "force_col_wise": True,
    }  # fmt: skip
    parts = []
    for block in blocks[1:]:
        fold, past = full[full["era"].isin(block)], full[full["era"] < block[0] - 8]
        data = lgb.Dataset(past[features].to_numpy(np.float32), past["target_ender_20"].to_numpy())
        model = lgb.train(parameters, data, 100)
        prediction = model.predict(fold[features].to_numpy(np.float32), num_threads=1)
        parts.append(fold[["era", "target_ender_20"]].assign(p=prediction, b=benchmark.reindex(fold.index)))
    scores = []
    for _, era in pd.concat(parts).groupby("era"):
        p, b, y = era[["p"]], era["b"], era["target_ender_20"]
        scores.append(
            {
                "corr": numerai_corr(p, y)["p"],
                "own": numerai_corr(era[["b"]], y)["b"],
                "bmc": correlation_contribution(p, b, y)["p"],
                "alike": numerai_corr(p, b)["p"],
            }
        )
    means = pd.DataFrame(scores).mean()
    assert 0.015 <= means["corr"] <= 0.030, means
    assert 0.030 <= means["own"] <= 0.042, means
    assert 0.000 <= means["bmc"] <= 0.007, means
    assert 0.40 <= means["alike"] <= 0.70, means
