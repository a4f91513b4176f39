"""Looks at predictions in the store: made once, read as they were made, and never another's."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from contracts import config, ignore

from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.diagnostics import Diagnosis
from numerai_ray.training.outcome import VariantOutcome, with_diagnostics
from numerai_ray.training.spec import VariantPlan
from numerai_ray.training.store.diagnostics import DiagnosticsStore, diagnostics_key
from numerai_ray.training.store.fits import FitStore


@pytest.fixture(scope="module")
def outcome(market: Path, tmp_path_factory: pytest.TempPathFactory) -> VariantOutcome:
    runner = InProcessRunner(FitStore(tmp_path_factory.mktemp("store")), 1)
    return runner.run([Catalog(market).plan("v", "t/r1/v", config())], ignore)["v"]


def equal(one: Diagnosis, other: Diagnosis) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Diagnosis)]
    return all(
        np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f") for a, b in pairs
    )


def test_a_look_is_made_once(outcome: VariantOutcome, tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def look(plans: Sequence[VariantPlan]) -> dict[str, Diagnosis]:
        asked.append([plan.id for plan in plans])
        return {plan.id: outcome.diagnosis for plan in plans if outcome.diagnosis}

    bare = replace(outcome, diagnosis=None)
    other = replace(bare, plan=replace(outcome.plan, id="w"), prediction=-outcome.prediction)
    store = FitStore(tmp_path)
    first = with_diagnostics(store, {"v": bare}, look)["v"]
    again = with_diagnostics(store, {"v": bare, "w": other}, look)
    assert asked == [["v"], ["w"]]
    for found in (first, again["v"]):
        assert found.diagnosis is not None
        assert outcome.diagnosis is not None
        assert equal(found.diagnosis, outcome.diagnosis)


def test_the_key_tells_apart_what_decides(outcome: VariantOutcome) -> None:
    plan, prediction = outcome.plan, outcome.prediction
    score = plan.config.score.model_copy(update={"target": "target_teager2b_20"})
    changed = [
        (replace(plan, config=plan.config.model_copy(update={"score": score})), prediction),
        (
            replace(plan, diagnosed=replace(plan.diagnosed, features=plan.diagnosed.features[1:])),
            prediction,
        ),
        (
            replace(plan, diagnosed=replace(plan.diagnosed, neutral_to=plan.diagnosed.neutral_to[1:])),
            prediction,
        ),
        (plan, np.nextafter(prediction, 1)),
    ]
    assert len({diagnostics_key(*each) for each in [(plan, prediction), *changed]}) == 5
    assert diagnostics_key(replace(plan, id="another"), prediction.copy()) == diagnostics_key(plan, prediction)


def test_a_damaged_look_is_set_aside(outcome: VariantOutcome, tmp_path: Path) -> None:
    """A flipped bit anywhere in the file: never another look than the one that was written."""
    assert outcome.diagnosis is not None
    store, key = DiagnosticsStore(tmp_path), "ab" + "0" * 62
    assert store.get(key) is None
    store.put(key, outcome.diagnosis)
    whole = store.path(key).read_bytes()
    for place in range(0, len(whole), 7):
        content = bytearray(whole)
        content[place] ^= 1
        store.path(key).write_bytes(bytes(content))
        assert store.get(key) is None, place
    assert [path.name for path in tmp_path.rglob("*.damaged")] == [f"{key}-look.damaged"]
