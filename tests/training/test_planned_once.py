"""A variant is planned once for whoever asks, and anew when anything that decides its plan is another."""

from pathlib import Path

import pytest
from contracts import config

from numerai_ray.config import Config, validate
from numerai_ray.errors import ConfigError
from numerai_ray.training import catalog as module
from numerai_ray.training.catalog import Catalog

OWN = """
class Own:
    def fit(self, rows):
        return self

    def predict(self, rows):
        return rows.eras * {}
"""


def test_the_same_config_is_planned_once_under_any_name(market: Path) -> None:
    catalog = Catalog(market)
    checked = catalog.plan("check", "$.base", config())
    run = catalog.plan("r01-base", "demo/r1/base", config())
    assert run.fits is checked.fits
    assert (run.id, run.label) == ("r01-base", "demo/r1/base")
    assert catalog.plan("x", "x", config({"model": {"params": {"num_leaves": 9}}})).fits is not checked.fits


def test_other_eras_and_other_code_are_planned_anew(market: Path, tmp_path: Path) -> None:
    catalog = Catalog(market, tmp_path)
    whole = catalog.plan("v", "v", config())
    catalog.last_era = whole.index.eras[-20]
    assert catalog.plan("v", "v", config()).fits[-1].fold.validation_eras[-1] <= catalog.last_era
    file = tmp_path / "own.py"
    file.write_text(OWN.format(1))
    given = config().to_json()
    own = validate(Config, {**given, "model": {"type": "own.py:Own", "params": {}}}, "test")
    first = catalog.plan("v", "v", own)
    file.write_text(OWN.format(2))
    assert catalog.plan("v", "v", own).fits[0].key != first.fits[0].key


def test_what_is_refused_is_refused_again_by_its_new_name(market: Path) -> None:
    catalog, wrong = Catalog(market), config({"model": {"params": {"num_leaves": -1}}})
    for label in ("one", "two"):
        with pytest.raises(ConfigError, match=label):
            catalog.plan("v", label, wrong)


def test_few_plans_are_kept(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PLANNED", 2)
    catalog = Catalog(market)
    configs = [config({"model": {"params": {"num_leaves": leaves}}}) for leaves in (5, 6, 7)]
    plans = [catalog.plan("v", "v", each) for each in configs]
    assert catalog.plan("v", "v", configs[2]).fits is plans[2].fits
    assert catalog.plan("v", "v", configs[0]).fits is not plans[0].fits
