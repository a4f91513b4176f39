"""A plan that is decided by MMC is told in how many of its eras there is a meta model, and refused where in none."""

from pathlib import Path

import pytest

from numerai_ray.config import Config, validate
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.errors import ConfigError
from numerai_ray.training.catalog import Catalog


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("meta")
    write_market(MarketSpec(eras=120, rows=60, features=10, seed=1), made / "tiny")
    build(made / "tiny")
    return made


def asked(metric: str, **cv: int) -> Config:
    values = {"data": {"version": "tiny", "file": "full"}, "cv": {"n_splits": 3, **cv}, "score": {"metric": metric}}
    return validate(Config, values, "test")


def test_the_eras_that_have_it_are_counted(root: Path) -> None:
    for metric, others in (("mmc", "are not scored"), ("payout.mean", "have BMC in the place of MMC")):
        plan = Catalog(root).plan("x", "x", asked(metric))
        (note,) = [each for each in plan.notes if "meta model" in each]
        predicted = {era for fold in plan.folds.trainable for era in fold.validation_eras}
        there = sum(era >= MarketSpec(eras=120, rows=60, features=10).first_meta_model_era for era in predicted)
        assert 0 < there < len(predicted)
        judged = Catalog(root).judged_eras(plan)
        assert len(judged) == (there if metric == "mmc" else len(predicted))
        assert f"{there} of {len(predicted)} predicted eras have the meta model; the others {others}" in note
    assert not [each for each in Catalog(root).plan("x", "x", asked("bmc")).notes if "meta model" in each]


def test_without_any_the_plan_is_refused_and_payout_is_not(root: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    for file in (root / "tiny").iterdir():
        if file.name != "meta_model.parquet":
            (tmp_path / "tiny" / file.name).symlink_to(file)
    with pytest.raises(ConfigError, match=r"none has the meta model.*metric: payout.* @ \$\.metric"):
        Catalog(tmp_path).plan("x", "x", asked("mmc"))
    (note,) = [each for each in Catalog(tmp_path).plan("x", "x", asked("payout")).notes if "meta model" in each]
    assert ": 0 of " in note
