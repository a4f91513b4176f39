"""The whole path, from a run to a validated upload, as ``docs/submission.md`` shows it; and the commands around it."""

import json
import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from jsonschema import Draft202012Validator
from numerai_account import PUBLIC_ID, SECRET, Account
from numerai_server import NumeraiServer
from submission_desk import PYTHONS, needs_python

import numerai_ray
from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.submission.numerai.upload import Waiting

PAGE = (Path(numerai_ray.__file__).parent / "docs" / "submission.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
SMALL = {"eras": 60, "rows": 50, "features": 12, "seed": 7}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the quickstart on a smaller market, with smaller trees: the path is the same."""
    folder = tmp_path_factory.mktemp("path")
    root = Path(numerai_ray.__file__).parent.parent
    plan = yaml.safe_load((root / "experiments" / "quickstart" / "experiment.yaml").read_text())
    plan["market"] = SMALL
    plan["base"] = {
        "model": {"params": {"n_estimators": 4, "min_data_in_leaf": 20}},
        "cv": {"n_splits": 3, "embargo_eras": 5},
    }
    plan["budget"] = {"rounds": 1}
    plan["search_space"] = {"dimensions": {"num_leaves": {"path": "model.params.num_leaves", "values": [4, 7]}}}
    (folder / "experiments" / "quickstart").mkdir(parents=True)
    (folder / "experiments" / "quickstart" / "experiment.yaml").write_text(yaml.safe_dump(plan))
    return folder


@pytest.fixture
def account(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.chdir(desk)
    monkeypatch.delenv("NUMERAI_RAY_DATA", raising=False)
    monkeypatch.setenv("NUMERAI_PUBLIC_ID", PUBLIC_ID)
    monkeypatch.setenv("NUMERAI_SECRET_KEY", SECRET)
    monkeypatch.setattr("numerai_ray.submission.numerai.upload.Waiting", partial(Waiting, sleep=lambda _s: None))
    with NumeraiServer({}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        account = Account(server)
        account.versions = ("v5.2", "quickstart")
        yield account


def check(name: str, answer: Any) -> None:
    Draft202012Validator(schema_of(name)).validate(answer)


@needs_python
@pytest.mark.slow
def test_the_page(desk: Path, account: Account, capfd: pytest.CaptureFixture[str]) -> None:
    """Every command of the page, in order; on fits in this process, which changes no result."""
    assert [shlex.split(line)[1] for line in COMMANDS] == ["run", "export", "verify", "upload", "upload", "predict"]
    for line in COMMANDS:
        words = shlex.split(line)[1:]
        own = {"run": ["--in-process", "--accept-suspect"], "export": ["--in-process", "--python", PYTHONS[0]]}
        assert run([*words, *own.get(words[0], [])]) == 0, (line, capfd.readouterr().err)
    out, err = capfd.readouterr()
    assert run(["verify", "quickstart.pkl", "--json"]) == 0
    answer = json.loads(capfd.readouterr().out)
    check("verify", answer)
    assert answer["ok"]
    assert answer["equal"]
    step = re.search(r"next: (numerai-ray .*?)  ?\(", err + out)
    assert step is not None
    assert "predictions equal the pipeline's" in out
    assert "quickstart.pkl is validated at Numerai" in out
    (made,) = account.pickles.values()
    assert made["dataVersionId"] == "dv-quickstart"
    (sent,) = account.server.received.values()
    assert sent == (desk / "quickstart.pkl").read_bytes()
    report = (desk / "experiments" / "quickstart" / "experiment.md").read_text()
    assert step[1].split()[1] in re.findall(r"`numerai-ray ([\w-]+)", report), "what to do next is said alike"
    again = ["--out", "again.pkl", "--in-process", "--python", PYTHONS[0], "--json"]
    assert run(["export", "experiments/quickstart", *again]) == 0
    check("export", json.loads(capfd.readouterr().out))
    frame = pd.read_csv(desk / "live_predictions.csv")
    assert list(frame.columns) == ["id", "prediction"]


@needs_python
@pytest.mark.slow
def test_predict_an_experiment_and_submit(desk: Path, account: Account, capfd: pytest.CaptureFixture[str]) -> None:
    exp = "experiments/quickstart"
    own = ["--in-process", "--python", PYTHONS[0], "--data-dir", "data", "--json"]
    arguments = ["predict", exp, "--out", "live.parquet", "--submit", "ray_one", "--yes", *own]
    assert run(arguments) == 0, capfd.readouterr().err
    answer = json.loads(capfd.readouterr().out)
    check("predict", answer)
    assert answer["submission"] == "submission-1"
    (name,) = account.server.received
    assert name.endswith("live.parquet")
    assert answer["rows"] == len(pd.read_parquet("live.parquet"))
    made = next(Path(exp, "submission").glob("*.pkl"))
    before = made.stat().st_mtime_ns
    assert run(arguments) == 0
    assert made.stat().st_mtime_ns == before, "the pickle of an unchanged winner is used again"


@needs_python
@pytest.mark.slow
def test_diagnose(desk: Path, account: Account, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["diagnose", "experiments/quickstart", "--model", "ray_two", "--data-dir", "data", "--yes"]
    assert run([*arguments, "--json"]) == 0, capfd.readouterr().err
    answer = json.loads(capfd.readouterr().out)
    check("diagnose", answer)
    rows = {row["metric"]: row for row in answer["metrics"]}
    assert rows["corr mean"]["numerai"] == 0.0123
    assert abs(rows["corr mean"]["ours"]) < 1
    (content,) = account.server.received.values()
    sent = pd.read_csv(pd.io.common.BytesIO(content))
    assert list(sent.columns) == ["id", "prediction"]
    validation = pd.read_parquet(desk / "data" / "quickstart" / "validation.parquet", columns=["data_type"])
    assert set(sent["id"]) <= set(validation.index[validation["data_type"] == "validation"])
    assert run(arguments) == 0
    out = capfd.readouterr().out
    assert "Numerai" in out
    assert "0.01230" in out
    account.diagnostics = {"status": "failed", "message": "not enough eras"}
    assert run(arguments) == 2
    assert "not enough eras" in capfd.readouterr().err


WRONG: dict[str, tuple[str, tuple[str, ...]]] = {
    "export without a file": ("export {exp}", ("Missing option '--out'",)),
    "export to another kind of file": (
        "export {exp} --out model.joblib",
        ("--out", "must end with .pkl", "model.joblib"),
    ),
    "export of no experiment": ("export nowhere --out m.pkl", ("nowhere", "no experiment.yaml")),
    "export before it ran": ("export {new} --out m.pkl", ("no round is decided yet", "numerai-ray run")),
    "export for another Python": ("export {new} --out m.pkl --python 2.7", ("--python", "no container", "'2.7'")),
    "verify of nothing": ("verify nowhere.pkl", ("nowhere.pkl", "no such file", "numerai-ray export")),
    "verify on no live data": ("verify {file} --live nowhere.parquet", ("--live", "nowhere.parquet", "no such file")),
    "benchmarks alone": ("verify {file} --benchmarks {file}", ("--benchmarks goes with --live",)),
    "predictions as text": ("predict {file} --out live.txt", ("--out", ".csv or .parquet", "live.txt")),
    "predict of no experiment": ("predict nowhere --out live.csv", ("nowhere", "no experiment.yaml")),
    "diagnose before it ran": ("diagnose {new} --model x", ("no round is decided yet", "numerai-ray run")),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_requests(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text, words = WRONG[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pkl").write_bytes(b"")
    (tmp_path / "experiments" / "new").mkdir(parents=True)
    shipped = Path(numerai_ray.__file__).parent.parent / "experiments" / "quickstart" / "experiment.yaml"
    (tmp_path / "experiments" / "new" / "experiment.yaml").write_text(shipped.read_text())
    assert run(text.format(exp="experiments/quickstart", new="experiments/new", file="model.pkl").split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    flat: Any = re.sub(r"[\s│╭╮╰╯─]+", " ", err)
    assert "Traceback" not in err
    assert all(word in flat for word in words), flat
    assert not (tmp_path / "m.pkl").exists()
