"""``check-model`` passes what keeps the contract, and says which promise anything else breaks."""

import json

import pytest
from jsonschema import Draft202012Validator

from numerai_ray.cli.main import run
from numerai_ray.cli.schema_command import schema_of

HEAD = "import numpy as np\nclass Mine:\n"
GOOD = """
  def __init__(self, alpha: float = 1.0): self.alpha = alpha
  def fit(self, rows):
    x = rows.features - 2
    self.w = np.linalg.solve(x.T @ x + self.alpha * np.eye(x.shape[1]), x.T @ rows.target)
    return self
  def predict(self, rows): return ((rows.features - 2) * self.w).sum(axis=1)
"""
IGNORES_SEED = GOOD.replace("alpha: float = 1.0", "alpha: float = 1.0, seed: int = 0")
THREADS = GOOD.replace("* self.w).sum(axis=1)", "* self.w).sum(axis=1) + rows.threads")
RANDOM = GOOD.replace("return ((", "return np.random.rand(len(rows.features)) + ((")
MUTATES = GOOD.replace("    x = rows", "    rows.target[:] = 0\n    x = rows")
BATCHED = GOOD.replace("* self.w).sum(axis=1)", "* self.w).sum(axis=1) + rows.features.mean()")


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        (GOOD, None),
        (IGNORES_SEED, "follows its seed"),
        (THREADS, "does not depend on threads"),
        (RANDOM, "is the same when trained again"),
        (MUTATES, "trains and predicts"),
        (BATCHED, "predicts a row alike whatever is predicted beside it"),
    ],
)
def test_each_promise_is_tried(body, broken, tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "mine.py").write_text(HEAD + body)
    monkeypatch.chdir(tmp_path)
    code = run(["check-model", "mine.py:Mine", "--params", "{alpha: 2.0}"])
    lines = capsys.readouterr().out.splitlines()
    failed = [line for line in lines if line.startswith("FAIL")]
    assert code == (0 if broken is None else 2)
    assert bool(failed) == (broken is not None)
    assert broken is None or any(broken in line for line in failed)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_built_in_models_pass(name) -> None:
    assert run(["check-model", name, "--params", "{n_estimators: 10, colsample_bytree: 0.5}"]) == 0


def test_json_holds_every_promise(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "mine.py").write_text(HEAD + THREADS)
    monkeypatch.chdir(tmp_path)
    assert run(["check-model", "mine.py:Mine", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("check-model")).validate(found)
    assert (found["model"], found["params"], found["kept"]) == ("mine.py:Mine", {}, False)
    assert len(found["promises"]) >= 7
    assert [each["name"] for each in found["promises"] if not each["kept"]] == ["does not depend on threads"]
