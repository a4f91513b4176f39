"""A variant's out-of-fold predictions for Numerai's diagnostics, and our scores of the same eras beside theirs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from numerai_ray.data.columns import UNREADABLE, matches, texts
from numerai_ray.data.dataset import open_parquet
from numerai_ray.data.eras import era_number
from numerai_ray.errors import DataError, RequestError
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.scores import ScoreReader
from numerai_ray.experiment.variant_files import AGAIN
from numerai_ray.metrics.scoring import summarize
from numerai_ray.submission.export.choice import Choice
from numerai_ray.system.storage import Place

# our name, how it is called in Numerai's answer
ROWS = (
    ("corr mean", "validationCorrV4Mean"),
    ("corr std", "validationCorrV4Std"),
    ("corr sharpe", "validationCorrV4Sharpe"),
    ("corr max drawdown", "validationCorrV4MaxDrawdown"),
    ("bmc mean", "validationBmcMean"),
    ("mmc mean", "validationMmcMean"),
    ("max feature exposure", "validationFeatureCorrMax"),
    ("feature neutral corr mean", "validationFeatureNeutralCorrV3Mean"),
)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """``frame`` has id and prediction of validation rows; ``ours`` our scores over ``eras`` by Numerai's names."""

    frame: pd.DataFrame
    eras: tuple[int, ...]
    ours: Mapping[str, float]


def diagnosis_of(choice: Choice, paths: ExperimentPaths, validation: Place) -> Diagnosis:
    """The variant's predictions that Numerai can judge: out of fold, on validation eras.

    Raises:
        RequestError: the variant predicted no row of ``validation.parquet``.
        DataError: a file is missing or damaged.

    """
    ids = _validation_ids(validation)
    path, again = paths.predictions(choice.record.id), AGAIN.format(paths.root)
    try:
        table = open_parquet(path, again).read(["id", "era", "prediction"]).to_pandas()
    except (KeyError, *UNREADABLE) as error:
        raise DataError(f"{path}: is damaged ({(str(error).splitlines() or [''])[0]}); {again}") from error
    inside = table[table["id"].isin(ids)]
    if inside.empty:
        raise RequestError(
            f"{path}: predicts no row of {validation}; only out-of-fold predictions of validation eras can be judged"
        )
    ranked = inside.groupby("era")["prediction"].rank(method="average")
    sizes = inside.groupby("era")["prediction"].transform("size")
    frame = pd.DataFrame({"id": inside["id"], "prediction": (ranked - 0.5) / sizes})
    eras = tuple(sorted({era_number(era) for era in inside["era"].unique()}))
    return Diagnosis(frame.reset_index(drop=True), eras, _ours(choice, paths, eras))


def _validation_ids(validation: Place) -> set[str]:
    file = open_parquet(validation, "download it with `numerai-ray data download`")
    names = file.schema_arrow.names
    if "id" not in names or "data_type" not in names:
        raise DataError(f"{validation}: no column 'id' or 'data_type'; download it again")
    table = file.read(["id", "data_type"])
    try:
        ids = texts(table["id"])
    except ValueError as error:
        raise DataError(f"{validation}: ids {error}; download it again") from None
    return set(ids.filter(matches(table["data_type"], ["validation"]).combine_chunks()).to_pylist())


def _ours(choice: Choice, paths: ExperimentPaths, eras: tuple[int, ...]) -> dict[str, float]:
    stored = ScoreReader(paths).read(choice.record.id)
    if stored is None:
        return {}
    inside = np.isin(stored.eras, eras)
    corr, bmc = summarize(stored.scores.corr[inside]), summarize(stored.scores.bmc[inside])
    own = (corr.mean, corr.std, corr.sharpe, corr.max_drawdown, bmc.mean)
    return dict(zip((name for _, name in ROWS), own, strict=False))


def compared(diagnosis: Diagnosis, theirs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a metric: its name, ours, theirs; None where one side does not know it."""
    return [
        {"metric": label, "ours": diagnosis.ours.get(name), "numerai": theirs.get(name)}
        for label, name in ROWS
        if name in diagnosis.ours or theirs.get(name) is not None
    ]
