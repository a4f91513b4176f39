"""What decides is named as the plan has it, on the dashboard and on the report's page."""

from pathlib import Path

import pytest
from builders import experiment
from dashboard import asked

from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.report.page_data import leaderboard_data
from numerai_ray.report.reading import Reading


@pytest.mark.parametrize(("metric", "title"), [("mmc", "MMC last 200"), ("corr.mean", "CORR"), (None, "BMC last 200")])
def test_the_title_is_of_the_metric_that_decides(tmp_path: Path, metric: str | None, title: str) -> None:
    root = tmp_path / "experiments" / "one"
    changes = {} if metric is None else {"metric": metric}
    history = experiment(root, changes)
    history.scout("max_depth", {3: 0.003, 8: 0.0045})
    pair = "exp=one&id=r01-base&exp=one&id=r01-max_depth%3D8"
    (status, overview), (_, compared) = asked(root.parent, tmp_path, "/api/overview?exp=one", f"/api/compare?{pair}")
    assert all(row["metric"] for row in compared["rows"])
    assert (status, overview["error"], overview["metric"]) == (200, None, title)
    assert overview["rounds_plot"]["metric"] == title.split(maxsplit=1)[0]
    reading = Reading(history.loaded, history.paths, tuple(read_ledger(history.paths.ledger)))
    board = leaderboard_data(reading)
    assert board is not None
    assert board["metric"] == title
