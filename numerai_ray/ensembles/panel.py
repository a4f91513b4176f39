"""Panel: the rows that all candidates predict, read a candidate at a time, ranked into a file that is read era by era.

Memory is that of a few columns, whatever the number of candidates: each one's predictions are read, aligned,
gaussianized per era and written to a scratch file of 4 bytes a candidate and row, which is gone with the panel.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from numerai_ray.data.columns import UNREADABLE
from numerai_ray.data.dataset import DatasetIndex, load_columns
from numerai_ray.ensembles.candidates import Candidate
from numerai_ray.errors import DataError, EnvironmentFault
from numerai_ray.metrics.era_columns import FloatArray, is_constant
from numerai_ray.training.post import rank_gauss

OnStep = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Panel:
    """Rows in order of eras: ``target`` and ``benchmark`` (n,), NaN where unknown; ``scaled`` (k, n) float32.

    ``eras`` are those in which two rows or more know everything. ``prediction`` gives a candidate's own predictions
    (n,), as they were stored; ``equal`` (n,) is the mean of all candidates' :func:`rank_gauss`; ``ids`` are text.
    """

    eras: tuple[int, ...]
    era_starts: NDArray[np.int64]
    target: FloatArray
    benchmark: FloatArray
    scaled: NDArray[Any]
    equal: FloatArray
    prediction: Callable[[int], FloatArray]
    ids: pa.Array | None = None
    left_out_eras: int = 0

    @property
    def n_rows(self) -> int:
        return len(self.target)


def panel_of_columns(
    columns: Sequence[NDArray[Any]], target: FloatArray, benchmark: FloatArray, eras: Sequence[int], era_starts: Any
) -> Panel:
    """A panel of predictions that are in memory, each (n,), all of them known."""
    scaled = np.empty((len(columns), len(target)), np.float32)
    total = np.zeros(len(target))
    quantiles = untied_quantiles(np.asarray(era_starts))
    for position, each in enumerate(columns):
        ranked = scaled_ranks(np.asarray(each), quantiles, np.asarray(era_starts))
        scaled[position] = ranked
        total += ranked
    return Panel(
        eras=tuple(eras),
        era_starts=np.asarray(era_starts, np.int64),
        target=target,
        benchmark=benchmark,
        scaled=scaled,
        equal=total / len(columns),
        prediction=lambda position: np.asarray(columns[position], np.float64),
    )


def untied_quantiles(era_starts: NDArray[Any]) -> FloatArray:
    """(n,): :func:`rank_gauss` of rows that ascend within each era, which any column without ties has in its order."""
    return rank_gauss(np.arange(era_starts[-1]), era_starts)


def scaled_ranks(values: NDArray[Any], quantiles: FloatArray, era_starts: NDArray[Any]) -> FloatArray:
    """(n,): :func:`rank_gauss` of known values; in eras without ties the ``quantiles`` in their order."""
    result = np.empty(len(values))
    for start, stop in pairwise(era_starts.tolist()):
        era = values[start:stop]
        order = np.argsort(era)
        ordered = era[order]
        if (ordered[1:] == ordered[:-1]).any():
            result[start:stop] = rank_gauss(era, (0, stop - start))
        else:
            result[start:stop][order] = quantiles[start:stop]
    return result


@contextmanager
def open_panel(candidates: Sequence[Candidate], index: DatasetIndex, on_step: OnStep) -> Iterator[Panel]:
    """The panel of stored candidates, all of one score and data version, on the eras that all of them predict.

    Args:
        candidates: two or more.
        index: a data file with their common rows.
        on_step: told what is being read.

    Raises:
        DataError: a file is damaged, or there are no common rows, or the data are others than the candidates'.
        EnvironmentFault: the scratch file does not fit the disk.

    """
    ids, eras = _common(candidates, on_step)
    score, data = candidates[0].config.score, candidates[0].config.data
    on_step("reading target and benchmark")
    columns = load_columns(index, data, [score.target], [score.benchmark])
    where = pc.index_in(ids, value_set=pa.array(columns.ids).cast(pa.string()))
    if where.null_count:
        raise DataError(
            f"{index.path}: lacks {where.null_count:,} of {len(ids):,} rows that the experiments predicted; the data "
            f"were built or downloaded again since: give their data root with --data-dir"
        )
    rows = where.to_numpy()
    target = np.asarray(columns.targets[score.target], np.float64)[rows]
    benchmark = np.asarray(columns.benchmarks[score.benchmark], np.float64)[rows]
    keep, kept, starts = _scored_eras(eras, target, benchmark)
    if not kept:
        raise DataError(
            f"{index.benchmark_path}: no era in common has {score.target} and {score.benchmark}; use others"
        )
    ids, target, benchmark = ids.filter(pa.array(keep)), target[keep], benchmark[keep]
    with tempfile.TemporaryDirectory(prefix="numerai-ray-") as folder:
        path = Path(folder) / "scaled"
        needed, free = 4 * len(candidates) * len(target), shutil.disk_usage(folder).free
        if needed > 0.95 * free:
            raise EnvironmentFault(
                f"{folder}: {len(candidates)} candidates x {len(target):,} rows need {needed / 1e9:.1f} GB of scratch "
                f"space, but {free / 1e9:.1f} GB are free; set TMPDIR to a larger disk, or give fewer experiments"
            )
        on_step(f"reading predictions of {len(candidates)} candidates")
        scaled = np.memmap(path, np.float32, "w+", shape=(len(candidates), len(target)))
        total, quantiles = np.zeros(len(target)), untied_quantiles(starts)
        for position, candidate in enumerate(candidates):
            column = scaled_ranks(_prediction(candidate, ids), quantiles, starts)
            scaled[position] = column
            total += column
        yield Panel(
            eras=kept,
            era_starts=starts,
            target=target,
            benchmark=benchmark,
            scaled=scaled,
            equal=total / len(candidates),
            prediction=lambda position: _prediction(candidates[position], ids),
            ids=ids,
            left_out_eras=len(np.unique(eras)) - len(kept),
        )


def _common(candidates: Sequence[Candidate], on_step: OnStep) -> tuple[pa.Array, NDArray[np.int64]]:
    """Ids, in order of eras, that every candidate predicts, and the era of each."""
    first = min(candidates, key=lambda each: len(each.eras))
    ids, eras, known = _rows(first)
    keep = known & np.isin(eras, first.eras)
    ids, eras = ids.filter(pa.array(keep)), eras[keep]
    order = np.argsort(eras, kind="stable")
    ids, eras = ids.take(pa.array(order)), eras[order]
    on_step(f"matching rows of {len(candidates)} candidates")
    for candidate in candidates:
        if candidate is first:
            continue
        theirs, _, known = _rows(candidate)
        if known.all() and theirs.equals(ids):
            continue
        shared = pc.is_in(ids, value_set=theirs.filter(pa.array(known)))
        if not pc.all(shared).as_py():
            ids, eras = ids.filter(shared), eras[shared.to_numpy(zero_copy_only=False)]
    if not len(ids):
        raise DataError("the candidates have no row in common; give experiments on the same data version")
    return ids, eras


def _scored_eras(
    eras: NDArray[np.int64], target: FloatArray, benchmark: FloatArray
) -> tuple[NDArray[np.bool_], tuple[int, ...], NDArray[np.int64]]:
    """Which rows stay (n,), the eras in which a BMC can be had, and where these start among the rows that stay."""
    bounds = [0, *(np.flatnonzero(np.diff(eras)) + 1).tolist(), len(eras)]
    keep = np.zeros(len(eras), bool)
    kept, sizes = [], [0]
    for start, stop in pairwise(bounds):
        known = ~np.isnan(target[start:stop]) & ~np.isnan(benchmark[start:stop])
        if np.count_nonzero(known) > 1 and not is_constant(benchmark[start:stop][known]):
            keep[start:stop] = True
            kept.append(int(eras[start]))
            sizes.append(stop - start)
    return keep, tuple(kept), np.cumsum(sizes, dtype=np.int64)


def _rows(candidate: Candidate) -> tuple[pa.Array, NDArray[np.int64], NDArray[np.bool_]]:
    """Ids (n,) as text, their eras, and whether they are predicted."""
    data = candidate.config.data
    table = _table(candidate, [data.id_col, data.era_col, "prediction"])
    labels = table.column(data.era_col).combine_chunks().dictionary_encode()
    numbers = np.array([int(each) for each in labels.dictionary.to_pylist()], np.int64)
    eras = numbers[labels.indices.to_numpy(zero_copy_only=False)]
    predictions = table.column("prediction").to_numpy()
    return table.column(data.id_col).combine_chunks().cast(pa.string()), eras, ~np.isnan(predictions)


def _prediction(candidate: Candidate, ids: pa.Array) -> FloatArray:
    """(n,): its predictions of the rows with these ids."""
    table = _table(candidate, [candidate.config.data.id_col, "prediction"])
    theirs = table.column(candidate.config.data.id_col).combine_chunks().cast(pa.string())
    values = np.asarray(table.column("prediction").to_numpy(), np.float64)
    if theirs.equals(ids):
        return values
    return np.asarray(values[pc.index_in(ids, value_set=theirs).to_numpy()])


def _table(candidate: Candidate, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(candidate.predictions, columns=columns)
    except (KeyError, *UNREADABLE) as error:
        why = str(error).splitlines()[0]
        rule = f"`numerai-ray run {candidate.folder}` makes it again where its fits are stored"
        raise DataError(f"{candidate.predictions}: cannot be read ({why}); {rule}") from None
