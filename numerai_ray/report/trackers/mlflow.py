"""MLflow: an experiment of it per experiment of ours, a run a round, and in it a run a variant."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.experiment.decision import is_finished
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import RoundRecord, VariantRecord
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.report.trackers.facts import cumulative, metric_values, new_variants, parameters
from numerai_ray.system.services import in_time, install_hint, masked, patience

# What ours carry, so that nothing is written twice.
VARIANT_TAG, ROUND_TAG, REPORT_TAG = "numerai_ray.variant", "numerai_ray.round", "numerai_ray.report"
MOST_IN_A_BATCH = 900
LONGEST_VALUE = 500


# Where MLflow keeps runs: servers, and databases. A bare path is a folder of files, which it no longer takes.
SERVERS = ("http", "https", "databricks")
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# What this library tries by itself: seven times, two minutes each. Read when it is called.
LIMITS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}


def check_mlflow(uri: str) -> None:
    """Find out before anything is trained that ``--mlflow`` cannot work as it stands.

    Raises:
        RequestError: it is no address of a server or a database.
        EnvironmentFault: mlflow is not installed.

    """
    scheme = uri.split("+", 1)[0].split(":", 1)[0]
    if ":" not in uri or scheme not in (*SERVERS, *DATABASES):
        known = "a server's http://… or https://…, or a database's sqlite:///mlflow.db or postgresql://…"
        raise RequestError(f"--mlflow: must be {known}, but is {masked(uri)!r}")
    for name, value in LIMITS.items():
        os.environ.setdefault(name, value)
    _client_class()


def _client_class() -> Any:
    try:
        from mlflow import MlflowClient  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentFault(f"--mlflow needs mlflow: {install_hint('mlflow')}") from error
    return MlflowClient


@dataclass(eq=False)
class MLflowTracker:
    """Writes to the tracking server or file database at ``uri``, such as ``sqlite:///mlflow.db``.

    A server that does not answer in time is left alone for the rest of the run: no run waits for it.
    """

    paths: ExperimentPaths
    name: str
    uri: str
    _client: Any = field(default=None)
    _experiment: str = field(default="")
    _given_up: bool = field(default=False)

    def __call__(self, history: Sequence[RoundRecord]) -> None:
        """Write what is not there yet.

        Raises:
            EnvironmentFault: mlflow is not installed, or the server does not take it; nothing is tried after that.

        """
        if self._given_up:
            return
        check_mlflow(self.uri)
        try:
            self._write_all(history)
        except Exception as error:
            self._given_up = True
            raise EnvironmentFault(
                f"--mlflow: {masked(self.uri)}: {masked(str(error)) or type(error).__name__}; nothing waits for it. "
                f"`numerai-ray track {self.paths.root} --mlflow URI` writes later what is missing there"
            ) from None

    def _write_all(self, history: Sequence[RoundRecord]) -> None:
        limit = patience(self.uri)
        there = in_time(self._open, limit)
        reader = ScoreReader(self.paths)
        for record, variant in new_variants(history):
            if variant.id not in there:
                in_time(partial(self._write, record, variant, reader), limit)
        if is_finished(history):
            in_time(self._report, limit)

    def _open(self) -> dict[str, str]:
        """Variants that are there already: id -> run."""
        if self._client is None:
            client = _client_class()(tracking_uri=self.uri)
            known = client.get_experiment_by_name(self.name)
            # A server keeps artifacts where it likes; beside a database file they would land in the current folder.
            local = self.uri.startswith("sqlite:")
            place = str((self.paths.root / "logs" / "mlflow").resolve().as_uri()) if local else None
            self._experiment = (
                known.experiment_id if known else client.create_experiment(self.name, artifact_location=place)
            )
            self._client = client
        return self._tagged(VARIANT_TAG)

    def _tagged(self, tag: str) -> dict[str, str]:
        """Finished runs that carry ``tag``: its value -> run id."""
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_runs([self._experiment], "attributes.status = 'FINISHED'", page_token=token)
            found |= {run.data.tags[tag]: run.info.run_id for run in page if tag in run.data.tags}
            token = page.token
            if not token:
                return found

    def _round(self, record: RoundRecord) -> str:
        """The run of a round, made on first use."""
        key = f"{record.number:02d}"
        there = self._tagged(ROUND_TAG)
        if key in there:
            return there[key]
        name = f"round {key} {record.dimension or record.stage}"
        run = self._client.create_run(self._experiment, tags={ROUND_TAG: key, "stage": record.stage}, run_name=name)
        self._client.set_tag(run.info.run_id, "decision", record.decision.reason[:5000])
        self._client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def _write(self, record: RoundRecord, variant: VariantRecord, reader: ScoreReader) -> None:
        from mlflow.entities import Metric, Param  # noqa: PLC0415

        parent = self._round(record)
        tags = {VARIANT_TAG: variant.id, "mlflow.parentRunId": parent, "stage": record.stage, "role": variant.role}
        run = self._client.create_run(self._experiment, tags=tags, run_name=variant.id).info.run_id
        values = {**parameters(self.paths, variant), "fingerprint": variant.fingerprint}
        params = [Param(_key(name), str(value)[:LONGEST_VALUE]) for name, value in values.items()]
        metrics = [Metric(name, value, 0, record.number) for name, value in metric_values(variant).items()]
        for name, sums in cumulative(reader, variant).items():
            metrics += [Metric(name, value, 0, era) for era, value in sums]
        self._client.log_batch(run, params=params[:100])
        for start in range(0, len(metrics), MOST_IN_A_BATCH):
            self._client.log_batch(run, metrics=metrics[start : start + MOST_IN_A_BATCH])
        for file in (self.paths.config(variant.id), self.paths.results(variant.id)):
            self._artifact(run, file)
        # Only a finished run counts as written: one that was cut short is written again.
        self._client.set_terminated(run)

    def _report(self) -> None:
        if "1" in self._tagged(REPORT_TAG):
            return
        run = self._client.create_run(self._experiment, tags={REPORT_TAG: "1"}, run_name="report").info.run_id
        for file in (self.paths.report, self.paths.html, self.paths.plan, self.paths.ledger):
            self._artifact(run, file)
        self._client.set_terminated(run)

    def _artifact(self, run: str, file: Path) -> None:
        if file.is_file():
            self._client.log_artifact(run, str(file))


def _key(name: str) -> str:
    """A name that MLflow takes: letters, digits, dots, dashes, slashes and spaces."""
    return "".join(each if each.isalnum() or each in "_-. /:" else "_" for each in name)[:250]
