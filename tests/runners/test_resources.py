"""What a fit asks of a node: from config, class or device; never in a key; placed by Ray, refused with numbers."""

from pathlib import Path

import pytest
from builders import loaded_plan
from contracts import config, ignore
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.config import Config, ModelConfig, validate
from numerai_ray.errors import ConfigError, ResourceShortage
from numerai_ray.models import ModelSource, model_for, model_problems, needs_of, settled
from numerai_ray.rounds.candidates import Search
from numerai_ray.rounds.policy import ScoutRound
from numerai_ray.rounds.samplers import ListedSampler
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.runners.ray.shared_data import fit_bytes, workload
from numerai_ray.system.cluster import Node, shape_fits
from numerai_ray.system.resources import GB, Machine, Needs, Workload, heaviest, lightest, plan_resources
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

PLENTY = 10**15
MINE = "class Mine:\n  resources = {said}\n  def fit(self, rows): return self\n  def predict(self, rows): return 0\n"


def source(said: str) -> ModelSource:
    return ModelSource("mine.py", MINE.format(said=said))


def mine(said: str, **resources) -> Needs:
    model = ModelConfig(type="mine.py:Mine", **({"resources": resources} if resources else {}))
    return needs_of(model_for("mine.py:Mine", source(said)), model)


def test_the_config_goes_before_the_class() -> None:
    assert mine("None") == Needs()
    assert mine("dict(gpus=0.5, cores=2, memory_gb=4)") == Needs(2, 0.5, 4 * GB)
    assert mine("dict(gpus=0.5, cores=2)", gpus=1.0, memory_gb=0.5) == Needs(2, 1.0, GB // 2)
    assert mine("dict(gpus=0.5)", gpus=0.0) == Needs()


@pytest.mark.parametrize(
    ("name", "params", "gpus"),
    [
        ("lightgbm", {}, 0),
        ("lightgbm", {"device": "cpu"}, 0),
        ("lightgbm", {"device_type": "gpu"}, 1),
        ("lightgbm", {"device": "CUDA"}, 1),
        ("xgboost", {"device": "cuda:0"}, 1),
        ("xgboost", {"device": None}, 0),
        ("catboost", {"task_type": "GPU"}, 1),
        ("sklearn", {"device": "cuda"}, 0),
    ],
)
def test_a_device_asks_for_a_gpu(name, params, gpus) -> None:
    assert needs_of(model_for(name), ModelConfig(type=name, params=params)).gpus == gpus
    half = ModelConfig.model_validate({"type": name, "params": params, "resources": {"gpus": 0.5}})
    assert needs_of(model_for(name), half).gpus == 0.5


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("dict(gpu=1)", "mine.py:Mine, resources.gpu: unknown key; did you mean 'gpus'?"),
        ("dict(gpus=1.5)", "a fraction of one or a whole number"),
        ("dict(cores=0)", "greater than or equal to 1"),
        ("7", "must be a mapping"),
    ],
)
def test_what_a_class_says_wrongly_is_told(said, words) -> None:
    (problem,) = model_problems(ModelConfig(type="mine.py:Mine"), source(said))
    assert problem.path == "$.model.type"
    assert words in problem.message


def test_what_a_config_says_wrongly_is_told() -> None:
    with pytest.raises(ConfigError) as refusal:
        validate(Config, {"model": {"resources": {"gpus": 2.5, "memory": 3}}}, "x")
    assert {problem.path for problem in refusal.value.problems} == {"$.model.resources.memory"}
    with pytest.raises(ConfigError, match=r"a fraction of one or a whole number, but is 2\.5"):
        validate(Config, {"model": {"resources": {"gpus": 2.5}}}, "x")


# --- devices that are not there


@pytest.mark.parametrize(
    ("name", "params", "left"),
    [
        ("lightgbm", {"device_type": "cuda", "num_leaves": 7, "gpu_use_dp": True}, {"num_leaves": 7}),
        ("lightgbm", {"device": "gpu", "num_leaves": 7}, {"num_leaves": 7}),
        ("xgboost", {"device": "cuda", "max_depth": 3}, {"max_depth": 3}),
        ("catboost", {"task_type": "GPU", "depth": 3}, {"depth": 3}),
        ("mlp", {"device": "cuda", "hidden": [4]}, {"hidden": [4]}),
    ],
)
def test_without_a_gpu_the_processor_trains_and_it_is_said(name, params, left) -> None:
    if name == "mlp":
        pytest.importorskip("torch")
    if Machine(1, 1, 1).gpus:
        pytest.skip("this machine has a GPU")
    asked = ModelConfig.model_validate({"type": name, "params": params, "resources": {"gpus": 0.5, "cores": 1}})
    found, note = settled(model_for(name), asked)
    assert found.params == left
    assert needs_of(model_for(name), found) == Needs(1)
    (device,) = set(params) - set(left) - {"gpu_use_dp"}
    assert note.startswith(f"$.model.params.{device}: {params[device]} cannot be had here (")
    assert "so the processor trains" in note
    assert "\n" not in note
    assert model_problems(asked) == []
    assert settled(model_for(name), found) == (found, "")


def test_what_other_machines_have_is_not_known_here() -> None:
    """LightGBM's wheel is built for OpenCL: a device may be where the fits run. It is not built for CUDA."""
    gpu, cuda = (ModelConfig(params={"device_type": device}) for device in ("gpu", "cuda"))
    assert settled(model_for("lightgbm"), gpu, elsewhere=True) == (gpu, "")
    assert settled(model_for("lightgbm"), cuda, elsewhere=True)[0].params == {}


def test_the_key_holds_the_device_and_a_fit_on_the_processor_is_one(market: Path) -> None:
    def keys(params: dict[str, object], *, elsewhere: bool = False) -> list[str]:
        plan = Catalog(market, elsewhere=elsewhere).plan("x", "x", config({"model": {"params": params}}))
        return [spec.key for spec in plan.fits]

    plain = keys({})
    assert keys({"device_type": "gpu"}, elsewhere=True) != plain
    assert keys({"device_type": "gpu"}) == keys({"device_type": "cpu"}) == plain
    plan = Catalog(market).plan("x", "x", config({"model": {"params": {"device_type": "gpu"}}}))
    assert [note for note in plan.notes if "so the processor trains" in note]


# --- resources decide nothing


def test_resources_are_in_no_key_and_no_fingerprint(market: Path, tmp_path: Path) -> None:
    plain, asking = config(), config({"model": {"resources": {"cores": 1, "memory_gb": 0.3}}})
    assert plain.fingerprint() == asking.fingerprint()
    assert plain.to_json() != asking.to_json()
    plans = [Catalog(market).plan("x", "x", each) for each in (plain, asking)]
    assert [spec.key for spec in plans[0].fits] == [spec.key for spec in plans[1].fits]
    runner = InProcessRunner(FitStore(tmp_path), threads=2)
    runner.run(plans[:1], ignore)
    assert all(fold.stored for fold in runner.run(plans[1:], ignore)["x"].folds)


def test_resources_may_change_in_the_middle_of_an_experiment(tmp_path: Path) -> None:
    """The base stays the base, and one that only asks for more than the baseline is the baseline."""
    plain = loaded_plan(tmp_path / "plain")
    asking = loaded_plan(tmp_path / "asking", {"base": {"model": {"resources": {"gpus": 0.5}}}})
    assert asking.config("scout", {}).model.resources is not None
    assert asking.config("scout", {}).fingerprint() == plain.config("scout", {}).fingerprint()
    setup = Search(asking, ListedSampler(), []).setup(ScoutRound("num_leaves", {}))
    assert [each.role for each in setup.candidates] == ["base", *["variant"] * 4]


def test_what_is_asked_for_goes_before_the_estimate(market: Path) -> None:
    plans = [
        Catalog(market).plan("x", "x", config({"model": {"resources": said}} if said else {}))
        for said in ({}, {"memory_gb": 3.0, "cores": 2, "gpus": 0.25})
    ]
    estimate, asked = (fit_bytes(plan.fits[-1]) for plan in plans)
    assert estimate < GB
    assert asked == 3 * GB
    work = workload(plans[1].fits)
    assert (work.fit_bytes, work.needs, work.usual) == (3 * GB, Needs(2, 0.25, 3 * GB), Needs(2, 0.25))
    mixed = workload([*plans[0].fits, *plans[1].fits])
    assert (mixed.fit_bytes, mixed.needs, mixed.usual) == (3 * GB, Needs(2, 0.25, 3 * GB), Needs())


# --- arithmetic


@pytest.mark.parametrize(
    ("machine", "needs", "at_once", "threads"),
    [
        (Machine(8, PLENTY, PLENTY, 1), Needs(gpus=0.5), 2, 4),
        (Machine(8, PLENTY, PLENTY, 2), Needs(gpus=0.4), 4, 2),
        (Machine(8, PLENTY, PLENTY, 3), Needs(gpus=2), 1, 8),
        (Machine(8, PLENTY, PLENTY), Needs(cores=3), 2, 3),
        (Machine(4, PLENTY, PLENTY, 4), Needs(cores=2, gpus=0.1), 2, 2),
    ],
)
def test_fits_are_cut_for_gpus_and_cores(machine, needs, at_once, threads) -> None:
    plan = plan_resources(machine, Workload(100_000, 100, 20, GB, needs=needs, usual=needs))
    assert (plan.fits_at_once, plan.threads_per_fit) == (at_once, threads)


def test_a_few_fits_on_gpus_hold_back_no_others() -> None:
    work = Workload(100_000, 100, 20, GB, needs=Needs(gpus=1), usual=Needs())
    assert plan_resources(Machine(8, PLENTY, PLENTY, 1), work).fits_at_once == 8


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(gpus=0.5), r"one fit needs 0\.5 GPUs, 4 cores and 0 GPUs here; lower model\.resources"),
        (Needs(cores=6), r"one fit needs 6 cores, 4 cores and 0 GPUs here"),
    ],
)
def test_a_shortage_says_by_how_much(needs, words) -> None:
    with pytest.raises(ResourceShortage, match=words):
        plan_resources(Machine(4, PLENTY, PLENTY), Workload(100_000, 100, 20, GB, needs=needs, usual=needs))


def node(cores: int, gpus: int) -> Node:
    return Node(f"n{cores}", f"10.0.0.{cores}", cores, gpus, 64 * GB, 16 * GB)


def test_a_cluster_is_cut_by_its_gpus() -> None:
    half = Needs(gpus=0.5)
    shape = shape_fits([node(16, 0), node(8, 2)], 40, GB, GB, (half, half))
    assert (shape.slots, shape.threads) == (4, 2)
    assert shape_fits([node(3, 1)], 6, GB, GB, (half, half)).slots == 2, "both halves are used"
    with pytest.raises(
        ResourceShortage, match=r"needs 0\.5 GPUs, but no node has as much \(10\.0\.0\.16: 16 cores, 0 G"
    ):
        shape_fits([node(16, 0)], 40, GB, GB, (half, half))
    two = Needs(gpus=2)
    with pytest.raises(ResourceShortage, match="needs 2 GPUs"):
        shape_fits([node(8, 1), node(4, 1)], 40, GB, GB, (two, two))


NEEDS = st.builds(Needs, st.one_of(st.none(), st.integers(1, 9)), st.sampled_from([0, 0.25, 0.5, 1, 2]))


@given(st.lists(NEEDS, min_size=1, max_size=5), st.integers(1, 64), st.integers(0, 8))
def test_the_least_fits_wherever_the_most_does(needs, cores, gpus) -> None:
    most, least = heaviest(needs), lightest(needs)
    assert all(each.at_once(cores, gpus) >= most.at_once(cores, gpus) for each in needs)
    assert least.at_once(cores, gpus) >= max(each.at_once(cores, gpus) for each in needs)
    at_once = most.at_once(cores, gpus)
    assert at_once * (most.cores or 1) <= cores
    assert at_once * most.gpus <= gpus + 1e-9
