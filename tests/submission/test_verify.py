"""Pickles of all kinds tried as Numerai's container tries them, and live predictions as Numerai checks them."""

import json
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_requests import Desk
from numerai_tools.submissions import validate_submission_numerai
from submission_desk import exported, live_of, needs_python

from numerai_ray.cli.main import run
from numerai_ray.errors import DataError, EnvironmentFault, RequestError
from numerai_ray.submission.container import interpreters
from numerai_ray.submission.container.containers import CONTAINERS, container_for
from numerai_ray.submission.container.environment import Environment, Limits, run_inside
from numerai_ray.submission.container.inside import runner
from numerai_ray.submission.container.proof import read_proof, write_proof
from numerai_ray.submission.container.verify import verify
from numerai_ray.submission.files import SubmissionFiles, sha256
from numerai_ray.submission.numerai.predictions import live_predictions, submission_problem


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """The pickle and its files, to be damaged."""
    for path in model.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / model.name


# --- verify ----------------------------------------------------------------------------------------------------

MAKE = """
import cloudpickle, json, sys
import numpy as np, pandas as pd
for name, code in json.load(open(sys.argv[1])).items():
    made = {"np": np, "pd": pd}
    exec(code, made)
    open(name + ".pkl", "wb").write(cloudpickle.dumps(made["predict"]))
"""
RANKS = "pd.DataFrame({'prediction': f.iloc[:, 3].rank(pct=True) * .9}, index=f.index)"
# name -> (what is pickled), the words of the problem; None where it passes. In Numerai's container:
STRANGERS: dict[str, tuple[str, str | None]] = {
    "one argument": (f"def predict(f): return {RANKS}", None),
    "two arguments": (f"def predict(f, b): return {RANKS}", None),
    "an error": ("def predict(f): raise RuntimeError('out of luck')", "predict fails: RuntimeError: out of luck"),
    "an exit": ("def predict(f): import sys; sys.exit(3)", "predict fails: SystemExit: 3"),
    "a death": ("def predict(f): import os; os.kill(os.getpid(), 11)", "dies of signal 11 in step call"),
    "a quiet end": ("def predict(f): import os; os._exit(0)", "ended by itself"),
    "a library that is not there": ("def predict(f): import polars", "ModuleNotFoundError: No module named 'polars'"),
    "our package": ("def predict(f): import numerai_ray", "No module named 'numerai_ray'"),
    "the network": ("def predict(f): import urllib.request as r; r.urlopen('http://1.1.1.1', timeout=2)", "URLError"),
}
# What comes back, judged by the same runner in this process:
ANSWERS: dict[str, tuple[str, str | None]] = {
    "another column name": (f"def predict(f): return {RANKS}.rename(columns=dict(prediction='x'))", None),
    "three arguments": (f"def predict(f, b, c): return {RANKS}", "takes 3"),
    "no arguments": ("def predict(): return 1", "takes 0"),
    "not a function": ("predict = {'model': 1}", "must hold a function"),
    "a column": ("def predict(f): return f.iloc[:, 3] * 0.0 + 0.5", "must return a pandas DataFrame"),
    "an array": ("def predict(f): return np.zeros(len(f))", "must return a pandas DataFrame"),
    "nothing": ("def predict(f): return None", "must return a pandas DataFrame"),
    "rows too few": (f"def predict(f): return {RANKS}.iloc[1:]", "rows for"),
    "rows too many": (f"def predict(f): return pd.concat([{RANKS}] * 2)", "rows for"),
    "no columns": (f"def predict(f): return {RANKS}[[]]", "no column"),
    "NaN": (f"def predict(f): return {RANKS}.where(f.iloc[:, 3] > 2)", "NaN"),
    "over one": (f"def predict(f): return {RANKS} * 3", r"must lie in [0, 1]"),
    "below zero": (f"def predict(f): return {RANKS} - 1", r"must lie in [0, 1]"),
    "text": ("def predict(f): return pd.DataFrame({'p': ['a'] * len(f)}, index=f.index)", r"must lie in [0, 1]"),
    "another index": (f"def predict(f): return {RANKS}.reset_index(drop=True)", "keep the index"),
    "another order": (f"def predict(f): return {RANKS}[::-1]", "keep the index"),
    "a missing column": ("def predict(f): return f[['feature_of_yesterday']]", "feature_of_yesterday"),
}


@pytest.fixture(scope="module")
def strangers(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pickle for each."""
    folder = tmp_path_factory.mktemp("strangers")
    (folder / "make.py").write_text(MAKE)
    (folder / "codes.json").write_text(json.dumps({name: code for name, (code, _) in STRANGERS.items()}))
    made = run_inside(environment, [str(folder / "make.py"), "codes.json"], folder, Limits(60, 2 * 10**9))
    assert made.code == 0, made.output
    return folder


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize("name", STRANGERS)
def test_strange_pickles(name: str, finished: Desk, environment: Environment, strangers: Path) -> None:
    """Pickles of others, without a proof: what Numerai's container would say, said here."""
    code, problem = STRANGERS[name]
    found = verify(strangers / f"{name}.pkl", environment, live_of(finished))
    assert found.ok == (problem is None), found
    if problem is not None:
        assert problem in " ".join(found.problems), found.problems
    else:
        assert found.live is not None
        assert found.live.arguments == (2 if "f, b" in code else 1)
    assert "no proof" in " ".join(found.notes)


@pytest.mark.parametrize("name", ANSWERS)
def test_strange_answers(name: str, finished: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, problem = ANSWERS[name]
    made: dict[str, Any] = {"np": np, "pd": pd}
    exec(code, made)
    monkeypatch.setattr(pd, "read_pickle", lambda _: made["predict"])
    live = live_of(finished)
    request = {
        "model": "model.pkl",
        "features": str(live.features),
        "benchmarks": str(live.benchmarks),
        "predictions": str(tmp_path / "predictions.parquet"),
        "report": str(tmp_path / "report.json"),
        "forbidden": [],
    }
    if problem is None:
        runner.run(request, {})
        assert list(pd.read_parquet(request["predictions"]).columns) == ["prediction"]
        return
    with pytest.raises((runner.Wrong, KeyError), match=re.escape(problem)):
        runner.run(request, {})


DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello, world",
    "cut short": b"CUT",
    "a class that is not there": b"cno_such_module\nThing\n.",
    "a class of ours": b"cnumerai_ray.config\nConfig\n.",
    "zeros": bytes(1000),
}


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickles(name: str, model: Path, finished: Desk, environment: Environment, tmp_path: Path) -> None:
    content = model.read_bytes()
    path = tmp_path / "model.pkl"
    path.write_bytes(content[: len(content) // 2] if name == "cut short" else DAMAGED[name])
    found = verify(path, environment, live_of(finished))
    assert not found.ok
    assert "cannot be loaded" in found.problems[0]


@needs_python
@pytest.mark.slow
def test_another_model_is_found_out(copy: Path, finished: Desk, environment: Environment) -> None:
    """The proof of one model beside another one that also runs well."""
    other = copy.with_name("other.pkl")
    exported(finished, other, {"model": {"params": {"num_leaves": 2}}})
    proof = read_proof(
        SubmissionFiles(copy).proof, json.loads(copy.with_suffix(".json").read_text())["pickle"]["sha256"]
    )
    assert proof is not None
    with pytest.raises(DataError, match="belongs to another pickle"):
        read_proof(SubmissionFiles(copy).proof, "0" * 64)
    write_proof(SubmissionFiles(other).proof, replace(proof, facts={**proof.facts, "pickle_sha256": sha256(other)}))
    found = verify(other, environment, None)
    assert not found.ok
    assert "not the model that the pipeline made" in found.problems[0]


def test_damaged_files_beside_a_pickle(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.pkl"
    assert run(["verify", str(path)]) == 2
    path.write_bytes(pickle.dumps(1))
    path.with_suffix(".json").write_text("{")
    assert run(["verify", str(path)]) == 2
    path.with_suffix(".json").unlink()
    path.with_suffix(".proof.parquet").write_bytes(b"PAR1")
    assert run(["verify", str(path), "--python", "3.9"]) == 2
    err = capfd.readouterr().err
    for words in ("no such file; make one with `numerai-ray export", "model.json: is damaged", "no container for"):
        assert words in err
    assert "Traceback" not in err
    with pytest.raises(DataError, match="is damaged"):
        read_proof(path.with_suffix(".proof.parquet"), "")


def test_a_python_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "_first_working", lambda version: Path("x") if version == "3.11" else None)
    with pytest.raises(EnvironmentFault, match=r"Python 3.14 is not on this machine.*pyenv install.*here are 3.11"):
        interpreters.find_python("3.14")


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_pins_are_those_of_the_images_lock_files(python: str) -> None:
    pins = CONTAINERS[python].pins
    locked = {"pandas": "2.3.2", "scipy": "1.16.2", "xgboost": "3.0.5", "joblib": "1.5.2", "numpy": "2.1.3"}
    assert {name: pins[name] for name in locked} == locked


@pytest.mark.parametrize(
    ("python", "words"),
    [("3.10", r"not offered: .*lightgbm 4.0.0.*choose one of 3.11, 3.12"), ("3.9", r"no container for Python '3.9'")],
)
def test_a_container_that_is_not_offered_is_refused_with_the_reason(python: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        container_for(python)


def test_a_library_that_the_container_lacks() -> None:
    with pytest.raises(RequestError, match=r"has no torch, so it cannot run this model; it has lightgbm 4.5.0"):
        CONTAINERS["3.12"].check(["torch"])


# --- live predictions ------------------------------------------------------------------------------------------


@needs_python
@pytest.mark.slow
def test_live_predictions_pass_numerai_tools(model: Path, finished: Desk, environment: Environment) -> None:
    frame = live_predictions(model, environment, live_of(finished))
    ids = pd.read_parquet(finished.version / "live.parquet").index.to_series()
    _, _, kept, strangers = validate_submission_numerai(ids, frame.copy())
    assert len(kept) == len(ids)
    assert strangers == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.rename(columns={"id": "ID"}), "columns must be"),
        (lambda f: f.assign(id=[None, *f["id"][1:]]), "no id"),
        (lambda f: pd.concat([f, f]), "stands twice"),
        (lambda f: f.assign(prediction=[np.nan, *f["prediction"][1:]]), "NaN"),
        (lambda f: f.assign(prediction=f["prediction"] + 1), "between 0 and 1"),
        (lambda f: f.assign(prediction=0.5), "the same"),
    ],
)
def test_what_numerai_tools_refuse_is_refused(damage: Any, words: str) -> None:
    good = pd.DataFrame({"id": [f"n{row}" for row in range(9)], "prediction": np.arange(1, 10) / 10})
    assert submission_problem(good) is None
    validate_submission_numerai(good["id"], good.copy())
    bad = damage(good)
    assert words in str(submission_problem(bad))
    with pytest.raises(AssertionError):
        validate_submission_numerai(good["id"], bad.copy())
