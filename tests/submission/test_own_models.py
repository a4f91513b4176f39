"""Models of one's own in the container: their source travels with what they learned, and is proved there."""

from pathlib import Path

import pytest
from bad_requests import Desk
from submission_desk import exported, needs_python

from numerai_ray.errors import RequestError

FRAMES = '''"""A linear model over frames."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Weights:
    values: object


class Linear:
    def __init__(self, alpha=10.0):
        self.alpha = alpha

    def fit(self, X, y):
        values = X.to_numpy(np.float64) - 2
        square = values.T @ values + self.alpha * np.eye(values.shape[1])
        self.learned = Weights(np.linalg.solve(square, values.T @ (y.to_numpy() - 0.5)))
        return self

    def predict(self, X):
        assert X.index.name == "era" and X.columns[0].startswith("feature")
        return (X.to_numpy(np.float64) - 2) @ self.learned.values
'''
ROWS = """
class First:
    def fit(self, rows):
        return self

    def predict(self, rows):
        return rows.features[:, 0] + rows.features[:, 1] / 7 + 0.01 * rows.threads
"""


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize(("source", "name"), [(FRAMES, "Linear"), (ROWS, "First")])
def test_a_file_that_needs_only_what_the_container_has_is_exported(
    finished: Desk, tmp_path: Path, source: str, name: str
) -> None:
    (finished.exp / f"{name}.py").write_text(source)
    found = exported(finished, tmp_path / "own.pkl", model={"type": f"{name}.py:{name}"})
    assert found.ok
    assert found.agreement is not None
    assert found.agreement.rows > 50


def test_a_file_that_imports_what_the_container_lacks_is_refused_at_once(finished: Desk, tmp_path: Path) -> None:
    (finished.exp / "lacking.py").write_text("import numerai_ray\n" + ROWS)
    with pytest.raises(RequestError, match=r"lacking.py:First: imports numerai_ray, which Numerai's container"):
        exported(finished, tmp_path / "own.pkl", model={"type": "lacking.py:First"})
    assert not (tmp_path / "own.pkl").exists()
