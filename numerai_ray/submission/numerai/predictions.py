"""Predictions sent to Numerai: for the round, and for the diagnostics of validation predictions."""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from numerai_ray.errors import EnvironmentFault, RequestError
from numerai_ray.submission.container.environment import Environment
from numerai_ray.submission.container.trial_run import Desk, LiveData
from numerai_ray.submission.numerai.account import CLASSIC, FAILED, Numerai, Slot, address_of, list_of, text_of
from numerai_ray.submission.numerai.upload import Waiting, Watch
from numerai_ray.system.files import whole_file
from numerai_ray.system.http import PATIENT, Patience
from numerai_ray.system.transfer import put_file

SUBMISSION_ADDRESS = """
query($filename: String! $tournament: Int! $modelId: ID) {
    submissionUploadAuth(filename: $filename tournament: $tournament modelId: $modelId) { filename url }
}
"""
SUBMIT = """
mutation($filename: String! $tournament: Int! $modelId: String) {
    createSubmission(filename: $filename tournament: $tournament modelId: $modelId source: "numerai-ray") { id }
}
"""
DIAGNOSTICS_ADDRESS = """
query($filename: String! $tournament: Int! $modelId: ID) {
    diagnosticsUploadAuth(filename: $filename tournament: $tournament modelId: $modelId) { filename url }
}
"""
DIAGNOSE = """
mutation($filename: String! $tournament: Int! $modelId: String) {
    createDiagnostics(filename: $filename tournament: $tournament modelId: $modelId) { id }
}
"""
DIAGNOSTICS = """
query($id: ID $modelId: ID) {
    diagnostics(id: $id modelId: $modelId) {
        id status message erasAcceptedCount trainedOnVal
        validationCorrV4Mean validationCorrV4Std validationCorrV4Sharpe validationCorrV4MaxDrawdown
        validationBmcMean validationMmcMean validationMmcStd validationMmcSharpe
        validationFeatureCorrMax validationFeatureNeutralCorrV3Mean
    }
}
"""


@dataclass(frozen=True)
class Sender:
    """How predictions travel."""

    numerai: Numerai
    watch: Watch = field(default=Watch())
    patience: Patience = PATIENT
    waiting: Waiting = field(default=Waiting(limit_s=900.0))

    def submit(self, file: Path, slot: Slot) -> str:
        """Submit live predictions for the open round; the submission's id.

        Raises:
            RequestError: Numerai refuses them (no round is open, the ids are of another day).
            EnvironmentFault: they could not be sent.

        """
        return text_of(self._send(file, slot, SUBMISSION_ADDRESS, SUBMIT), "id")

    def diagnose(self, file: Path, slot: Slot) -> Mapping[str, Any]:
        """Numerai's diagnostics of validation predictions, waited for.

        Raises:
            RequestError: Numerai refuses the predictions or says that the diagnostics failed.
            EnvironmentFault: they could not be sent, or there is no result within the time limit.

        """
        made = text_of(self._send(file, slot, DIAGNOSTICS_ADDRESS, DIAGNOSE), "id")
        waiting = self.waiting
        end, pause = waiting.now() + waiting.limit_s, waiting.first_s
        while True:
            found = self._result(made, slot)
            if str(found.get("status", "")).lower() in FAILED:
                raise RequestError(f"Numerai's diagnostics failed: {found.get('message') or 'it does not say why'}")
            if _known(found.get("validationCorrV4Mean")):
                return found
            if waiting.now() + pause > end:
                raise EnvironmentFault(
                    f"no diagnostics within {waiting.limit_s:.0f} s; they appear at https://numer.ai/models as {made}"
                )
            waiting.sleep(pause)
            pause = min(pause * 1.5, waiting.longest_s)

    def _send(self, file: Path, slot: Slot, where: str, register: str) -> Mapping[str, Any]:
        self.watch.step(f"sending {file.name}")
        own = {"tournament": CLASSIC, "modelId": slot.id}
        address = address_of(self.numerai.ask(where, {"filename": file.name, **own}, True))  # noqa: FBT003
        put_file(file, address.url, self.patience, self.watch.retry, self.watch.sent)
        made: Mapping[str, Any] = self.numerai.ask(register, {"filename": address.filename, **own}, False)  # noqa: FBT003
        return made

    def _result(self, made: str, slot: Slot) -> Mapping[str, Any]:
        answer = self.numerai.ask(DIAGNOSTICS, {"id": made, "modelId": slot.id}, True)  # noqa: FBT003
        several = list_of(answer) if not isinstance(answer, Mapping) else [answer]
        return next((each for each in several if each.get("id") in (None, made)), {})


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


FORMATS = (".csv", ".parquet")


def live_predictions(pickle: Path, environment: Environment, live: LiveData) -> pd.DataFrame:
    """Columns ``id`` and ``prediction``, a row a live id.

    Raises:
        RequestError: the pickle fails, or Numerai would refuse what it predicts; says why.

    """
    with tempfile.TemporaryDirectory(prefix="numerai-ray-") as name:
        desk = Desk(Path(name), pickle, environment)
        trial, problems = desk.run(live)
        if trial is None or problems:
            raise RequestError(f"{pickle}: {'; '.join(problems)}; look closer with `numerai-ray verify {pickle}`")
        table = pd.read_parquet(desk.predictions)
    frame = pd.DataFrame({"id": table.index.astype(str), "prediction": table["prediction"].to_numpy()})
    problem = submission_problem(frame)
    if problem is not None:
        raise RequestError(f"{pickle}: Numerai would refuse these predictions: {problem}")
    return frame


def submission_problem(frame: pd.DataFrame) -> str | None:
    """What Numerai would refuse about a submission, or None."""
    if list(frame.columns) != ["id", "prediction"]:
        return f"columns must be id and prediction, but are {', '.join(map(str, frame.columns))}"
    if frame["id"].isna().any():
        return "a row has no id"
    if frame["id"].duplicated().any():
        return f"the id {frame['id'][frame['id'].duplicated()].iloc[0]!r} stands twice"
    values = frame["prediction"]
    if values.isna().any():
        return f"{int(values.isna().sum())} predictions are NaN"
    if not ((values > 0) & (values < 1)).all():
        return f"predictions must lie between 0 and 1, but lie between {values.min()} and {values.max()}"
    if float(values.max() - values.min()) < 1e-8:
        return "all predictions are the same"
    return None


def out_path(out: Path) -> Path:
    """``out`` if predictions can be written to it."""
    if out.suffix not in FORMATS:
        raise RequestError(f"--out: must end with .csv or .parquet, but is {out}; give another name")
    return out


def write_predictions(frame: pd.DataFrame, out: Path) -> None:
    """Write a submission whole or not at all."""
    with whole_file(out) as partial:
        if out.suffix == ".csv":
            frame.to_csv(partial, index=False)
        else:
            frame.to_parquet(partial, index=False)
