"""What is offered where a model of the user's own is all that is too much: the best part without such models."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ensemble_markets import noise_statistics

from numerai_ray.config import Config, validate
from numerai_ray.ensembles.blends import Blend
from numerai_ray.ensembles.outcome import library_parts_json, parts_json
from numerai_ray.experiment.paths import EnsemblePaths
from numerai_ray.session.exporting import choose_ensemble
from numerai_ray.submission.export import exporting

LIBRARY = validate(Config, {"data": {"target": "target_ender_20"}, "model": {"type": "lightgbm"}}, "a")
OWN = validate(Config, {"data": {"target": "target_ender_20"}, "model": {"type": "heavy.py:Heavy"}}, "b")


def found(*configs: Config) -> Any:
    """A search whose ensemble has these members, all alike."""
    stats = noise_statistics(60, len(configs), 1)
    members = tuple(range(len(configs)))
    blend = Blend(members, (1 / len(configs),) * len(configs))
    candidates = [SimpleNamespace(name=f"m{k}", foreign=False, config=each) for k, each in enumerate(configs)]
    delivered = SimpleNamespace(blend=blend, block=SimpleNamespace(chosen=slice(0, 50)))
    return SimpleNamespace(
        stats=stats,
        gathered=SimpleNamespace(candidates=candidates),
        evaluation=SimpleNamespace(delivered=delivered),
    )


def test_parts_without_own_models_are_listed_where_there_are_some() -> None:
    mixed = found(LIBRARY, OWN, LIBRARY, LIBRARY)
    assert [len(each["members"]) for each in parts_json(mixed)] == [3, 2, 1]
    library = library_parts_json(mixed)
    assert [set(each["members"]) <= {"m0", "m2", "m3"} for each in library] == [True] * 3
    assert [len(each["members"]) for each in library] == [3, 2, 1]
    assert library_parts_json(found(LIBRARY, LIBRARY)) == []
    assert library_parts_json(found(OWN, OWN)) == []


@pytest.mark.parametrize(
    ("runs", "offered", "trials"),
    [
        # The own model is in all nested parts but the least, and those without it fit.
        ({"best-1", "library-3", "library-2"}, "library-3", ["best-2", "best-1", "library-3"]),
        # A nested part that fits and is better than all without own models ends the search.
        ({"best-3", "best-2", "best-1", "library-3"}, "best-3", ["best-2", "best-3"]),
        ({"library-2"}, "library-2", ["best-2", "best-1", "library-3", "library-2"]),
        (set(), "", ["best-2", "best-1", "library-3", "library-2"]),
    ],
)
def test_the_best_part_that_runs_is_offered(
    runs: set[str], offered: str, trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {"best-3": 5.0, "best-2": 3.0, "best-1": 1.0, "library-3": 4.0, "library-2": 2.0}
    parts = {name: name for name in scores}
    choice = SimpleNamespace(
        parts={name: name for name in parts if name.startswith("best")},
        lighter={name: name for name in parts if name.startswith("library")},
        part_scores=scores,
    )
    order: Any = SimpleNamespace(choice=choice, store=SimpleNamespace(root=None), out=SimpleNamespace(name="a.pkl"))
    tried: list[str] = []

    def trial(_: Any, assembly: Any, *__: Any) -> Any:
        tried.append(assembly.name)
        return SimpleNamespace(ok=assembly.name in runs)

    monkeypatch.setattr(exporting, "plan_refit", lambda config, *_: SimpleNamespace(name=config, jobs=[]))
    monkeypatch.setattr(exporting, "refits_of", lambda *_: [])
    monkeypatch.setattr(exporting, "ModelStore", lambda *_: None)
    monkeypatch.setattr(exporting, "verification_lines", lambda _: [])
    monkeypatch.setattr(exporting, "_tried", trial)
    nothing: Any = None
    told = exporting._what_fits(order, nothing, nothing, nothing, lambda _: None)
    assert tried == trials
    assert (f"export again with --variant {offered}" in told) if offered else ("Nor can it run fewer" in told)


def test_an_ensemble_is_read_with_both_kinds_of_parts_and_their_scores(tmp_path: Path) -> None:
    paths = EnsemblePaths(tmp_path / "mixed")
    paths.own_results.parent.mkdir(parents=True)
    members: dict[str, Any] = {"a": {}, "b": {"model": {"type": "heavy.py:Heavy"}}, "c": {"data": {"target": "other"}}}
    weights = dict.fromkeys(members, 0.25) | {"c": 0.5}
    base = {"data": {"target": "target_ender_20"}, "model": {"type": "lightgbm"}}
    paths.recipe.write_text(yaml.safe_dump({**base, "ensemble": {"members": members, "weights": weights}}))
    listed = {
        "parts": [{"members": ["a", "b"], "bmc_where_chosen": 0.03}, {"members": ["b"], "bmc_where_chosen": 0.02}],
        "library_parts": [
            {"members": ["a", "c"], "bmc_where_chosen": 0.01},
            {"members": ["c"], "bmc_where_chosen": 0.04},
        ],
    }
    per_era = {"era": ["0001", "0002"], "corr": [0.1, 0.2], "bmc": [0.1, 0.2], "corr_with_benchmark": [0.1, 0.2]}
    value = {"fingerprint": "", "per_era": per_era, "ensemble": {"members": [], "blocks": [], **listed}}
    paths.own_results.write_text(json.dumps(value))
    whole = choose_ensemble(paths.root, None)
    assert list(whole.parts) == ["best-2", "best-1"]
    assert list(whole.lighter) == ["library-1", "library-2"], "the best first"
    assert whole.part_scores == {"best-2": 0.03, "best-1": 0.02, "library-2": 0.01, "library-1": 0.04}
    part = choose_ensemble(paths.root, "library-2")
    assert set(part.config.members()) == {"a", "c"}
    assert (list(part.parts), list(part.lighter)) == (["best-1"], ["library-1"])
    # As the version before wrote it.
    del listed["library_parts"]
    paths.own_results.write_text(json.dumps({**value, "ensemble": {"members": [], "blocks": [], **listed}}))
    assert not choose_ensemble(paths.root, None).lighter
