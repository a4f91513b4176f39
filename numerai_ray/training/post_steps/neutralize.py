"""Neutralize: what is linear in features or a benchmark is taken out, all of it or a part."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from numerai_ray.config import SCORE_BENCHMARK
from numerai_ray.config.sections import NeutralizeConfig
from numerai_ray.data.era_slabs import era_slabs
from numerai_ray.metrics.era_columns import EraMatrix, by_era, gaussianize
from numerai_ray.training.linear_parts import LinearParts
from numerai_ray.training.post_steps.base import Floats, PostFold, PostStep


class Neutralize(PostStep[NeutralizeConfig]):
    """``neutralize: {to: small, proportion: 0.5}``.

    One thread of BLAS does it, whoever calls: the last bit of the least squares depends on how many there are.
    """

    key: ClassVar[str] = "neutralize"

    def apply(self, prediction: Floats, asked: NeutralizeConfig, fold: PostFold) -> Floats:
        from numerai_ray.metrics.neutralization import linear_part, remove_part  # noqa: PLC0415, brings scipy.linalg

        plan, starts = fold.plan, fold.starts
        # Ranks, as the score looks at nothing else: the scale of a raw prediction would decide how much is linear.
        shape = by_era(gaussianize, prediction, starts)
        names = plan.neutralizers_of(fold.path)
        benchmark = plan.config.score.benchmark if SCORE_BENCHMARK in asked.names else None
        matrix = _neutralizers(fold, names, benchmark)
        against = (plan.index.fingerprint, fold.fold.validation_eras, names, benchmark)
        parts = fold.parts or LinearParts()
        part = parts.of(shape, against, lambda: linear_part(shape, matrix, starts, parts.threads))
        return remove_part(shape, part, asked.proportion)


def _neutralizers(fold: PostFold, names: Sequence[str], benchmark: str | None) -> EraMatrix:
    """What the fold's predictions are made neutral to: features, a benchmark, or both; eras are asked for in order."""
    index, eras = fold.plan.index, fold.fold.validation_eras
    ranges = [index.row_ranges([era])[0] for era in eras]
    column = None if benchmark is None else fold.columns.benchmarks[benchmark]
    slabs = None
    if names:
        slabs = fold.slabs(names) if fold.slabs else era_slabs(index, names, eras)

    def of_era(position: int) -> npt.NDArray[Any]:
        rows = slice(*ranges[position])
        parts: list[npt.NDArray[Any]] = [] if slabs is None else [next(slabs)]
        if column is not None:
            parts.append(column[np.newaxis, rows])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    return of_era
