"""``check-model`` passes what keeps the contract, and says which promise anything else breaks."""

import json

import pytest
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run

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

NANS = GOOD.replace("self.w).sum(axis=1)", "self.w).sum(axis=1) * np.nan")
TELLS_OF_ONE = GOOD + "  def importance(self): return [1.0]\n"


@pytest.mark.parametrize(
    ("body", "broken"),
    [
        (GOOD, None),
        (IGNORES_SEED, "follows its seed"),
        (THREADS, "does not depend on threads"),
        (RANDOM, "is the same when trained again"),
        (MUTATES, "trains and predicts"),
        (NANS, "trains and predicts: 1400 of 1400 predictions are NaN"),
        (TELLS_OF_ONE, "own: 1 numbers for 12 features"),
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_built_in_models_pass(name) -> None:
    assert run(["check-model", name, "--params", "{n_estimators: 10, colsample_bytree: 0.5}"]) == 0


@pytest.mark.slow
def test_a_model_that_learns_nothing_here_passes_and_is_told(capsys) -> None:
    assert run(["check-model", "lightgbm", "--params", "{n_estimators: 3, min_data_in_leaf: 10000}"]) == 0
    out = capsys.readouterr().out
    assert "1400 predictions, all the same: these params learn nothing from 6,000 rows" in out
    assert "these params draw nothing, and `seeds` would train it again" in out


def test_what_cannot_be_trained_is_not_called_a_broken_promise(capsys) -> None:
    assert run(["check-model", "lightgbm", "--params", "{num_leafs: 3, learning_rate: -1.0}"]) == 2
    found = capsys.readouterr()
    assert (
        "did you mean 'num_leaves'? @ $.model.params.num_leafs; LightGBM says: learning_rate must be > 0" in found.out
    )
    assert "lightgbm: cannot be trained: parameters; nothing else was tried" in found.err


def test_json_holds_every_promise(tmp_path, monkeypatch, capsys) -> None:
    (tmp_path / "mine.py").write_text(HEAD + THREADS)
    monkeypatch.chdir(tmp_path)
    assert run(["check-model", "mine.py:Mine", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    Draft202012Validator(schema_of("check-model")).validate(found)
    assert (found["model"], found["params"], found["kept"]) == ("mine.py:Mine", {}, False)
    assert len(found["promises"]) >= 7
    assert [each["name"] for each in found["promises"] if not each["kept"]] == ["does not depend on threads"]
