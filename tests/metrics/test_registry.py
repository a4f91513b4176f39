"""A plan asks for a metric by name; summaries, files and ties follow it."""

from pathlib import Path

import numpy as np
import pytest

from numerai_ray.config import ScoreConfig, validate
from numerai_ray.errors import ConfigError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.score_values import per_era_json, per_era_scores
from numerai_ray.experiment.scores import ScoreReader, comparison_of
from numerai_ray.metrics.payout import payout
from numerai_ray.metrics.registry import METRICS, PayoutTerms, Primary, primary_named, primary_names
from numerai_ray.metrics.scoring import EraScores, metrics_of
from numerai_ray.metrics.significance import ALL_ERAS
from numerai_ray.system.json_text import write_json
from numerai_ray.training.outcome import metrics_by

RNG = np.random.default_rng(0)
SCORES = EraScores(*RNG.normal(0.01, 0.01, (5, 30)))


@pytest.mark.parametrize("name", primary_names())
def test_every_metric_decides_by_its_own_mean_and_its_own_tie_break(name: str) -> None:
    score = validate(ScoreConfig, {"metric": name, "last_eras": 10}, "test")
    metrics = metrics_by(score, SCORES)
    values = METRICS[score.primary.series].per_era(SCORES, PayoutTerms())
    means = [values[-10:].mean(), values.mean()]
    assert [metrics.primary, metrics.tie_break] == pytest.approx(means if score.primary.recent else means[::-1])
    assert metrics.metric.name == score.metric
    assert comparison_of(score).last == (10 if score.primary.recent else ALL_ERAS)


def test_short_names_are_the_last_eras_and_an_unknown_one_is_told_the_nearest() -> None:
    assert primary_named("mmc") == primary_named("mmc_last_200_eras.mean") == Primary("mmc")
    assert not primary_named("mmc.mean").recent
    with pytest.raises(ConfigError, match="payout"):
        validate(ScoreConfig, {"metric": "payuot"}, "test")


def test_a_label_that_is_paid_is_kept_beside_the_one_that_is_scored() -> None:
    paid = EraScores(SCORES.corr, SCORES.bmc, SCORES.benchmark_corr, SCORES.mmc, SCORES.corr * 2)
    terms = PayoutTerms(corr=1.0, mmc=0.0, clip=9.0)
    assert payout(paid, terms) == pytest.approx(2 * SCORES.corr)
    _, read = per_era_scores(per_era_json(tuple(range(1, 31)), paid))
    np.testing.assert_array_equal(read.paid_corr, paid.paid_corr)
    assert EraScores.joined([paid.at(slice(0, 10)), paid.at(slice(10, 30))]).paid_corr == pytest.approx(paid.paid_corr)
    score = validate(ScoreConfig, {"payout": {"target": "target_ender_60"}}, "test")
    assert score.targets == ("target_ender_20", "target_ender_60")
    # Its labels overlap longer, so differences are judged with that.
    assert comparison_of(score).overlap_eras > comparison_of(ScoreConfig()).overlap_eras


def test_results_say_by_what_they_were_judged_and_older_ones_by_bmc(tmp_path: Path) -> None:
    paths = ExperimentPaths(tmp_path)
    told = {"per_era": per_era_json(tuple(range(1, 31)), SCORES)}
    write_json(paths.results("old"), told)
    write_json(paths.results("new"), told | {"config": {"score": {"metric": "corr.mean", "target": "t"}}})
    old, new = (ScoreReader(paths).read(each) for each in ("old", "new"))
    assert old is not None
    assert new is not None
    np.testing.assert_array_equal(old.judged.values, SCORES.bmc)
    np.testing.assert_array_equal(new.judged.values, SCORES.corr)


def test_a_config_that_says_nothing_is_written_and_known_as_ever() -> None:
    assert set(ScoreConfig().model_dump(mode="json")) == {"target", "benchmark", "last_eras"}
    assert metrics_of(SCORES, 10).judged is None
