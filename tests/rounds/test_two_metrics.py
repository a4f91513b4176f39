"""Two metrics searched at once: the front, who may win from it, the study that holds it; and one over all rounds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import yaml
from dashboard import asked
from desk import PLAN, Desk
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from policy_records import variant

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.config.plan_schema import RoundsPlan
from numerai_ray.config.search_space import Dimension
from numerai_ray.config.validation import validate
from numerai_ray.errors import ConfigError
from numerai_ray.experiment.decision import PolicySettings, decide
from numerai_ray.experiment.front import dominates, front_sentence, undominated
from numerai_ray.experiment.records import VariantRecord
from numerai_ray.rounds.optuna_history import widened
from numerai_ray.rounds.optuna_sampler import OptunaSampler
from numerai_ray.rounds.optuna_studies import open_journal
from numerai_ray.rounds.samplers import JointAsk

NAMES = ("bmc", "corr")
SETTINGS = PolicySettings(margin=1e-4, patience=2, max_rounds=9, metrics=NAMES)
LEAVES = {"path": "model.params.num_leaves", "range": {"low": 2, "high": 40, "scale": "log", "integer": True}}
RATE = {"path": "model.params.learning_rate", "range": {"low": 0.02, "high": 0.3, "scale": "log"}}
ROWS = {"path": "model.params.min_data_in_leaf", "values": [5, 20, 80]}


def scored(name: str, bmc: float, corr: float, last: float | None = None) -> VariantRecord:
    return variant(name, bmc if last is None else last, bmc=bmc, corr=corr)


@pytest.mark.parametrize(
    ("rounds", "words"),
    [
        ({"metrics": ["bmc", "corr"]}, "joint: true"),
        ({"metrics": ["bmc", "corr"], "proposer": "optuna"}, "joint: true"),
        ({"metrics": ["bmc", "bmc"], "proposer": "optuna", "joint": True}, "two different"),
        ({"metrics": ["bmc", "corr"], "proposer": "optuna", "joint": True, "prune": True}, "prune"),
        ({"metrics": ["bmc"], "proposer": "optuna", "joint": True}, "at least 2"),
        ({"metrics": ["bmc", "luck"], "proposer": "optuna", "joint": True}, "corr"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_the_plan(rounds: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        validate(RoundsPlan, rounds, "plan")


def test_the_front_is_what_none_beats_in_both() -> None:
    assert dominates((2, 1), (1, 1))
    assert not dominates((1, 1), (1, 1))
    assert not dominates((2, 0), (1, 1))
    assert not dominates((np.nan, 5), (1, 1))
    rng = np.random.default_rng(3)
    made = [scored(f"v{at}", *pair) for at, pair in enumerate(rng.integers(0, 6, (40, 2)) / 1e3)]
    made.append(replace(made[0], id="failed", metrics=None))
    values = {each.id: (each.metrics.bmc.mean, each.metrics.corr.mean) for each in made if each.metrics}
    wanted = {
        name
        for name, (bmc, corr) in values.items()
        if not any(b >= bmc and c >= corr and (b, c) != (bmc, corr) for b, c in values.values())
    }
    assert {each.id for each in undominated(made, NAMES)} == wanted


def test_only_the_front_may_win_and_the_reason_counts_the_beaten() -> None:
    base = scored("base", 0.0030, 0.020)
    # The most by the last eras is beaten in both over all of them.
    tempting, honest = scored("tempting", 0.0031, 0.021, last=0.0060), scored("honest", 0.0040, 0.022, last=0.0045)
    decision = decide(base, [tempting, honest], {}, SETTINGS)
    assert (decision.winner, decision.promoted) == (honest.id, True)
    assert "1 beaten in both bmc and corr" in decision.reason
    assert decide(base, [tempting, honest], {}, replace(SETTINGS, metrics=())).winner == tempting.id
    beaten = decide(base, [scored("worse", 0.0020, 0.010, last=0.0090)], {}, SETTINGS)
    assert (beaten.winner, beaten.promoted) == (base.id, False)
    assert SETTINGS.rule == "margin on the front of bmc and corr"


def test_optuna_finds_both_ends_of_a_known_front() -> None:
    """The one metric wants x high, the other low, and both want y in the middle: the front is x, all of it."""
    dimensions = {name: Dimension(path=f"model.params.{name}", range={"low": 0.0, "high": 1.0}) for name in "xy"}
    seen: list[tuple[dict[str, float], float]] = []
    second: list[float] = []
    sampler = OptunaSampler(1)
    for turn in range(10):
        tried = [values for values, _ in seen]
        ask = JointAsk(dimensions, 4, lambda values, t=tried: values in t, seen, turn, second)
        found = sampler.propose_joint(ask)
        assert found == OptunaSampler(1).propose_joint(ask), "the same after a restart"
        for values in found:
            off = (values["y"] - 0.5) ** 2
            seen.append((dict(values), values["x"] - off))
            second.append(1 - values["x"] - off)
    late = [values for values, _ in seen[20:]]
    assert np.mean([abs(values["y"] - 0.5) for values in late]) < 0.17, "0.25 by chance"
    assert max(values["x"] for values in late) - min(values["x"] for values in late) > 0.5, "not one end alone"


@pytest.mark.parametrize(
    ("dimension", "seen", "wanted"),
    [
        (LEAVES, [3, 63], IntDistribution(2, 63, log=True)),
        (RATE, [0.5, None], FloatDistribution(0.02, 0.5, log=True)),
        (LEAVES, [0], None),
        (LEAVES, ["gbdt"], None),
        ({"path": "data.target", "values": ["a", "b"]}, ["b", "c"], CategoricalDistribution(["a", "b", "c"])),
    ],
)
def test_distributions_are_as_wide_as_what_ran(dimension: dict[str, Any], seen: list[Any], wanted: Any) -> None:
    assert widened(Dimension.model_validate(dimension), seen) == wanted


def test_the_front_in_a_sentence() -> None:
    assert front_sentence([]) == "0 variants are beaten by no other in both metrics that are searched: "


@pytest.mark.slow
def test_a_whole_experiment_with_two_metrics(tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path, market)
    rounds = {"proposer": "optuna", "joint": True, "metrics": list(NAMES), "variants": 3, "patience": 9}
    space = {"dimensions": {"num_leaves": LEAVES, "learning_rate": RATE, "min_data": ROWS}}
    plan = {**PLAN, "search_space": space, "rounds": rounds, "budget": {"rounds": 3}}
    (desk.folder / "experiment.yaml").write_text(yaml.safe_dump(plan))
    assert desk.run() == 0
    assert "beaten by no other in both metrics" in capsys.readouterr().out
    scouts = [each for each in desk.rounds() if each["stage"] == "scout"]
    assert {each["decision"]["rule"] for each in scouts} == {"margin on the front of bmc and corr/2"}
    assert {each["decision"]["rule"] for each in desk.rounds()[3:]} == {"margin/2"}

    means = {
        v["id"]: [v["metrics"][name]["mean"] for name in NAMES]
        for record in scouts
        for v in record["variants"]
        if v["role"] in ("base", "variant")
    }
    wanted = [
        name
        for name, own in means.items()
        if not any(all(np.greater_equal(other, own)) and other != own for other in means.values())
    ]
    assert run(["status", str(desk.folder), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    front = status["answer"]["front"]
    assert sorted(each["id"] for each in front) == sorted(wanted)
    assert all(each["values"] == means[each["id"]] for each in front)
    pytest.importorskip("jsonschema").validate(status, schema_of("status"))
    assert all(f"| {each['id']} |" in (desk.folder / "experiment.md").read_text() for each in front)

    storage = open_journal(desk.folder / "optuna.journal")
    study = optuna.load_study(study_name="small/all rounds", storage=storage)
    assert [trial.user_attrs["variant"] for trial in study.trials] == list(means), "all of them, in their order"
    assert {trial.user_attrs["variant"] for trial in study.best_trials} == set(wanted), "Optuna's own front"
    assert all(set(trial.params) == set(space["dimensions"]) for trial in study.trials)
    starts = [trial.datetime_start for trial in study.trials]
    assert starts == sorted(starts)

    ((_, overview),) = asked(desk.folder, tmp_path / "cache", "/api/overview?exp=small")
    joint = overview["joint"]
    assert [axis["name"] for axis in joint["axes"]] == sorted(space["dimensions"]), "as YAML wrote them"
    assert {line["id"]: line["scores"] for line in joint["lines"]} == means
