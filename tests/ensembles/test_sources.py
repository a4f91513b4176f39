"""Candidates beside an experiment's variants: predictions of others that were added, and baselines that are kept."""

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from desk import BASELINE, Desk

from numerai_ray import Ensemble
from numerai_ray.cli.main import run
from numerai_ray.config import apply_overrides
from numerai_ray.ensembles.candidates import Candidate, LeftOut, gather
from numerai_ray.ensembles.sources import all_found
from numerai_ray.experiment.baselines import BaselineStore
from numerai_ray.session.experiment import Experiment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    """A round, the baseline run for all, and three predictions of others: of one it is said what it was trained on."""
    made = Desk(tmp_path_factory.mktemp("sources"), market)
    assert made.run("--rounds", "1") == 0
    values = apply_overrides(BASELINE, {"data": {"file": "full"}, "model": {"params": {"num_leaves": 5}}})
    (made.folder.parent / "baselines" / "kept.yaml").write_text(yaml.safe_dump(values))
    with contextlib.chdir(made.folder.parent.parent):
        assert run(["baseline", "kept", "--in-process", "--data-dir", str(made.data)]) == 0
    experiment = Experiment.load(made.folder)
    oof = experiment.oof(made.rounds()[0]["variants"][0]["id"])
    target = next(name for name in oof if name.startswith("target"))
    rng = np.random.default_rng(0)
    # It knows a part of the labels that nobody else does: the best member by far.
    oof = oof.assign(prediction=oof[target].fillna(0.5) + rng.normal(0, 7.0, len(oof)))
    honest = {fold: [1] for fold in oof["cv_fold"].unique()}
    scoring = {"data": str(made.data)}
    experiment.add_predictions("honest", oof, train_eras=honest, scoring=scoring)
    experiment.add_predictions("unsaid", oof, scoring=scoring)
    seen = {fold: sorted(part["era"].astype(int).unique()) for fold, part in oof.groupby("cv_fold")}
    experiment.add_predictions("leaky", oof, train_eras=seen, scoring=scoring)
    return made


def test_they_are_candidates_where_their_labels_are_known_to_be_unseen(desk: Desk) -> None:
    found = list(all_found([desk.folder], BaselineStore.below(desk.data).all()))
    known = {each.name: each for each in found if isinstance(each, Candidate)}
    left = {each.name: each.why for each in found if isinstance(each, LeftOut)}
    assert known["small.foreign-honest"].foreign
    assert known["baseline.kept"].stage == "baseline"
    assert "give `train_eras`" in left["small.foreign-unsaid"]
    assert "suspect" in left["small.foreign-leaky"]
    gathered = gather(found)
    names = [each.name for each in gathered.candidates]
    assert {"small.foreign-honest", "baseline.kept"} <= set(names)
    assert gathered.kinds[names.index("small.foreign-honest")] == -1


def test_an_ensemble_with_predictions_alone_says_so_and_offers_the_rest(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "with"
    search = ["ensemble", str(desk.folder), "--out", str(out), "--blocks", "3", "--data-dir", str(desk.data)]
    capsys.readouterr()
    assert run(search) == 0
    told = capsys.readouterr()
    assert "predictions alone" in told.out
    found = Ensemble.load(out)
    assert found.value["without_model"] == ["small.foreign-honest"]
    assert found.value["verdict"] == "clear gain" or found.value["single"] == "small.foreign-honest"
    assert "there are predictions alone" in found.paths.report.read_text()
    export = ["export", str(out), "--out", str(tmp_path / "m.pkl"), "--data-dir", str(desk.data)]
    assert run(export) == 2
    refused = capsys.readouterr().err
    assert "cannot be exported whole: of small.foreign-honest there are predictions alone" in refused
    others = [name for name in found.weights if name != "small.foreign-honest"]
    assert found.paths.recipe.is_file() == bool(others)
    if others:
        assert found.config.ensemble is not None
        assert list(found.config.ensemble.members) == sorted(others, key=list(found.config.ensemble.members).index)
        assert f"--variant best-{len(others)}" in refused


def test_a_kept_baseline_is_read_as_it_was_stored(desk: Desk) -> None:
    (entry,) = BaselineStore.below(desk.data).all()
    (found,) = [each for each in all_found([], [entry]) if isinstance(each, Candidate)]
    predictions = pd.read_parquet(found.predictions)
    assert set(found.eras) <= set(predictions["era"].astype(int))
    assert found.member["model"]["params"]["n_estimators"] == 20


def test_what_the_container_cannot_take_is_left_out_with_its_numbers(desk: Desk, tmp_path: Path) -> None:
    """Room for the leaves of 20 trees beside Python and the data, and for no more."""
    out = tmp_path / "tight"
    search = ["ensemble", str(desk.folder), "--out", str(out), "--blocks", "3", "--data-dir", str(desk.data)]
    assert run([*search, "--memory-gb", "0.60005"]) == 0
    found = Ensemble.load(out)
    left = {each["name"]: each["why"] for each in found.value["left_out"]}
    assert "over the limit of 0.60 GB and 600 s" in left["small.r01-learning_rate=0.05"]
    container = found.value["container"]
    assert container["estimate"]["memory_bytes"] <= container["limit"]["memory_bytes"] == 0.60005e9
    assert sum(each["model"] != "predictions alone" for each in found.value["members"]) <= 1
    assert "the limit is 0.60005 GB" in found.paths.report.read_text()


def test_stacks_are_nested_or_left_out(desk: Desk, tmp_path: Path) -> None:
    """A stack of blocked folds has weights from models that know later labels."""
    folder = tmp_path / "blocked"
    shutil.copytree(desk.folder, folder)
    stack = {"ensemble": {"members": {"a": {}, "b": {}}, "stack": {}}}
    for path in (folder / "configs").glob("*=0.2.yaml"):
        values = apply_overrides(yaml.safe_load(path.read_text()), stack)
        path.write_text(yaml.safe_dump(apply_overrides(values, {"cv": {"mode": "blocked"}})))
    for path in (folder / "configs").glob("*=0.05.yaml"):
        path.write_text(yaml.safe_dump(apply_overrides(yaml.safe_load(path.read_text()), stack)))
    found = {each.name: each for each in all_found([folder])}
    refused, nested = found["blocked.r01-learning_rate=0.2"], found["blocked.r01-learning_rate=0.05"]
    assert isinstance(refused, LeftOut)
    assert "trained on later eras" in refused.why
    assert isinstance(nested, Candidate)
    assert nested.member["ensemble"]["stack"] == {"method": "nnls"}
