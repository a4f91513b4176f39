"""Every built-in model through a whole experiment on Ray; a user's file on two nodes; and shares of a GPU.

LightGBM's experiment is the quickstart, which ``.ci/run`` runs. The second node says that it has a GPU: Ray places by
what nodes say, and that is what is tried here.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import Desk

from numerai_ray.cli.main import run
from numerai_ray.errors import ResourceShortage
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.rounds.time_model import read_calibration
from numerai_ray.runners.ray.fold_tasks import run_on_ray
from numerai_ray.runners.ray.start import RaySettings
from numerai_ray.system.resources import Needs

ray = pytest.importorskip("ray")
ray_cluster = pytest.importorskip("ray.cluster_utils")
pytestmark = [pytest.mark.ray, pytest.mark.slow]
STORE_BYTES = 150_000_000
# model -> its params, and the one variable with the value to try
MODELS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "xgboost": ({"n_estimators": 10, "max_depth": 2}, "max_depth", 3),
    "catboost": ({"iterations": 10, "depth": 2, "learning_rate": 0.1}, "depth", 3),
    "sklearn": ({"estimator": "sklearn.linear_model:Ridge", "alpha": 10.0}, "alpha", 1000.0),
    "mlp": ({"hidden": [8], "epochs": 3, "batch_size": 512}, "learning_rate", 0.01),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """One node of this machine, with two cores."""
    first = {"num_cpus": 2, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    made = ray_cluster.Cluster(initialize_head=True, head_node_args=first)
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def two_nodes(cluster: Any) -> str:
    """A second node, with a GPU by its word."""
    cluster.add_node(num_cpus=3, num_gpus=1, object_store_memory=STORE_BYTES)
    return str(cluster.address)


def plan(path: str, values: list[Any]) -> dict[str, Any]:
    """One scout round of one variable, a plateau, confirm on more features, final on other data."""
    return {
        "base": {},
        "search_space": {"dimensions": {"it": {"path": path, "values": values, "why": "to vary something"}}},
        "rounds": {"variants": 4, "patience": 1, "margin": 1.0},
        "stages": {
            "scout": {"data": "full", "feature_set": "small"},
            "confirm": {"data": "full", "feature_set": "medium"},
            "final": {"data": "downsampled", "feature_set": "medium"},
        },
    }


def desk_of(root: Path, market: Path, model: dict[str, Any], changes: dict[str, Any], splits: int = 2) -> Desk:
    """An experiment whose base is its baseline: ``model`` on few folds."""
    desk = Desk(root, market)
    baseline = {"data": {"version": "tiny"}, "cv": {"n_splits": splits}, "model": model}
    (desk.folder.parent / "baselines" / "tiny.yaml").write_text(yaml.safe_dump(baseline))
    written = yaml.safe_load((desk.folder / "experiment.yaml").read_text())
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump({**written, **changes}))
    return desk


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in ("catboost", "xgboost") else ()) for name in MODELS]
)
def test_a_model_through_a_whole_experiment(name: str, cluster: Any, market: Path, tmp_path: Path) -> None:
    if name == "mlp":
        pytest.importorskip("torch")
    params, variable, value = MODELS[name]
    changes = plan(f"model.params.{variable}", [value])
    desk = desk_of(tmp_path, market, {"type": name, "params": params}, changes)
    assert run(desk.arguments("--address", cluster.address)) == 0
    rounds = desk.rounds()
    assert [record["stage"] for record in rounds] == ["scout", "confirm", "final"]
    for record in rounds:
        own = [each for each in record["variants"] if each["role"] in ("base", "variant")]
        assert len(own) == (1 if record["stage"] == "final" else 2)
        assert all(each["error"] is None and each["metrics"]["corr"]["n_eras"] > 5 for each in own)
    assert sum(each["fits_new"] for record in rounds for each in record["variants"]) == 5
    ran = yaml.safe_load((desk.folder / "configs" / "r01-base.yaml").read_text())
    assert (ran["model"]["type"], ran["model"]["params"]) == (name, params)
    report = (desk.folder / "experiment.md").read_text()
    assert "Not finished" not in report
    assert "plateau: 1 round in a row" in report


# Trains nothing; says where and when it ran, and that its file is not needed there.
MINE = """
import json, os, time
from pathlib import Path
import ray

class Mine:
    resources = {resources}

    def __init__(self, told: str, scale: float = 1.0, own_file: str = ""):
        self.told, self.scale, self.own_file = Path(told), scale, own_file

    def fit(self, rows):
        started = time.time()
        while self.own_file and Path(self.own_file).exists():
            if time.time() > started + 60:
                raise RuntimeError("the file is still there")
            time.sleep(0.1)
        time.sleep({sleep})
        if ray.is_initialized():
            self.told.mkdir(exist_ok=True)
            node = ray.get_runtime_context().get_node_id()
            gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
            said = dict(node=node, gpus=gpus, started=started, ended=time.time(), threads=rows.threads)
            (self.told / f"{{os.getpid()}}-{{started}}.json").write_text(json.dumps(said))
        return self

    def predict(self, rows):
        return rows.features[:, 0] * self.scale + rows.features[:, 1]
"""


def told(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.iterdir()]


def most_at_once(fits: list[dict[str, Any]]) -> int:
    return max(sum(one["started"] <= each["started"] < one["ended"] for one in fits) for each in fits)


def test_a_users_file_on_nodes_that_do_not_have_it(
    two_nodes: str, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checked, then a round of it on both nodes; every fit waits until its file is gone."""
    file, where = tmp_path / "experiments" / "small" / "mine.py", tmp_path / "told"
    params = {"told": str(where), "own_file": str(file)}
    model = {"type": "mine.py:Mine", "params": params}
    desk = desk_of(tmp_path, market, model, plan("model.params.scale", [2.0, 3.0, 4.0]), 4)
    file.write_text(MINE.format(resources="None", sleep=0.3))
    monkeypatch.chdir(desk.folder)
    assert run(["check-model", "mine.py:Mine", "--params", json.dumps({"told": str(where)}), "--json"]) == 0
    monkeypatch.chdir(tmp_path)

    def take_away() -> None:
        planned = desk.folder / "configs" / "r01-it=4.0.yaml"  # the last that is written before fits start
        while not planned.exists() and running.is_alive():
            time.sleep(0.05)
        file.unlink()

    running = threading.current_thread()
    taking = threading.Thread(target=take_away)
    taking.start()
    assert run(desk.arguments("--address", two_nodes, "--rounds", "1")) == 0
    taking.join()
    assert not file.exists()
    own = [each for each in desk.rounds()[0]["variants"] if each["role"] in ("base", "variant")]
    assert [each["error"] for each in own] == [None] * 4
    fits = told(where)
    assert len(fits) == 12
    assert len({each["node"] for each in fits}) == 2


@pytest.mark.long
def test_two_fits_share_a_gpu_and_the_third_waits(two_nodes: str, market: Path, tmp_path: Path) -> None:
    where = tmp_path / "told"
    model = {"type": "mine.py:Mine", "params": {"told": str(where)}}
    desk = desk_of(tmp_path, market, model, plan("model.params.scale", [2.0]), 4)
    (desk.folder / "mine.py").write_text(MINE.format(resources={"gpus": 0.5}, sleep=1.5))
    assert run(desk.arguments("--address", two_nodes, "--rounds", "1")) == 0
    fits = told(where)
    assert len(fits) == 6
    assert len({each["node"] for each in fits}) == 1, "only one node has a GPU"
    assert {each["gpus"] for each in fits} == {"0"}
    assert most_at_once(fits) == 2


def test_a_refit_takes_the_gpu_that_its_fits_took(two_nodes: str, tmp_path: Path) -> None:
    def where(_: Needs, threads: int) -> tuple[str, str | None, int]:
        return ray.get_runtime_context().get_node_id(), os.environ.get("CUDA_VISIBLE_DEVICES"), threads

    settings = RaySettings(tmp_path / "tune", tmp_path / "driver.log", two_nodes, dashboard=False)
    asked = [Needs(gpus=1.0), Needs(cores=3, gpus=0.5), Needs()]
    gpu, half, plain = run_on_ray(where, asked, "refit", settings, lambda each: each)
    assert (gpu[1], half[1], plain[1]) == ("0", "0", None)
    assert gpu[0] == half[0]
    assert (gpu[2], half[2], plain[2]) == (2, 3, 2)
    with pytest.raises(ResourceShortage, match=r"one fit needs 4 cores, 1 GPU, but no node has as much"):
        run_on_ray(where, [Needs(cores=4, gpus=1.0)], "refit", settings, lambda each: each)


def test_more_gpus_than_any_node_has_are_refused_with_numbers(
    two_nodes: str, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NUMERAI_RAY_NODE_WAIT_S", "1")
    model = {"type": "sklearn", "params": MODELS["sklearn"][0], "resources": {"gpus": 2.0}}
    desk = desk_of(tmp_path, market, model, plan("model.params.alpha", [100.0]))
    assert run(desk.arguments("--address", two_nodes, "--rounds", "1")) == 2
    err = capsys.readouterr().err
    assert "the cluster has no node with 2 GPUs (2 nodes, 1 GPUs at most), and none came within 1 s" in err
    assert run(desk.arguments("--rounds", "1")) == 2
    err = capsys.readouterr().err
    assert "one fit needs 2 GPUs, " in err
    assert "0 GPUs here; lower model.resources" in err
    assert run(["plan", str(desk.folder), "--data-dir", str(desk.data), "--no-calibrate"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "a fit takes 2 GPU, 0 here: run it on a cluster that has them (--address)" in out


@pytest.mark.long
def test_a_plan_is_measured_on_the_cluster_that_will_run_it(
    two_nodes: str, market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = {"type": "sklearn", "params": MODELS["sklearn"][0]}
    desk = desk_of(tmp_path, market, model, plan("model.params.alpha", [100.0]))
    where = ["plan", str(desk.folder), "--data-dir", str(desk.data), "--json"]
    assert run([*where, "--address", two_nodes]) == 0
    told = json.loads(capsys.readouterr().out)
    known = read_calibration(ExperimentPaths(desk.folder))
    assert told["cores"] == known.cores == 2 + 3
    assert told["seconds"] > sum(each["seconds"] for each in told["rounds"]) > 0
    assert desk.fits() == {}, "short fits are not kept"
