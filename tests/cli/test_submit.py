"""``submit`` without a cluster: what is handed over, what is refused; with one: `tests/cluster/`."""

from pathlib import Path

import pytest
from bad_requests import Desk, make_market, refuse, set_desk

from numerai_ray.errors import RequestError
from numerai_ray.session.places import open_experiment
from numerai_ray.session.submitting import job_variables, stable_id, stage_experiment


@pytest.fixture(scope="module")
def market_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def desk(tmp_path: Path, market_root: Path) -> Desk:
    return set_desk(tmp_path, market_root)


def test_what_a_run_reads_is_handed_over_and_nothing_that_it_made(desk: Desk, tmp_path: Path) -> None:
    for name in ("results/a.json", "predictions/a.parquet", "logs/x.log", "my_model.py", ".lock"):
        (desk.exp / name).parent.mkdir(exist_ok=True)
        (desk.exp / name).write_text("x")
    paths, loaded = open_experiment(desk.exp)
    stage_experiment(tmp_path / "stage", paths.root, loaded)
    files = {path.relative_to(tmp_path / "stage").as_posix() for path in (tmp_path / "stage").rglob("*.*")}
    assert files == {
        "experiments/capacity/experiment.yaml",
        "experiments/capacity/my_model.py",
        "experiments/baselines/tiny.yaml",
    }


def test_one_experiment_and_place_is_one_job() -> None:
    assert stable_id("a", "s3://b/x") == stable_id("a", "s3://b/x/")
    assert stable_id("a", "s3://b/x") != stable_id("a", "s3://b/y")
    assert stable_id("a", "s3://b/x").startswith("a-")


def test_secrets_travel_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage:9000")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert "hush" not in job_variables([]).values()
    assert job_variables([])["AWS_ENDPOINT_URL"] == "http://storage:9000"
    assert (
        job_variables(["AWS_SECRET_ACCESS_KEY", "X=1"]).items() >= {"AWS_SECRET_ACCESS_KEY": "hush", "X": "1"}.items()
    )
    with pytest.raises(RequestError, match="--env NOT_SET: must be set here"):
        job_variables(["NOT_SET"])


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--data-dir", "s3://b/d"], ("127.0.0.1:9", "no Ray job server answers", "ssh -N -L")),
        ([], ("--data-dir: must name the data root as the cluster sees it",)),
        (["--data-dir", "ftp://b/d"], ("must be a local path or a URL s3://",)),
    ],
)
def test_wrong_requests(desk: Desk, capfd: pytest.CaptureFixture[str], extra, words) -> None:
    where = ["--address", "http://127.0.0.1:9", "--results", "s3://b/results"]
    refuse(desk, capfd, ["submit", str(desk.exp), *where, *extra], words)
