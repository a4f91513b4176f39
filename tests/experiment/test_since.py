"""A market that stops paying after the decision, and one that goes on: what the live record says, and when."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import History, Market, experiment

from numerai_ray.experiment.rechecks import Recheck, RecheckedVariant, append_recheck, read_rechecks
from numerai_ray.experiment.score_values import per_era_json
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.experiment.since import LiveRecord, last_seen_era, live_record, promised
from numerai_ray.metrics.scoring import EraScores
from numerai_ray.metrics.sequential import expected_best
from numerai_ray.report.sections.since import pair_sentence
from numerai_ray.report.writer import write_report

LAST, STEP = 1124, 4
GAIN = 0.0016


def searched(root: Path) -> History:
    """A winner that gains a lot over base and baseline, with little noise."""
    history = experiment(root, market=Market(noise=0.0015))
    history.scout("num_leaves", {7: 0.0029, 15: 0.0035, 63: 0.0037 + GAIN})
    history.scout("max_depth", {3: 0.0030, 8: 0.0032}, base_bmc=0.0037 + GAIN)
    history.confirm(0.0040 + GAIN)
    history.final(0.0031 + GAIN)
    return history


def live(history: History, weeks: int, gain: float, seed: int = 0) -> LiveRecord:
    """Rechecks of the weeks after the decision, two a line, and what they come to."""
    rng = np.random.default_rng(seed)
    eras = tuple(range(LAST + STEP, LAST + STEP * (weeks + 1), STEP))
    market, own = rng.normal(0.003, 0.014, weeks), rng.normal(0, 0.0015 / np.sqrt(2), (3, weeks))
    bmc = {"winner": market + gain + own[0], "base": market + own[1], "baseline": market + own[2]}
    for start in range(0, weeks, 2):
        part = slice(start, start + 2)
        variants = tuple(
            RecheckedVariant((role,), role, per_era_json(eras[part], EraScores(v[part], v[part], v[part])))  # type: ignore[arg-type]
            for role, v in bmc.items()
        )
        line = Recheck(
            "d" * 12, "2026-12-01T00:00:00+00:00", "final", LAST - 4, (1, 1108, 240), "f", eras[part], variants
        )
        append_recheck(history.paths.rechecks, line)
    found = live_record(history.records, read_rechecks(history.paths.rechecks), ScoreReader(history.paths), 4)
    assert found is not None
    return found


def test_a_market_that_stops_paying_is_told_within_the_eras_of_the_power_calculation(tmp_path: Path) -> None:
    told = 0
    for seed in range(3):
        history = searched(tmp_path / str(seed))
        needed = [pair.needed for pair in live(history, 2, 0.0, seed).pairs]
        assert all(each is not None and each < 60 for each in needed)
        history.paths.rechecks.unlink()
        record = live(history, max(each or 0 for each in needed), 0.0, seed)
        told += len(record.implausible)
    assert told >= 5  # of six comparisons, where four in five are promised
    path = write_report(history.loaded, history.paths, history.records)
    assert "the promised gain became implausible with era" in path.read_text()


def test_a_market_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    history = searched(tmp_path / "own")
    record = live(history, 52, GAIN)
    assert record.implausible == ()
    assert {pair.live.word for pair in record.pairs if pair.live} == {"as promised"}
    assert [pair.theirs for pair in record.pairs] == ["base", "baseline"]
    assert [pair.stage for pair in record.pairs] == ["confirm", "final"]
    text = write_report(history.loaded, history.paths, history.records).read_text()
    assert "**as promised**" in text
    assert "The 26 eras before are in `results/rechecks.jsonl`." in text


def test_a_loss_is_told_whatever_was_promised(tmp_path: Path) -> None:
    history = searched(tmp_path / "own")
    (pair, *_) = live(history, 40, -0.002).pairs
    assert pair.loses
    assert pair.live is not None
    vague = replace(pair, live=replace(pair.live, against=np.ones_like(pair.live.against)))
    assert "whatever was promised, on these eras it loses, clear of the noise" in pair_sentence(vague)
    history.paths.rechecks.unlink()
    assert not any(each.loses for each in live(history, 20, GAIN).pairs)


def test_the_promise_is_that_of_the_latest_stage_with_both(tmp_path: Path) -> None:
    history = searched(tmp_path / "own")
    reader = ScoreReader(history.paths)
    stage, promise = promised(history.records, "base", reader, 4)
    assert stage == "confirm"
    assert promise is not None
    ours, theirs = reader.read("r03-challenger"), reader.read("r03-base")
    assert ours is not None
    assert theirs is not None
    assert promise.mean == pytest.approx(np.nanmean(ours.scores.bmc - theirs.scores.bmc))
    assert promise.looks == 5
    assert promise.expected == pytest.approx(promise.mean - expected_best(5) * promise.standard_error)
    short = searched(tmp_path / "short")
    del short.records[2:]
    assert promised(short.records, "base", ScoreReader(short.paths), 4)[0] == "scout"


def test_the_last_era_that_the_search_saw(tmp_path: Path) -> None:
    history = searched(tmp_path / "own")
    assert last_seen_era(history.records, ScoreReader(history.paths)) == history.market.eras[-1]
    history.records[0].origin["last_era"] = "1108"  # type: ignore[index]
    assert last_seen_era(history.records, ScoreReader(history.paths)) == 1108
    assert last_seen_era([], ScoreReader(history.paths)) is None
