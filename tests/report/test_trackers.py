"""Trackers: what TensorBoard and MLflow then hold is what the ledger and the files hold, once."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from builders import History, finished_experiment
from tensorboardX import proto
from tensorboardX.event_file_writer import EventFileWriter  # noqa: F401  (the library is there)

from numerai_ray.cli.main import run
from numerai_ray.errors import EnvironmentFault
from numerai_ray.report.trackers import MLflowTracker, TensorBoardTracker
from numerai_ray.report.trackers.tensorboard import runs

MLFLOW = importlib.util.find_spec("mlflow") is not None


@pytest.fixture
def finished(tmp_path: Path) -> History:
    history = finished_experiment(tmp_path / "demo")
    for record in history.records:
        for variant in record.variants:
            file = history.paths.config(variant.id)
            file.parent.mkdir(exist_ok=True)
            file.write_text(yaml.safe_dump({"model": {"params": {"num_leaves": 31}}}))
    return history


def scalars(folder: Path, name: str = "events.out.tfevents.*") -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads from a run: records of length, checksum, event, checksum."""
    (file,) = folder.glob(name)
    data, at = file.read_bytes(), 0
    found: dict[str, list[tuple[int, float]]] = {}
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        event = proto.event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
        at += 16 + size
        for value in event.summary.value:
            if value.HasField("simple_value"):
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_tensorboard_holds_metrics_by_round_and_sums_by_era(finished: History) -> None:
    tracker = TensorBoardTracker(finished.paths)
    tracker(finished.records[:1])
    assert runs(finished.paths.tensorboard) == sorted(v.id for v in finished.records[0].variants)
    tracker(finished.records)
    scored = {v.id for r in finished.records for v in r.variants if v.metrics}
    assert runs(finished.paths.tensorboard) == sorted(scored)
    held = scalars(finished.paths.tensorboard / "r05-winner")
    metrics = finished.records[-1].variants[0].metrics
    assert metrics is not None
    assert held["metrics/bmc_last_200_eras_mean"] == [(5, pytest.approx(metrics.primary))]
    stored = json.loads(finished.paths.results("r05-winner").read_text())["per_era"]
    known = [(int(e), v) for e, v in zip(stored["era"], stored["bmc"], strict=True) if v is not None]
    sums = held["per_era/cumulative_bmc"]
    assert [era for era, _ in sums] == [era for era, _ in known]
    assert [value for _, value in sums] == pytest.approx(np.cumsum([v for _, v in known]).tolist(), rel=1e-5)


def test_tensorboard_has_curves_over_the_rounds_which_grow_with_them(finished: History) -> None:
    for known in (2, len(finished.records)):
        TensorBoardTracker(finished.paths)(finished.records[:known])
    files = sorted((finished.paths.tensorboard / "rounds").iterdir())
    assert len(files) == len(finished.records), "a file a round, in the order in which TensorBoard reads them"
    held: dict[str, list[tuple[int, float]]] = {}
    for file in files:
        for name, points in scalars(file.parent, file.name).items():
            held.setdefault(name, []).extend(points)
    scouts = [r for r in finished.records if r.stage == "scout"]
    winners = [next(v for v in r.variants if v.id == r.decision.winner) for r in scouts]
    primary = [v.metrics.primary for v in winners if v.metrics]
    assert held["scout/primary"] == [(r.number, pytest.approx(v)) for r, v in zip(scouts, primary, strict=True)]
    best = np.maximum.accumulate(primary)
    assert [value for _, value in held["scout/best_so_far"]] == pytest.approx(best.tolist())


def test_a_tracker_writes_nothing_twice_and_mends_what_was_cut_short(finished: History) -> None:
    tracker = TensorBoardTracker(finished.paths)
    tracker(finished.records)
    before = {file: file.stat().st_mtime_ns for file in finished.paths.tensorboard.rglob("events*")}
    partial = finished.paths.tensorboard / ".r05-winner.partial"
    (finished.paths.tensorboard / "r05-winner").rename(partial)
    tracker(finished.records)
    again = {file: file.stat().st_mtime_ns for file in finished.paths.tensorboard.rglob("events*")}
    assert {file.parent.name for file in again if again[file] != before.get(file)} == {"r05-winner"}
    assert not partial.exists()


def test_the_track_command(finished: History, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["track", str(finished.paths.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"] == runs(Path(told["tensorboard"]))
    assert told["mlflow"] is None


def test_without_mlflow_one_clear_message(finished: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(EnvironmentFault, match=r"pip install '\.\[mlflow\]'"):
        MLflowTracker(finished.paths, "demo", "sqlite:///x.db")(finished.records)


@pytest.mark.parametrize("command", ["run", "track"])
@pytest.mark.parametrize(
    ("uri", "words"), [("abc", "but is 'abc'"), ("ftp://u:hush@h", "'ftp://***@h'"), ("sqlite:///x.db", "'.[mlflow]'")]
)
def test_what_cannot_work_is_refused_before_anything_is_trained(
    finished: History, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str, uri: str, words
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert run([command, str(finished.paths.root), "--mlflow", uri]) == 2
    told = capfd.readouterr()
    assert "--mlflow" in told.err
    assert words in told.err
    assert "hush" not in told.out + told.err
    assert not finished.paths.tensorboard.exists(), "nothing was begun"


@contextmanager
def server(answer: bytes | None, every_s: float = 0.0) -> Iterator[str]:
    """Takes connections; sends ``answer`` again and again, or nothing."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            kept = []
            with suppress(OSError):
                while not over.is_set():
                    kept.append(listener.accept()[0])
                    while answer is not None and not over.wait(every_s):
                        kept[-1].sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        over.set()


@pytest.mark.parametrize(
    ("command", "option"), [("run", "--data-dir"), ("run --data-dir .", "--results"), ("status", "--results")]
)
def test_a_storage_that_does_not_answer_is_one_line_before_anything_is_trained(
    finished: History, command: str, option: str
) -> None:
    """The whole command: neither it nor its end waits for the storage's client."""
    code = (
        "import sys, numerai_ray.session.places as places\nplaces.PATIENCE_S = 1.0\n"
        "from numerai_ray.cli import main\nmain()"
    )
    with server(None) as address:
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_ENDPOINT_URL": f"http://{address}"}
        arguments = [*command.split(), str(finished.paths.root), option, "s3://bucket/x"]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **keys}, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {option}: s3://bucket/x: the storage cannot be reached")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not MLFLOW, reason="needs the extra mlflow")
@pytest.mark.parametrize("kind", ["down", "silent", "dripping", "no HTTP"])
def test_a_server_that_does_not_answer_is_one_masked_line_once_and_holds_no_run(
    finished: History, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    monkeypatch.setattr("numerai_ray.system.services.PATIENCE_S", 2.0)
    drip = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" if kind == "dripping" else b"what?\r\n"
    with server(None if kind == "silent" else drip, 0.3) as address:
        host = "127.0.0.1:9" if kind == "down" else address
        MLflow = MLflowTracker(finished.paths, "demo", f"http://me:hush@{host}")
        importlib.import_module("mlflow.entities")  # seconds on a busy machine
        began = time.monotonic()
        with pytest.raises(EnvironmentFault) as fault:
            MLflow(finished.records)
        MLflow(finished.records)
        assert time.monotonic() - began < 8
    assert f"http://***@{host}" in str(fault.value)
    assert "track" in str(fault.value)
    assert "\n" not in str(fault.value)
    told = capfd.readouterr()
    assert "hush" not in str(fault.value) + told.out + told.err


@pytest.mark.slow
@pytest.mark.skipif(not MLFLOW, reason="needs the extra mlflow")
def test_mlflow_holds_rounds_variants_parameters_metrics_and_artifacts(finished: History, tmp_path: Path) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    finished.paths.report.write_text("# demo")
    MLflowTracker(finished.paths, "demo", uri)(finished.records[:2])
    MLflowTracker(finished.paths, "demo", uri)(finished.records)
    MLflowTracker(finished.paths, "demo", uri)(finished.records)
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("demo")
    assert experiment is not None
    held = client.search_runs([experiment.experiment_id])
    by_variant = {r.data.tags["numerai_ray.variant"]: r for r in held if "numerai_ray.variant" in r.data.tags}
    scored = [v.id for r in finished.records for v in r.variants if v.metrics]
    assert sorted(by_variant) == sorted(set(scored))
    assert len(held) == len(by_variant) + 5 + 1, "a run a round and the report's, each once"
    winner = by_variant["r05-winner"]
    rounds = {r.info.run_id: r.data.tags for r in held if "numerai_ray.round" in r.data.tags}
    assert rounds[winner.data.tags["mlflow.parentRunId"]]["numerai_ray.round"] == "05"
    metrics = finished.records[-1].variants[0].metrics
    assert metrics is not None
    assert winner.data.metrics["bmc_last_200_eras_mean"] == pytest.approx(metrics.primary)
    assert winner.data.params["model.params.num_leaves"] == "31"
    sums = client.get_metric_history(winner.info.run_id, "cumulative_bmc")
    assert len(sums) == metrics.bmc.n_eras
    assert max(each.step for each in sums) == 1121
    assert {a.path for a in client.list_artifacts(winner.info.run_id)} == {"r05-winner.yaml", "r05-winner.json"}
    (report,) = (r for r in held if "numerai_ray.report" in r.data.tags)
    assert "experiment.md" in {a.path for a in client.list_artifacts(report.info.run_id)}
    assert str(finished.paths.root) in experiment.artifact_location
