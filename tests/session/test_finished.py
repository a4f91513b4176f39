"""When an experiment is finished: one answer, whoever is asked."""

from dataclasses import replace
from pathlib import Path

import pytest
from builders import PLAN, History, finished_experiment, loaded_plan

from numerai_ray.cli.commands.read import status_json
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.ledger import append_ledger
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.report.reading import Reading
from numerai_ray.session.experiment import Experiment
from numerai_ray.submission.export.choice import choose


def ledger(root: Path, holdout: int | None, records: list[RoundRecord]) -> History:
    """An experiment whose ledger has these records, as a run with so many kept eras writes them."""
    loaded = loaded_plan(root, {**PLAN, **({} if holdout is None else {"holdout_eras": holdout})})
    history = finished_experiment(root)
    history.paths.ledger.unlink()
    history.records = [replace(each, origin={**each.origin, "holdout_eras": str(holdout)}) for each in records]
    for each in history.records:
        append_ledger(history.paths.ledger, each)
    return replace(history, loaded=loaded)


@pytest.mark.parametrize(
    ("holdout", "stages", "finished"),
    [
        (None, ["scout", "confirm"], False),
        (None, ["scout", "confirm", "final"], True),
        (None, ["scout", "confirm", "final", "scout"], False),
        (52, ["scout", "confirm", "final"], False),
        (52, ["scout", "confirm", "final", "holdout"], True),
    ],
)
def test_a_pending_holdout_is_not_finished_for_anybody(
    holdout: int | None, stages: list[str], finished: bool, tmp_path: Path
) -> None:
    made = finished_experiment(tmp_path / "made").records
    by_stage = {each.stage: each for each in made}
    by_stage["holdout"] = replace(by_stage["confirm"], stage="holdout")
    records = [replace(by_stage[stage], number=number) for number, stage in enumerate(stages, start=1)]
    history = ledger(tmp_path / "demo", holdout, records)
    told = status_json(history.paths, history.paths.root)
    answers = {
        is_finished(history.records),
        Experiment.load(history.paths.root).finished,
        told["finished"],
        told["state"] == "finished",
        Reading(history.loaded, history.paths, tuple(history.records)).finished,
    }
    assert answers == {finished}
    assert is_finished([]) is False


def test_the_winner_can_be_exported_once_its_holdout_is_scored(tmp_path: Path) -> None:
    made = finished_experiment(tmp_path / "made").records
    final = next(each for each in made if each.stage == "final")
    after = replace(next(each for each in made if each.stage == "confirm"), stage="holdout", number=len(made) + 1)
    history = ledger(tmp_path / "demo", 52, [*made, after])
    winner = final.find("base")
    assert winner is not None
    path = history.paths.config(winner.id)
    path.parent.mkdir(exist_ok=True)
    path.write_text("{}")
    assert choose(history.paths, "demo", None).record.id == winner.id
