"""Live predictions of a pickle, made as Numerai makes them, and checked as Numerai checks a submission.

The rules are those of ``numerai_tools.submissions.validate_submission_numerai`` (0.7.2): two columns, every live id
once, values strictly between 0 and 1 that are not all the same. A test holds the two together.
"""

import tempfile
from pathlib import Path

import pandas as pd

from numerai_ray.errors import RequestError
from numerai_ray.submission.environment import Environment
from numerai_ray.submission.trial_run import Desk, LiveData
from numerai_ray.system.files import whole_file

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
