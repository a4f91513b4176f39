"""Inference bundles: what was trained with a library that the container lacks predicts there with numpy alone.

Numerai's own agents export so: the training library's weights as numpy arrays, with the order of features, values for
missing ones, means and spreads, the activation's name and the benchmark that is read, and a forward pass over them.
"""

from pathlib import Path

import pytest
from bad_requests import Desk
from submission_desk import exported, live_of, needs_python

from numerai_ray.errors import RequestError
from numerai_ray.submission.container.environment import Environment, Limits, run_inside
from numerai_ray.submission.container.verify import verify
from numerai_ray.submission.export.imports import imported_to_predict

# "Trains" with a library that no container has, and gives a bundle of arrays that reads a benchmark as well.
PERCEPTRON = '''
import numpy as np
from scipy.special import erf

BENCHMARK = "v52_lgbm_ender20"


class Bundle:
    """Arrays and a forward pass; knows nothing of what trained them."""

    def __init__(self, **arrays):
        self.__dict__.update(arrays)

    def predict(self, rows):
        values = np.where(np.isnan(rows.features), self.impute, rows.features)
        values = np.column_stack([values, rows.benchmarks[BENCHMARK]])
        values = (values - self.mean) / self.std
        for weight, bias in self.layers[:-1]:
            values = activated(values @ weight + bias, self.activation)
        weight, bias = self.layers[-1]
        return (values @ weight + bias)[:, 0]


def activated(values, name):
    return {"relu": np.maximum(values, 0), "gelu": values * (1 + erf(values / np.sqrt(2))) / 2}[name]


class Perceptron:
    benchmarks = (BENCHMARK,)

    def __init__(self, activation="gelu", seed=0):
        self.activation, self.seed = activation, seed

    def fit(self, rows):
        from optuna.samplers import RandomSampler

        assert RandomSampler is not None
        rng = np.random.default_rng(self.seed)
        known = np.isfinite(rows.benchmarks[BENCHMARK])
        values = np.column_stack([rows.features, rows.benchmarks[BENCHMARK]])[known].astype(np.float64)
        mean, std = values.mean(axis=0), values.std(axis=0) + 1e-6
        hidden = rng.normal(size=(values.shape[1], 6)) / np.sqrt(values.shape[1])
        seen = activated((values - mean) / std @ hidden, self.activation)
        outer = np.linalg.lstsq(seen, rows.target[known] - 0.5, rcond=None)[0][:, np.newaxis]
        layers = [(hidden, np.zeros(6)), (outer, np.zeros(1))]
        return Bundle(impute=2.0, mean=mean, std=std, layers=layers, activation=self.activation)
'''

# The recipe of the official agents' skill: a bundle, and a function made by exec that closes over it alone.
OFFICIAL = '''
import sys
import cloudpickle, numpy as np, pandas as pd

features = pd.read_parquet(sys.argv[1]).filter(like="feature").columns.tolist()
rng = np.random.default_rng(1)
widths = [(len(features) + 1, 4), (4, 1)]
bundle = dict(
    features=features, benchmark="v52_lgbm_ender20", activation="relu",
    impute=np.full(len(features), 2.0, np.float32),
    mean=np.full(len(features) + 1, 1.5), std=np.full(len(features) + 1, 1.4),
    weights=[rng.normal(size=width) for width in widths], biases=[np.zeros(width[1]) for width in widths],
)
made = {"np": np, "pd": pd, "bundle": bundle}
exec("""
def predict(live_features, live_benchmark_models):
    values = live_features.reindex(columns=bundle["features"]).to_numpy(np.float32)
    values = np.where(np.isnan(values), bundle["impute"], values)
    own = live_benchmark_models.reindex(live_features.index)[bundle["benchmark"]].to_numpy()
    values = (np.column_stack([values, own]) - bundle["mean"]) / bundle["std"]
    values = np.maximum(values @ bundle["weights"][0] + bundle["biases"][0], 0)
    scores = pd.Series((values @ bundle["weights"][1] + bundle["biases"][1])[:, 0], live_features.index)
    ranked = scores.groupby(live_features["era"], sort=False).rank(method="average", pct=True)
    return ranked.to_frame("prediction")
""", made)
open("official.pkl", "wb").write(cloudpickle.dumps(made["predict"]))
'''


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_a_bundle_of_arrays_is_exported_without_what_trained_it(
    finished: Desk, tmp_path: Path, activation: str
) -> None:
    (finished.exp / "perceptron.py").write_text(PERCEPTRON)
    model = {"type": "perceptron.py:Perceptron", "params": {"activation": activation}}
    found = exported(finished, tmp_path / "bundle.pkl", model=model)
    assert found.ok, found.problems
    assert found.agreement is not None
    assert found.agreement.equal
    assert found.agreement.rows > 50
    assert found.live is not None
    assert found.live.one_argument, "it reads a benchmark, so one argument alone is refused"


@needs_python
@pytest.mark.slow
def test_a_bundle_of_the_official_agents_runs_in_the_container(
    finished: Desk, environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "make.py").write_text(OFFICIAL)
    live = live_of(finished)
    made = run_inside(environment, [str(tmp_path / "make.py"), str(live.features)], tmp_path, Limits(60, 2 * 10**9))
    assert made.code == 0, made.output
    found = verify(tmp_path / "official.pkl", environment, live)
    assert found.ok, found.problems
    assert found.live is not None
    assert found.live.arguments == 2


@needs_python
@pytest.mark.slow
def test_a_prediction_that_needs_the_library_is_refused_before_training(finished: Desk, tmp_path: Path) -> None:
    text = PERCEPTRON.replace("from scipy.special import erf", "from scipy.special import erf\nimport optuna")
    (finished.exp / "needs.py").write_text(text)
    with pytest.raises(RequestError, match=r"imports optuna, which Numerai's container.*imported inside fit"):
        exported(finished, tmp_path / "bundle.pkl", model={"type": "needs.py:Perceptron"})


SOURCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "at the top": ("import torch.nn, os\nfrom sklearn.linear_model import Ridge", ("scikit-learn", "torch")),
    "relative": ("from . import helper", (".",)),
    "in fit alone": ("class A:\n def fit(s, r):\n  import torch\n def predict(s, r):\n  import scipy", ("scipy",)),
    "through a helper": (
        "def helped():\n import torch\nclass A:\n def predict(s, r): return s.go(r)\n def go(s, r): return helped()",
        ("torch",),
    ),
    "by making an object": (
        "class Net:\n def __init__(s):\n  import torch\nclass A:\n def predict(s, r): return Net()",
        ("torch",),
    ),
    "when it is loaded": ("class A:\n def __setstate__(s, state):\n  import torch", ("torch",)),
    "when it is made for training": ("class A:\n def __init__(s):\n  import torch\n def predict(s, r): return r", ()),
    "may fail": ("try:\n import torch\nexcept ImportError:\n torch = None", ()),
    "may not fail": ("try:\n import torch\nexcept ValueError:\n torch = None", ("torch",)),
    "where the module calls": ("def setup():\n import torch\nsetup()", ("torch",)),
    "by a decorator": ("def wrap(f):\n import torch\n return f\nclass A:\n @wrap\n def fit(s, r): pass", ("torch",)),
    "in the body of a class": ("class A:\n import torch", ("torch",)),
    "a name that is read only in fit": (
        "def train():\n import torch\nclass A:\n def fit(s, r): train()\n def predict(s, r): return 1",
        (),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_what_predicting_imports(name: str) -> None:
    source, expected = SOURCES[name]
    assert imported_to_predict(source) == expected
