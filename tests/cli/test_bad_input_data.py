"""Wrong official configs and damaged data folders: found before anything is trained, wherever they can be."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_requests import Desk, check_refusal, make_market, refuse, set_desk

from numerai_ray.cli.main import run

MAIN, BENCHMARK = "downsampled_full.parquet", "downsampled_full_benchmark_models.parquet"

# name -> (the text of the config file, its name, words of the message)
OFFICIAL_FILES: dict[str, tuple[str | None, str, tuple[str, ...]]] = {
    "file missing": (None, "nowhere.py", ("nowhere.py", "no such file", "check the path")),
    "file that raises": ("import nothing_like_this", "bad.py", ("bad.py", "ModuleNotFoundError", "nothing_like_this")),
    "file that exits": ("raise SystemExit(0)", "bad.py", ("bad.py", "SystemExit")),
    "file with a syntax error": ("CONFIG = {", "bad.py", ("bad.py", "SyntaxError", "line 1")),
    "no CONFIG": ("SETTINGS = {}", "bad.py", ("bad.py", "$.CONFIG", "must define a dict named CONFIG")),
    "CONFIG a list": ("CONFIG = [1]", "bad.py", ("$.CONFIG", "must define a dict named CONFIG", "[1]")),
    "CONFIG with an object": ("CONFIG = {'data': {'feature_set': {1, 2}}}", "bad.py", ("$.data.feature_set", "is set")),
    "CONFIG with a number for a key": ("CONFIG = {'data': {1: 2}}", "bad.py", ("$.data", "keys must be text", "1")),
    "CONFIG within itself": (
        "CONFIG = {}; CONFIG['model'] = CONFIG",
        "bad.py",
        ("bad.py", "holds itself", "write it out"),
    ),
    "JSON syntax": ('{"data": {"feature_set": "small",,}}', "bad.json", ("bad.json", "line 1", "not valid JSON")),
    "JSON list": ("[1]", "bad.json", ("must be a mapping", "[1]")),
    "a folder": (None, "experiments", ("experiments", "cannot be read", "directory")),
    "a binary file": ("\x00\x01", "bad.json", ("bad.json", "not valid JSON")),
    "ours with an unknown key": ('{"cv": {"splits": 5}}', "bad.json", ("$.cv.splits", "did you mean 'n_splits'?")),
}

# name -> (values of the official CONFIG by path, words of the message)
OFFICIAL_VALUES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown key": ({"data.feature_sets": "all"}, ("$.data.feature_sets", "did you mean 'feature_set'?")),
    "unknown section": ({"trainig": {}}, ("$.trainig", "did you mean 'training'?")),
    "unknown model type": ({"model.type": "LGBMRegresor"}, ("$.model.type", "LGBMRegressor", "'LGBMRegresor'")),
    "unknown parameter": ({"model.params.num_leavs": 3}, ("$.model.params.num_leavs", "did you mean 'num_leaves'?")),
    "parameter refused": ({"model.params.num_leaves": 1}, ("num_leaves must be > 1", "is 1", "$.model.params")),
    "no trees": ({"model.params.n_estimators": 0}, ("$.model.params.n_estimators", "at least 1", "is 0")),
    "cv disabled": ({"training.cv.enabled": False}, ("$.training.cv.enabled", "must be true", "out of fold")),
    "n_splits 1": ({"training.cv.n_splits": 1}, ("$.training.cv.n_splits", "equal to 2", "is 1")),
    "n_splits as text": ({"training.cv.n_splits": "5"}, ("$.training.cv.n_splits", "valid integer", "'5'")),
    "more splits than eras": ({"training.cv.n_splits": 99}, ("official.py", "n_splits", "99 > 57")),
    "unknown mode": ({"training.cv.mode": "rolling"}, ("$.training.cv.mode", "'expanding' or 'blocked'", "'rolling'")),
    "min_train_size too large": ({"training.cv.min_train_size": 40}, ("min_train_eras=40", "fold 0 has 0", "lower")),
    "target transform": (
        {"model.target_transform": {"type": "rank"}},
        ("$.model.target_transform.type", "'rank'", "benchmark_col", "required key is missing"),
    ),
    "target transform of no such benchmark": (
        {"model.target_transform": {"type": "subtract_benchmark", "benchmark_col": "v52_lgbm_ender"}},
        ("no benchmark 'v52_lgbm_ender'",),
    ),
    "an unknown x_group": ({"model.x_groups": ["features", "foo"]}, ("$.model.x_groups", "'foo'", "known: benchmark")),
    "two kinds of missing": (
        {"preprocessing": {"nan_missing_all_twos": True, "missing_value": -1.0}},
        ("$.preprocessing.missing_value", "must be 2.0", "-1.0"),
    ),
    "no sampled rows": ({"training.max_train_samples": 0}, ("$.training.max_train_samples", "equal to 1", "is 0")),
    "data path that is not there": (
        {"data.full_data_path": "v5.2/fall.parquet"},
        ("v5.2/fall.parquet", "no such file"),
    ),
    "benchmark path that is not there": (
        {"data.benchmark_data_path": "v5.2/bench.parquet"},
        ("v5.2/bench.parquet", "no such file", "data build"),
    ),
    "results name a path": ({"output.results_name": "../x"}, ("$.output.results_name", "'../x'", "pattern")),
    "unknown era column": ({"data.era_col": "eras"}, ("full.parquet", "no column 'eras'", "did you mean 'era'?")),
    "unknown id column": ({"data.id_col": "ids"}, ("full.parquet", "no column 'ids'", "full_benchmark_models.parquet")),
    "several at once": (
        {"model.type": "XGB", "training.cv.enabled": False, "model.x_groups": ["foo"]},
        ("3 problems", "$.model.type", "$.training.cv.enabled", "$.model.x_groups"),
    ),
    "several in the data": (
        {"data.target_col": "target_endr_20", "data.benchmark_model": "v52_lgbm"},
        ("no target 'target_endr_20'", "no benchmark 'v52_lgbm'"),
    ),
}


def rewrite(name: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Desk], None]:
    """Damage that writes the data file ``name`` anew with another table in it."""

    def damage(desk: Desk) -> None:
        table = change(pq.read_table(desk.version / name))
        (desk.version / name).unlink()
        pq.write_table(table, desk.version / name)

    return damage


def column(name: str, values: Callable[[pa.Table], Any]) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values(table)))


def without(name: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([name])


def first_feature(table: pa.Table) -> str:
    return next(name for name in table.column_names if name.startswith("feature"))


def features_json(change: Callable[[Any], Any]) -> Callable[[Desk], None]:
    def damage(desk: Desk) -> None:
        content = change(json.loads((desk.version / "features.json").read_text()))
        desk.replace("features.json", json.dumps(content).encode())

    return damage


def sets_with(names: Any) -> Callable[[Desk], None]:
    return features_json(lambda content: {"feature_sets": {**content["feature_sets"], "medium": names}})


def cut(name: str, share: float) -> Callable[[Desk], None]:
    def damage(desk: Desk) -> None:
        content = (desk.version / name).read_bytes()
        desk.replace(name, content[: int(len(content) * share)])

    return damage


def overwrite_pages(desk: Desk) -> None:
    """Noise over the column chunks; the footer is whole."""
    content = bytearray((desk.version / MAIN).read_bytes())
    content[4 : len(content) // 3] = np.random.default_rng(0).bytes(len(content) // 3 - 4)
    desk.replace(MAIN, bytes(content))


def of_first_feature(change: Callable[[pa.Table], Any]) -> Callable[[pa.Table], pa.Table]:
    def all_features(table: pa.Table) -> pa.Table:
        for name in [name for name in table.column_names if name.startswith("feature")]:
            table = column(name, lambda whole, name=name: change(whole[name]))(table)
        return table

    return all_features


def remove(*names: str) -> Callable[[Desk], None]:
    def damage(desk: Desk) -> None:
        for name in names:
            (desk.version / name).unlink()

    return damage


def int8(column_values: pa.ChunkedArray, value: int) -> Any:
    values = column_values.to_numpy().copy()
    values[0] = value
    return values


TWICE = column("id", lambda table: [*table["id"].to_pylist()[:-1], table["id"][0].as_py()])

# name -> (damage to the data folder, words of the message)
DATA: dict[str, tuple[Callable[[Desk], None], tuple[str, ...]]] = {
    "no features.json": (remove("features.json"), ("features.json", "no such file", "--data-dir")),
    "features.json damaged": (
        lambda desk: desk.replace("features.json", b'{"feature_sets": {'),
        ("features.json", "cannot be read as JSON", "line 1", "download it again"),
    ),
    "features.json a list": (features_json(lambda _: []), ("features.json", "'feature_sets'", "download it again")),
    "features.json without sets": (
        features_json(lambda _: {"targets": []}),
        ("features.json", "must hold a mapping 'feature_sets'", "download it again"),
    ),
    "set that is text": (sets_with("all"), ("features.json", "'medium'", "list of names", "'all'")),
    "set without features": (sets_with([]), ("features.json", "'medium'", "list of names", "[]")),
    "feature twice": (sets_with(["a", "b", "a"]), ("features.json", "'medium'", "'a' twice")),
    "feature that the file lacks": (
        sets_with(["feature_of_another_version"]),
        (MAIN, "1 of 1 features of set 'medium'", "'feature_of_another_version'", "different versions"),
    ),
    "data files missing": (
        remove(MAIN, "full.parquet", "train.parquet"),
        (MAIN, "no such file", "full.parquet", "numerai-ray data build"),
    ),
    "benchmark files missing": (
        remove(BENCHMARK, "train.parquet"),
        (BENCHMARK, "no such file", "numerai-ray data build"),
    ),
    "nothing to build from": (remove(MAIN, "validation.parquet"), ("validation.parquet", "is missing", "download it")),
    "not parquet": (lambda desk: desk.replace(MAIN, b"id,era\n"), (MAIN, "not a readable parquet file", "build")),
    "empty data file": (lambda desk: desk.replace(MAIN, b""), (MAIN, "not a readable parquet file", "build")),
    "truncated data file": (cut(MAIN, 0.7), (MAIN, "not a readable parquet file", "build")),
    "truncated benchmark file": (cut(BENCHMARK, 0.5), (BENCHMARK, "not a readable parquet file", "build")),
    "data file a folder": (
        lambda desk: ((desk.version / MAIN).unlink(), (desk.version / MAIN).mkdir())[1],
        (MAIN, "not a readable parquet file"),
    ),
    "no era column": (rewrite(MAIN, without("era")), (MAIN, "no column 'era'")),
    "no id column": (rewrite(MAIN, without("id")), (MAIN, "no column 'id'", "build the file again")),
    "no id column in benchmarks": (rewrite(BENCHMARK, without("id")), (BENCHMARK, "no column 'id'", "build")),
    "no rows": (rewrite(MAIN, lambda table: table.slice(0, 0)), (MAIN, "holds no rows", "build the file again")),
    "eras not numbers": (
        rewrite(MAIN, column("era", lambda table: ["X"] * len(table))),
        (MAIN, "eras must be numbers", "'0575'", "'X'"),
    ),
    "era missing": (
        rewrite(MAIN, column("era", lambda table: [None, *table["era"].to_pylist()[1:]])),
        (MAIN, "eras must be numbers", "None"),
    ),
    "feature as float": (
        rewrite(MAIN, of_first_feature(lambda values: values.to_numpy().astype(np.float32))),
        (MAIN, "must hold integers 0..4", "holds float", "v5"),
    ),
    "eras as dates": (
        rewrite(MAIN, column("era", lambda table: np.arange(len(table)).astype("datetime64[s]"))),
        (MAIN, "column 'era'", "numbers of weeks", "holds timestamp"),
    ),
    "a column twice": (
        rewrite(MAIN, lambda table: table.append_column("target_ender_20", table["target_ender_60"])),
        (MAIN, "two columns 'target_ender_20'", "remove one"),
    ),
    "target as text": (
        rewrite(MAIN, column("target_ender_20", lambda table: ["a"] * len(table))),
        (MAIN, "'target_ender_20'", "must hold numbers", "holds string"),
    ),
    "benchmark as text": (
        rewrite(BENCHMARK, column("v52_lgbm_ender20", lambda table: ["a"] * len(table))),
        (BENCHMARK, "'v52_lgbm_ender20'", "must hold numbers", "holds string"),
    ),
}

# Found only when the contents are read: the configs of the round are written by then.
CONTENTS: dict[str, tuple[Callable[[Desk], None], tuple[str, ...]]] = {
    "damaged pages": (overwrite_pages, (MAIN, "damaged", "build the file again")),
    "feature out of range": (
        rewrite(MAIN, of_first_feature(lambda values: int8(values, 7))),
        (MAIN, "feature", "outside 0..4"),
    ),
    "feature far out of range": (
        rewrite(MAIN, of_first_feature(lambda values: int8(pa.chunked_array([values.cast("int64").to_numpy()]), 258))),
        (MAIN, "feature", "outside 0..4"),
    ),
    "id twice": (rewrite(MAIN, TWICE), (MAIN, "stands twice", "build the file again")),
    "benchmark id twice": (rewrite(BENCHMARK, TWICE), (BENCHMARK, "stands twice", "build the file again")),
    "one infinite label": (
        rewrite(MAIN, column("target_ender_20", lambda table: [np.inf, *table["target_ender_20"].to_pylist()[1:]])),
        (MAIN, "'target_ender_20'", "finite numbers", "in 1 of 738 rows", "row 1 with inf", "mend or drop"),
    ),
    "one infinite benchmark": (
        rewrite(BENCHMARK, column("v52_lgbm_ender20", lambda table: [-np.inf] + [0.5] * (len(table) - 1))),
        (BENCHMARK, "'v52_lgbm_ender20'", "finite numbers", "row 1 with -inf"),
    ),
    "benchmarks of another market": (
        rewrite(BENCHMARK, column("id", lambda table: [f"m{row}" for row in range(len(table))])),
        (BENCHMARK, "holds none of them", "build both files again"),
    ),
}


# Damage to what is downloaded, met by `data build`.
BUILDS: dict[str, tuple[Callable[[Desk], None], tuple[str, ...]]] = {
    "train missing": (remove("train.parquet"), ("train.parquet", "is missing", "download it")),
    "train truncated": (cut("train.parquet", 0.5), ("train.parquet", "cannot be read as a parquet file", "download")),
    "validation without data_type": (
        rewrite("validation.parquet", without("data_type")),
        ("validation.parquet", "no column 'data_type'", "download"),
    ),
    "validation of another version": (
        rewrite("validation.parquet", without("target_ender_20")),
        ("validation.parquet", "no column 'target_ender_20'", "one data version"),
    ),
    "train without id": (rewrite("train.parquet", without("id")), ("train.parquet", "no column 'id'", "download")),
    "eras out of order": (
        rewrite("train.parquet", lambda table: table.take(np.arange(len(table))[::-1])),
        ("train.parquet", "eras must rise", "after era", "download"),
    ),
}

# The scout file as the official config's, so that `train` meets its contents.
DOWNSAMPLED = {"data.full_data_path": f"v5.2/{MAIN}", "data.benchmark_data_path": f"v5.2/{BENCHMARK}"}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def desk(tmp_path: Path, market: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return set_desk(tmp_path, market)


@pytest.mark.parametrize("name", OFFICIAL_FILES)
def test_wrong_config_file(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    text, file, words = OFFICIAL_FILES[name]
    if text is not None:
        (desk.root / file).write_text(text)
    arguments = desk.train_arguments()
    arguments[arguments.index(str(desk.official))] = str(desk.root / file)
    refuse(desk, capfd, arguments, words)


@pytest.mark.parametrize("name", OFFICIAL_VALUES)
def test_wrong_official_config(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    changes, words = OFFICIAL_VALUES[name]
    desk.write_official(changes)
    refuse(desk, capfd, desk.train_arguments(), words)


@pytest.mark.parametrize("name", DATA)
def test_damaged_data_folder(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    damage, words = DATA[name]
    damage(desk)
    refuse(desk, capfd, desk.run_arguments(), words)


@pytest.mark.parametrize("name", CONTENTS)
def test_damaged_contents(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    damage, words = CONTENTS[name]
    damage(desk)
    desk.write_official(DOWNSAMPLED)
    refuse(desk, capfd, desk.train_arguments(), words)


def test_damaged_contents_leave_no_round(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    rewrite(MAIN, TWICE)(desk)
    code = run(desk.run_arguments())
    out, err = capfd.readouterr()
    check_refusal(code, out, err, (MAIN, "stands twice"))
    assert not (desk.exp / "results").exists()
    assert not list(desk.root.rglob("*.partial"))


@pytest.mark.parametrize("name", BUILDS)
def test_damaged_downloads(name: str, desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    damage, words = BUILDS[name]
    for built in desk.version.glob("*full*"):
        built.unlink()
    damage(desk)
    refuse(desk, capfd, ["data", "build", "--data-dir", str(desk.data)], words)


def test_a_target_without_labels(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    rewrite(MAIN, column("target_ender_20", lambda table: np.full(len(table), np.nan, np.float32)))(desk)
    desk.write_official(DOWNSAMPLED)
    for arguments in (desk.train_arguments(), desk.run_arguments(), ["plan", *desk.run_arguments()[1:]]):
        words = ("cv", "none of which has target_ender_20", "known in no era of the file", "use a target that is known")
        refuse(desk, capfd, arguments, words)


def test_a_damaged_ledger(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    ledger = desk.exp / "results" / "rounds.jsonl"
    ledger.parent.mkdir()
    words = ("rounds.jsonl, line 1", "damaged", "restore the file, or remove this line")
    for line in ('{"number": 1', "[]", '{"number": 1}', "\x00"):
        ledger.write_text(f"{line}\n{{}}\n")
        for arguments in (desk.run_arguments(), ["status", str(desk.exp)], ["report", str(desk.exp)]):
            refuse(desk, capfd, arguments, words)


def test_an_experiment_that_another_process_runs(desk: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    code = (
        "import sys; from pathlib import Path; from numerai_ray.experiment.lock import experiment_lock\n"
        "with experiment_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(desk.exp / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        words = ("capacity", f"process {holder.pid}", "wait for it", "numerai-ray status")
        refuse(desk, capfd, desk.run_arguments(), words)
