"""Per-era scores read back from results files, and the noise of a difference between two of them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.results import ExperimentPaths
from numerai_ray.scoring import EraScores
from numerai_ray.variant_output import per_era_scores

Floats = npt.NDArray[np.float64]

# Under this many common eras a standard error of autocorrelated differences is itself a guess.
MIN_ERAS = 10
# A difference under two standard errors is what noise alone brings in one case of twenty.
TWO_SIDED = 2.0


@dataclass(frozen=True, eq=False)
class StoredScores:
    """One results file: ``eras`` ascending, arrays of ``scores`` (n_eras,), ``cv`` and ``data`` as they stand there."""

    eras: tuple[int, ...]
    scores: EraScores
    cv: Mapping[str, Any]
    data: Mapping[str, Any]


@dataclass
class ScoreReader:
    """Reads results files by variant id, each once; a file that is missing or damaged reads as None."""

    paths: ExperimentPaths
    _held: dict[str, StoredScores | None] = field(default_factory=dict)

    def read(self, variant: str) -> StoredScores | None:
        if variant not in self._held:
            self._held[variant] = self._read(variant)
        return self._held[variant]

    def _read(self, variant: str) -> StoredScores | None:
        # A report is written from what is there: a results file that the user removed costs its cells, not the run.
        try:
            value = json.loads(self.paths.results(variant).read_text(encoding="utf-8"))
            eras, scores = per_era_scores(value["per_era"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return StoredScores(eras, scores, value.get("cv") or {}, value.get("data") or {})


@dataclass(frozen=True)
class PairedDifference:
    """Mean per-era difference over common scored eras, and its standard error (NaN when it cannot be told)."""

    mean: float
    standard_error: float
    n_eras: int
    first_era: int
    last_era: int

    @property
    def sigmas(self) -> float:
        """Absolute difference in standard errors; NaN when unknown, 0 for no difference at all."""
        if self.mean == 0.0:
            return 0.0
        known = math.isfinite(self.standard_error) and self.standard_error > 0
        return abs(self.mean) / self.standard_error if known else math.nan


def paired_bmc(
    ours: StoredScores | None, theirs: StoredScores | None, last: int, overlap_eras: int
) -> PairedDifference | None:
    """BMC of ``ours`` minus ``theirs`` over the ``last`` eras that both have; None without a common scored era.

    ``overlap_eras`` is how many eras later a label still overlaps (4 for 20-day, 12 for 60-day targets).
    """
    if ours is None or theirs is None:
        return None
    first = dict(zip(ours.eras, ours.scores.bmc.tolist(), strict=True))
    second = dict(zip(theirs.eras, theirs.scores.bmc.tolist(), strict=True))
    eras = sorted(era for era in first.keys() & second.keys() if not math.isnan(first[era] + second[era]))[-last:]
    if not eras:
        return None
    difference = np.array([first[era] - second[era] for era in eras])
    error = overlap_standard_error(difference, eras, overlap_eras)
    return PairedDifference(float(difference.mean()), error, len(eras), eras[0], eras[-1])


def overlap_standard_error(values: Floats, eras: Sequence[int], overlap_eras: int) -> float:
    """Standard error of the mean of per-era ``values`` (n,) whose labels overlap; NaN under ``MIN_ERAS`` eras.

    Newey-West with Bartlett weights 1 - d / (2 (overlap_eras + 1)), where d is the distance of two eras in
    calendar eras, so that every-4th-era data is weighted by how far apart its eras really are. The bandwidth is
    twice the overlap because at the overlap itself the weights shrink the very covariances that the overlap makes
    (a third of the variance is lost; at twice the overlap, a sixth). Source: Newey and West (1987).
    """
    n = len(values)
    if n < MIN_ERAS:
        return math.nan
    position = np.asarray(eras, np.float64)
    distance = np.abs(position[:, None] - position[None, :])
    weight = np.clip(1.0 - distance / (2.0 * (overlap_eras + 1)), 0.0, None)
    centred = values - values.mean()
    variance = float(centred @ weight @ centred) / (n * (n - 1))
    return math.sqrt(max(variance, 0.0))


def sigmas_needed(looks: int) -> float:
    """Standard errors that the best of ``looks`` variants must reach to be luck in under one case of twenty.

    Bonferroni, one-sided at 5 %: the quantile 1 - 0.05 / looks of the normal distribution, at least 2.
    """
    return max(TWO_SIDED, NormalDist().inv_cdf(1.0 - 0.05 / max(looks, 1)))
