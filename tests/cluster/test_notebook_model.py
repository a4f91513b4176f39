"""A model of a notebook's cell: rounds on two nodes, then a pickle that is proved in the container of Python 3.12.

The notebook runs in a kernel of its own. What the class imports where it trains (Ray, to say on which node that is)
the container does not have.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from submission_desk import PYTHONS

ray_cluster = pytest.importorskip("ray.cluster_utils")
pytestmark = [pytest.mark.ray, pytest.mark.cluster, pytest.mark.long]
ROOT = Path(__file__).resolve().parents[2]

CELLS = (
    """
import json
import os
import time
from pathlib import Path

import numpy as np

from numerai_ray import Dimension, Experiment, Model, check_model

MIDDLE = 2.0
TOLD = os.environ["TOLD"]


def centred(frame):
    return frame.to_numpy(np.float64) - MIDDLE
""",
    """
class CellRidge:
    \"\"\"Linear in the features; says where it was trained.\"\"\"

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def fit(self, X, y):
        import ray

        values = centred(X)
        square = values.T @ values + self.alpha * np.eye(values.shape[1])
        self.weights = np.linalg.solve(square, values.T @ (y.to_numpy(np.float64) - 0.5))
        if ray.is_initialized():
            time.sleep(0.5)
            node = ray.get_runtime_context().get_node_id()
            (Path(TOLD) / f"{os.getpid()}-{time.time_ns()}.json").write_text(json.dumps(node))
        return self

    def predict(self, X):
        return (centred(X) * self.weights).sum(axis=1)  # equal rows are equal in every build of BLAS


promises = check_model(CellRidge, alpha=2.0)
assert promises["kept"].all(), promises.to_string()
""",
    """
experiment = Experiment.create(
    "experiments/cell-ridge",
    idea="A linear model leans on other features than trees do, so its BMC is its own.",
    novelty="Nobody has mapped the penalty on this market.",
    baseline="quickstart_lgbm_ender20",
    data_version="tiny",
    base={"model": Model(CellRidge, alpha=100.0), "cv": {"n_splits": 4}},
    dimensions=[Dimension("model.params.alpha", [1.0, 1000.0]), Dimension("data.target", ["target_ender_60"])],
    rounds={"patience": 1},
    stages={"confirm": {"feature_set": "medium"}, "final": {"data": "full", "feature_set": "medium"}},
)
experiment.run(address=os.environ["ADDRESS"], accept_suspect=True)
assert experiment.finished
assert not experiment.table()["status"].str.contains("failed").any(), experiment.table()["status"].tolist()
""",
    """
found = experiment.export("cell-ridge.pkl", python="3.12", address=os.environ["ADDRESS"])
print("verified:", found.ok, found.python, found.agreement.equal)
experiment.rounds[1]
""",
)


@pytest.fixture
def two_nodes() -> Iterator[str]:
    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 150_000_000}
    made = ray_cluster.Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    made.add_node(**node)
    yield str(made.address)
    made.shutdown()


@pytest.mark.skipif("3.12" not in PYTHONS, reason="no Python 3.12 on this machine")
def test_from_a_cell_over_two_nodes_into_the_container(
    two_nodes: str, market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "told"
    told.mkdir()
    for name, value in {
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "NUMERAI_RAY_DATA": str(tmp_path / "data"),
        "ADDRESS": two_nodes,
        "TOLD": str(told),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny").symlink_to(market / "tiny")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in CELLS])
    NotebookClient(
        notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [each for cell in notebook.cells for each in cell.outputs]
    said = "".join(each.get("text", "") for each in outputs)
    assert "verified: True 3.12 True" in said, said
    assert "trying it as Numerai will: offline, on one core" in said
    assert any("round 2" in each.get("data", {}).get("text/html", "") for each in outputs)
    nodes = [json.loads(path.read_text()) for path in told.iterdir()]
    assert len(set(nodes)) == 2
    folder = tmp_path / "experiments" / "cell-ridge"
    ledger = [json.loads(line) for line in (folder / "results" / "rounds.jsonl").read_text().splitlines()]
    own = [each for record in ledger for each in record["variants"] if each["role"] in ("base", "variant")]
    assert [each["error"] for each in own] == [None] * len(own)
    fits = {each["id"]: each["fits_new"] for each in own}
    assert sum(fits.values()) + 1 == len(nodes), "every fit, and the refit, says where it ran"
    assert (folder / "models" / "CellRidge.py").read_text().count("MIDDLE = 2.0") == 1
    assert (tmp_path / "cell-ridge.pkl").is_file()
