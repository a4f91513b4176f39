"""Trained models in the store: read back they predict the same, and an export trains nothing that is there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bad_requests import Desk
from submission_desk import PYTHONS, live_of, needs_python

from numerai_ray.cli.main import run
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.submission.container.containers import container_for
from numerai_ray.submission.export.assembly import plan_refit
from numerai_ray.submission.export.choice import choose
from numerai_ray.submission.export.exporting import ExportOrder, export
from numerai_ray.submission.export.refit import RefitJob, Refitted, in_process, refits_of
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore
from numerai_ray.training.store.models import ModelStore, StoredModel

KEY = "ab" + "0" * 62
MODEL = {"text": "tree", "blob": b"\x00\xff", "layers": [{"weight": b"12", "shape": [1, 2]}], "none": None, "half": 0.5}


def stored(model: Any) -> StoredModel:
    return StoredModel(model, np.array([0.1, 0.2]), {"seconds": 1.5, "made_by": "lightgbm"})


@pytest.mark.parametrize("model", ["text", b"", b"bytes", [], MODEL])
def test_a_model_is_read_back(model: Any, tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    assert store.get(KEY) is None
    store.put(KEY, stored(model))
    found = store.get(KEY)
    assert found is not None
    assert found.model == model
    assert found.predictions.tolist() == [0.1, 0.2]
    assert found.facts["seconds"] == 1.5


def test_only_plain_values_are_kept(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        ModelStore(tmp_path).put(KEY, stored(object()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_model_is_set_aside(tmp_path: Path) -> None:
    """A flipped bit anywhere in the file: never another model than the one that was written."""
    store = ModelStore(tmp_path)
    store.put(KEY, stored(MODEL))
    whole = store.path(KEY).read_bytes()
    for place in range(len(whole)):
        content = bytearray(whole)
        content[place] ^= 1
        store.path(KEY).write_bytes(bytes(content))
        assert store.get(KEY) is None, place
        assert [path.name for path in tmp_path.rglob("*.damaged")] == [f"{KEY}-model.damaged"]


def test_the_store_commands_know_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ModelStore(tmp_path / "store")
    store.put(KEY, stored(MODEL))
    data = ["--data-dir", str(tmp_path)]
    assert run(["store", "info", *data]) == 0
    assert "1 trained models" in capsys.readouterr().out
    assert run(["store", "verify", *data]) == 0
    assert "trained model, lightgbm: 1" in capsys.readouterr().out
    store.path(KEY).write_bytes(store.path(KEY).read_bytes()[:-1])
    assert run(["store", "verify", *data]) == 3
    store.put(KEY, stored(MODEL))
    assert run(["store", "gc", "--older-than", "0", "--delete", *data]) == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@needs_python
def test_an_export_trains_nothing_that_an_earlier_one_trained(finished: Desk, tmp_path: Path) -> None:
    paths = ExperimentPaths(finished.exp)
    choice = choose(paths, "capacity", None)
    store = FitStore(tmp_path / "store")
    catalog = Catalog(finished.data)
    jobs_run: list[int] = []

    def run_jobs(jobs: Sequence[RefitJob]) -> list[Refitted]:
        jobs_run.append(len(jobs))
        return in_process(jobs, 2)

    pickles, said = [], []
    for name in ("first", "second"):
        order = ExportOrder(
            choice, paths, container_for(PYTHONS[0]), tmp_path / f"{name}.pkl", live_of(finished), store
        )
        assert export(order, catalog, run_jobs, said.append).ok
        pickles.append((tmp_path / f"{name}.pkl").read_bytes())
    assert jobs_run == [1]
    assert "1 model from the store: trained by an earlier export" in said
    assert pickles[0] == pickles[1]


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "catboost", "mlp"])
def test_every_kind_of_model_comes_back_as_it_was_trained(kind: str, finished: Desk, tmp_path: Path) -> None:
    params = {
        "lightgbm": {"n_estimators": 5},
        "xgboost": {"n_estimators": 5},
        "catboost": {"iterations": 5},
        "mlp": {"hidden": [4], "epochs": 1},
    }
    pytest.importorskip({"mlp": "torch"}.get(kind, kind))
    config = choose(ExperimentPaths(finished.exp), "capacity", None).config
    model = config.model.model_copy(update={"type": kind, "params": params[kind], "seeds": ()})
    config = config.model_copy(update={"model": model})
    jobs = plan_refit(config, Catalog(finished.data), FitStore(tmp_path / "fits")).jobs
    store = ModelStore(tmp_path / "store")
    (made,) = refits_of(jobs, store, lambda todo: in_process(todo, 2), lambda _: None)
    (found,) = refits_of(jobs, store, lambda _: pytest.fail("trained again"), lambda _: None)
    assert found.payload == made.payload
    np.testing.assert_array_equal(found.proof, made.proof)
    facts = [(each.train_rows, each.dropped_rows, each.seconds) for each in (found, made)]
    assert facts[0] == facts[1]
