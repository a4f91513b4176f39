"""`compare` and `leaderboard`: what they show is what the files hold, and wrong requests end in one message."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from bad_requests import refuse, set_desk
from builders import History, experiment, finished_experiment
from desk import Desk
from matplotlib.image import imread

from numerai_ray.cli.main import run
from numerai_ray.experiment.ledger import append_ledger
from numerai_ray.metrics.scoring import last_eras
from numerai_ray.report.plots.compare import MOST_LINES, compare_info, draw_compare
from numerai_ray.report.plots.cumulative import Line
from numerai_ray.report.plots.drawing import DARK, LIGHT

pytestmark = pytest.mark.pictures


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> History:
    return finished_experiment(tmp_path_factory.mktemp("ws") / "demo")


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[dict[str, object]]]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    value: dict[str, list[dict[str, object]]] = json.loads(capsys.readouterr().out)
    return value


def test_compare_shows_the_winner_baseline_and_benchmark(
    finished: History, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = str(finished.paths.root)
    plot = tmp_path / "both.png"
    found = answer(capsys, "compare", folder, folder, "--plot", str(plot), "--dark")
    assert [row["id"] for row in found["rows"]] == ["r05-winner", "r05-baseline", "benchmark-final"] * 2
    metrics = finished.records[-1].variants[0].metrics
    assert metrics is not None
    assert found["rows"][0]["bmc_last_200_eras"] == metrics.primary
    assert found["rows"][0]["changes"] == dict(finished.records[-1].decision.changes)
    image = imread(plot)
    assert image[0, 0, :3].mean() < 0.2
    assert run(["compare", folder]) == 0
    assert "winner" in capsys.readouterr().out


def test_a_holdout_is_set_aside_and_stages_that_do_not_compare_are_said_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, early = finished_experiment(tmp_path / "kept"), experiment(tmp_path / "early")
    holdout = replace(kept.records[3], number=6, stage="holdout")
    append_ledger(kept.paths.ledger, holdout)
    early.scout("num_leaves", {63: 0.0044})
    found = answer(capsys, "compare", str(kept.paths.root))
    assert {row["stage"] for row in found["rows"]} == {"final"}, "few eras check the winner, and are not its level"
    assert run(["status", str(kept.paths.root)]) == 0
    assert "best: r05-winner, bmc_last_200_eras" in capsys.readouterr().out
    assert run(["compare", str(kept.paths.root), str(early.paths.root)]) == 0
    assert "Stages or data differ" in capsys.readouterr().out
    assert run(["compare", str(kept.paths.root), str(kept.paths.root)]) == 0
    assert "Stages or data differ" not in capsys.readouterr().out


def test_compare_from_a_start_era(finished: History, capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "compare", str(finished.paths.root), "--start-era", "801")
    per_era = json.loads(finished.paths.results("r05-winner").read_text())["per_era"]
    late = [v for era, v in zip(per_era["era"], per_era["bmc"], strict=True) if int(era) >= 801]
    assert found["rows"][0]["bmc"] == pytest.approx(sum(late) / len(late))
    assert found["rows"][0]["bmc_last_200_eras"] == pytest.approx(last_eras(late, 200).mean())


def test_benchmark_columns_are_scored_like_predictions(
    tmp_path: Path, market: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path, market)
    plot = tmp_path / "benchmarks.png"
    data = ["--data-dir", str(desk.data), "--plot", str(plot)]
    found = answer(capsys, "compare", str(desk.folder), "--benchmarks", *data)
    names = [row["benchmark"] for row in found["rows"]]
    assert "v52_lgbm_ender20" in names
    assert len(set(names)) == len(names) > 1
    own = next(row for row in found["rows"] if row["benchmark"] == "v52_lgbm_ender20")
    assert own["bmc"] == 0
    corr = [float(str(row["corr"])) for row in found["rows"]]
    assert corr == sorted(corr, reverse=True)
    assert plot.exists()


def test_more_lines_than_colours_are_counted() -> None:
    import numpy as np  # noqa: PLC0415

    lines = [Line(f"line {n}", (1, 2), np.array([0.0, n]), np.array([np.nan, n])) for n in range(10)]
    info = compare_info("Ten", lines, "a benchmark")
    assert info is not None
    assert len(info.lines) == MOST_LINES
    assert info.left_out == 2
    for theme in (LIGHT, DARK):
        assert draw_compare(info, theme).axes[0].get_title(loc="left") == "Ten, from era 0001; 2 more not shown"
    assert compare_info("None", [], "a benchmark") is None


def test_leaderboard_is_the_table_a_stage_at_a_time(finished: History, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(finished.paths.root)
    found = answer(capsys, "leaderboard", folder, "--stage", "scout", "--top", "3")
    primaries = [float(str(row["primary"])) for row in found["rows"]]
    assert len(primaries) == 3
    assert primaries == sorted(primaries, reverse=True)
    assert run(["leaderboard", folder]) == 0
    assert "★" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "EXP"], ("no round is decided yet", "start with `numerai-ray run")),
        (["compare", "EXP", "--plot", "a.pdf"], ("--plot must be a .png file, but is a.pdf",)),
        (["compare", "EXP", "--start-era", "0"], ("--start-era", "must be 1 or more, but is 0")),
        (["compare", "nowhere"], ("nowhere: no experiment.yaml there",)),
        (["compare", "EXP", "--benchmarks", "--data-dir", "nowhere"], ("nowhere", "no such folder")),
        (["leaderboard", "EXP"], ("no round is decided yet",)),
        (["leaderboard", "EXP", "--top", "0"], ("--top", "must be 1 or more, but is 0")),
        (["track", "EXP"], ("no round is decided yet",)),
        (["report", "EXP"], ("no round is decided yet",)),
        (["report", "EXP", "--start-era", "-1"], ("--start-era",)),
        (["status", "nowhere", "--watch"], ("nowhere: no experiment.yaml there",)),
        (["schema", "statsu"], ("'statsu' has no schema; did you mean 'status'?",)),
    ],
)
def test_wrong_requests(
    tmp_path: Path,
    market: Path,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    words: tuple[str, ...],
) -> None:
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "v5.2").symlink_to(market / "tiny")
    desk = set_desk(tmp_path / "desk", tmp_path / "market")
    refuse(desk, capfd, [str(desk.exp) if each == "EXP" else each for each in arguments], words)


def test_a_stage_that_did_not_run(finished: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["leaderboard", str(finished.paths.root), "--stage", "scale"]) == 2
    assert "--stage must be one that ran (final, confirm, scout), but is 'scale'" in capsys.readouterr().err
