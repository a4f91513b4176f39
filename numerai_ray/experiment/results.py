"""The shape of a results file where something is read out of it: what has another one is damaged.

Keys that nothing here reads may hold anything. A file of an earlier version lacks what it did not know.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from numerai_ray.system.json_text import parse_json

Unknown = float | None
Shares = dict[str, float]


class _Shape(BaseModel):
    model_config = ConfigDict(strict=True)


class _PerEra(_Shape):
    era: list[str]
    corr: list[Unknown]
    bmc: list[Unknown]
    corr_with_benchmark: list[Unknown]
    mmc: list[Unknown] | None = None
    paid_corr: list[Unknown] | None = None


class _Cv(_Shape):
    folds_used: int | None = None
    smallest_gap_eras: int | None = None
    untrained_eras: list[list[str]] | None = None


class _Importance(_Shape):
    fits: int = 0
    silent_fits: int = 0
    top: list[str] = []
    per_feature: Shares = {}
    by_group: Shares = {}


class _Exposure(_Shape):
    max: Unknown = None
    mean: Unknown = None
    top: list[str] = []
    by_group: dict[str, Unknown] = {}


class _Neutral(_Shape):
    neutral_to: str | None = None
    features: int = 0
    mean: Unknown = None
    corr_mean_same_eras: Unknown = None


class _Churn(_Shape):
    mean: Unknown = None
    turnover: Unknown = None
    n_eras: int = 0


class _Stack(_Shape):
    fold: int
    weights: Shares
    fit_eras: int
    learned: bool


class _LookedAt(_Shape):
    looked_at: int
    of: int


class _Diagnostics(_Shape):
    importance: _Importance | None = None
    correlation_with: dict[str, Unknown] | None = None
    feature_exposure: _Exposure | None = None
    feature_neutral_corr: _Neutral | None = None
    churn: _Churn | None = None
    eras: _LookedAt | None = None
    stack: list[_Stack] | None = None


class _Results(_Shape):
    per_era: _PerEra
    cv: _Cv | None = None
    data: dict[str, Any] | None = None
    diagnostics: _Diagnostics | None = None


def read_results(path: Path) -> dict[str, Any]:
    """The results in a file.

    Raises:
        OSError: there is none.
        ValueError: it is damaged; says where.

    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file")
    value: dict[str, Any] = parse_json(path.read_bytes())
    try:
        found = _Results.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg'].lower()}") from None
    eras = found.per_era
    more = [each for each in (eras.mmc, eras.paid_corr) if each is not None]
    lists = (eras.corr, eras.bmc, eras.corr_with_benchmark, *more)
    if {len(each) for each in lists} != {len(eras.era)}:
        raise ValueError("per_era: its lists differ in length")
    told = found.diagnostics and found.diagnostics.importance
    if told and not told.per_feature.keys() >= set(told.top):
        raise ValueError("diagnostics.importance.top: names a feature that has no share")
    if any(len(span) != 2 for span in (found.cv and found.cv.untrained_eras) or ()):
        raise ValueError("cv.untrained_eras: holds something else than pairs")
    return value
