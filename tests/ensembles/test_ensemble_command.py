"""`ensemble` through the command line: from experiments to a folder, to training and to a pickle, all of them equal."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from desk import Desk
from jsonschema import Draft202012Validator
from submission_desk import PYTHONS, needs_python

from numerai_ray import Ensemble
from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.ensembles.candidates import gather
from numerai_ray.ensembles.sources import all_found
from numerai_ray.errors import RequestError
from numerai_ray.submission.container.verify import Verification
from numerai_ray.submission.export import exporting

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, market: Path) -> Desk:
    """Two rounds of an experiment, without Ray."""
    made = Desk(tmp_path_factory.mktemp("ensemble"), market)
    assert made.run("--rounds", "2") == 0
    return made


@pytest.fixture(scope="module")
def made(desk: Desk) -> Ensemble:
    """An ensemble of it."""
    out = desk.folder.parent.parent / "ensembles" / "both"
    arguments = ["ensemble", str(desk.folder.parent), "--out", str(out), "--members", "3", "--blocks", "3"]
    assert run([*arguments, "--data-dir", str(desk.data)]) == 0
    return Ensemble.load(out)


def data(desk: Desk) -> list[str]:
    return ["--data-dir", str(desk.data)]


def test_the_folder_has_all_of_it_and_the_answer_is_what_the_schema_says(
    desk: Desk, made: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = made.paths
    for path in (paths.recipe, paths.report, paths.html, paths.own_results, paths.own_predictions):
        assert path.stat().st_size > 0
    text = paths.report.read_text()
    for heading in ("Abstract", "Members", "When in time", "What is luck in it", "How it was chosen", "Use it"):
        assert f"## {heading}" in text
    assert paths.html.read_text().count("<img") == text.count("<picture>") * 2
    capsys.readouterr()
    again = ["ensemble", str(desk.folder), "--out", str(tmp_path / "both"), "--members", "3", "--blocks", "3", "--json"]
    assert run([*again, *data(desk)]) == 0
    value = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("ensemble")).validate(value)
    assert value["members"] == made.value["members"], "the same experiments give the same ensemble"
    assert len(value["members"]) <= 3
    assert value["eras"]["embargo"] == 5
    assert sum(member["weight"] for member in value["members"]) == pytest.approx(1, abs=1e-3)
    for block in value["blocks"]:
        assert int(block["reported"]["first"]) - int(block["chosen"]["last"]) > 5


def test_training_its_config_gives_the_same_predictions_and_scores(desk: Desk, made: Ensemble, tmp_path: Path) -> None:
    fits = len(list((desk.data / "store").rglob("*.parquet")))
    arguments = ["train", "--config", str(made.paths.recipe), "--output-dir", str(tmp_path), "--in-process"]
    assert run([*arguments, *data(desk)]) == 0
    assert len(list((desk.data / "store").rglob("*.parquet"))) == fits, "nothing is trained again"
    trained = pd.read_parquet(tmp_path / "predictions" / "ensemble.parquet").set_index("id")["prediction"]
    ours = made.oof().set_index("id")["prediction"]
    np.testing.assert_allclose(trained[ours.index], ours, atol=1e-12)
    scored = json.loads((tmp_path / "results" / "ensemble.json").read_text())["per_era"]
    bmc = pd.Series(scored["bmc"], index=[int(era) for era in scored["era"]], dtype=float)
    delivered = made.per_era()["delivered"]
    np.testing.assert_allclose(bmc[delivered.index], delivered, atol=1e-12)


def test_later_scores_are_of_what_was_chosen_before_them(made: Ensemble) -> None:
    per_era, last = made.per_era(), made.value["blocks"][-1]["reported"]
    block = per_era.loc[int(last["first"]) : int(last["last"])]
    np.testing.assert_array_equal(block["delivered"], block["chosen_before"])
    later = per_era["chosen_before"].dropna()
    assert later.index[0] == int(made.value["blocks"][0]["reported"]["first"])
    assert made.value["gain"]["mean"] == pytest.approx((later - per_era["single"].dropna()).mean())
    assert not made.oof().loc[lambda rows: rows["era"] >= last["first"], "chosen_on"].any()
    assert list(made.blocks()["first"]) == [block["reported"]["first"] for block in made.value["blocks"]]
    assert list(made.members().index) == list(made.weights)
    assert made.config.ensemble is not None
    assert dict(made.config.ensemble.weights) == made.weights
    assert made.verdict in repr(made)


@needs_python
def test_it_is_exported_whole_and_in_part(
    desk: Desk, made: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = str(made.paths.root), tmp_path / "model.pkl"
    export = ["export", folder, "--out", str(out), "--python", PYTHONS[0], "--in-process", *data(desk)]
    capsys.readouterr()
    assert run([*export, "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["variant"] == "both"
    assert card["model"]["models"] == len(made.weights)
    assert card["verification"]["agreement"]["largest"] <= 1e-9
    if len(made.weights) > 1:
        assert run([*export, "--variant", "best-1"]) == 0
        assert json.loads(out.with_suffix(".json").read_text())["model"]["models"] == 1
    assert run([*export, "--variant", "best-7"]) == 2
    assert "has no part 'best-7'; choose one of both" in capsys.readouterr().err


@needs_python
def test_what_does_not_fit_is_refused_with_the_part_that_does(
    desk: Desk, made: Ensemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The container takes one model of the ensemble, as if each took half of its memory."""
    if len(made.weights) == 1:
        pytest.skip("one member")
    real = exporting.verify

    def small(pickle: Path, *rest: Any) -> Verification:
        found = real(pickle, *rest)
        models = int(pickle.stat().st_size > largest)
        return (
            replace(found, problems=("takes 4.80 GB of memory, over Numerai's limit of 4.00 GB",)) if models else found
        )

    export = ["export", str(made.paths.root), "--python", PYTHONS[0], "--in-process", *data(desk)]
    assert run([*export, "--out", str(tmp_path / "one.pkl"), "--variant", "best-1"]) == 0
    largest = (tmp_path / "one.pkl").stat().st_size
    monkeypatch.setattr(exporting, "verify", small)
    capsys.readouterr()
    assert run([*export, "--out", str(tmp_path / "all.pkl")]) == 2
    told = capsys.readouterr().err
    assert "takes 4.80 GB of memory" in told
    assert "export again with --variant best-1" in told
    assert not (tmp_path / "all.pkl").exists()


def test_candidates_are_each_model_once_and_say_why_others_are_not(desk: Desk) -> None:
    found = gather(all_found([desk.folder]))
    names = [each.name for each in found.candidates]
    assert len(set(names)) == len(names) >= 3
    assert all(name.startswith("small.r") for name in names)
    assert all(set(found.eras) <= set(each.eras) for each in found.candidates)
    variants = {variant["id"] for record in desk.rounds() for variant in record["variants"]}
    known = {each.variant for each in found.candidates} | {each.name.removeprefix("small.") for each in found.left_out}
    assert {each for each in variants if "benchmark" not in each} == known


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["EXP", "--out", "a b"], ("--out: must be a name of letters", "'a b'")),
        (["nowhere", "--out", "x"], ("nowhere: no experiment.yaml there, nor in a folder of it",)),
        (["EXP", "--out", "x", "--members", "0"], ("--members", "must be from 1 to 100, but is 0")),
        (["EXP", "--out", "x", "--blocks", "30"], ("eras in common are too few", "lower --blocks")),
        (["EXP", "--out", "x", "--data-dir", "nowhere"], ("nowhere", "no such folder")),
    ],
)
def test_wrong_requests(
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(desk.folder) if each == "EXP" else each for each in arguments]
    assert run(["ensemble", *given, *([] if "--data-dir" in given else data(desk))]) == 2
    told = capsys.readouterr().err
    assert all(word in told for word in words), told
    assert not list(tmp_path.iterdir())


def test_a_damaged_folder_is_refused(made: Ensemble, tmp_path: Path, desk: Desk) -> None:
    with pytest.raises(RequestError, match=r"no ensemble\.yaml there"):
        Ensemble.load(tmp_path)
    (tmp_path / "ensemble.yaml").write_bytes(made.paths.recipe.read_bytes())
    with pytest.raises(RequestError, match="missing or damaged"):
        Ensemble.load(tmp_path)
    assert run(["export", str(tmp_path), "--out", str(tmp_path / "m.pkl"), *data(desk)]) == 2
