"""History says what the answer and the leaderboard say: nothing is judged twice."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from bad_requests import Desk
from builders import History, Market, experiment
from jsonschema import Draft202012Validator

from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.experiment.answer import answer_of
from numerai_ray.experiment.standing import Standing
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.session.history import OUTCOME_OF, Wanted, history_of, past_experiment


class Dear(Market):
    """Variants of more BMC have less CORR."""

    def scores(self, bmc: float, trial: str) -> EraScores:
        made = super().scores(bmc, trial)
        return EraScores(made.corr - 12 * (bmc - 0.0037), made.bmc, made.benchmark_corr)


def ended(root: Path, best: float, market: Market) -> History:
    history = experiment(root, {"baseline": "any"}, market)
    history.scout("num_leaves", {7: 0.0029, 63: best})
    history.confirm(best, 0.0037)
    history.final(best, 0.0037)
    return history


# What is found -> the level of the best variant, the market, the answer's kind, the outcome.
ENDS = {
    "no variant is better": (0.0030, Market(noise=0.0005), "no change", "no gain"),
    "a gain": (0.0047, Market(noise=0.0005), "gain", "gain"),
    "a gain that may be luck": (0.0047, Market(noise=0.02), "not settled", "inside the noise"),
    "a gain that costs CORR": (0.0047, Dear(noise=0.0005), "trade-off", "gain"),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_outcome_is_the_answer_s(end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best, market, kind, outcome = ENDS[end]
    folder = tmp_path / "experiments" / "demo"
    made = ended(folder, best, market)
    baselines = tmp_path / "experiments" / "baselines"
    baselines.mkdir()
    (folder.parent / "baseline.yaml").rename(baselines / "any.yaml")
    monkeypatch.chdir(tmp_path)
    found = past_experiment(Path("experiments/demo"))
    answer = answer_of(Standing(made.loaded, made.paths, tuple(made.records)))
    assert (found.kind, found.outcome) == (answer.kind, outcome) == (kind, outcome)
    assert found.answer == answer.verdict
    assert found.against == answer.against
    assert found.gain == (None if math.isnan(answer.gain) else answer.gain)
    assert [each.experiment for each in history_of(Path("experiments"), Wanted(outcome=found.outcome))] == [
        "experiments/demo"
    ]


def test_every_kind_of_answer_has_an_outcome() -> None:
    kinds = set(schema_of("answer")["$defs"]["answer"]["properties"]["kind"]["enum"])
    assert kinds == set(OUTCOME_OF)


def told(capsys: Any, *words: str) -> Any:
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_history_status_and_leaderboard_say_the_same(finished: Desk, capsys: Any) -> None:
    value = told(capsys, "history", str(finished.exp.parent))
    Draft202012Validator(schema_of("history")).validate(value)
    (row,) = [each for each in value["experiments"] if each["experiment"] == str(finished.exp)]
    answer = told(capsys, "status", str(finished.exp))["answer"]
    assert {key: row[key] for key in ("kind", "gain", "against")} == {
        key: answer[key] for key in ("kind", "gain", "against")
    }
    assert row["answer"] == answer["verdict"]
    rows = {(each["stage"], each["id"]): each for each in told(capsys, "leaderboard", str(finished.exp))["rows"]}
    assert row["tried"]
    for each in row["tried"]:
        assert each["verdict_overall"] == rows[each["stage"], each["best"]]["verdict_overall"]


def test_an_experiment_whose_baseline_is_gone_still_says_what_its_ledger_tells(tmp_path: Path) -> None:
    folder = tmp_path / "experiments" / "demo"
    ended(folder, 0.0047, Market(noise=0.0005))
    found = past_experiment(folder)
    assert "no baseline named 'any'" in (found.problem or "")
    assert (found.state, found.rounds, found.outcome) == ("finished", 3, "open")
    assert found.changes == {"model.params.num_leaves": 63}
