"""Panel: the rows that all candidates predict, read a candidate at a time, ranked into a file that is read era by era.

Memory is that of a few columns, whatever the number of candidates: each one's predictions are read, aligned,
gaussianized per era and written to a scratch file of 4 bytes a candidate and row, which is gone with the panel. The
file is read and never mapped: pages of a mapped file would count as memory of the process.
"""

import shutil
import tempfile
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
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
from numerai_ray.system.machine import this_machine
from numerai_ray.training.post import rank_gauss

OnStep = Callable[[str], None]
FLOAT_BYTES = 4
# As many rows are sorted by one call, and as many columns at a time on a machine of many cores.
SORTED_ROWS, MOST_THREADS = 2**17, 4


class RankFile:
    """Columns (k, n) float32 in a file, written a column at a time and read by blocks of rows of all columns.

    The file has no name where the system knows such files: a process that is killed leaves nothing behind.
    """

    def __init__(self, n_rows: int):
        self.n_rows = n_rows
        self._file = tempfile.TemporaryFile(prefix="numerai-ray-")  # noqa: SIM115
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, column: NDArray[Any]) -> None:
        """Write the next column, (n,)."""
        self._file.write(np.ascontiguousarray(column, np.float32).data)
        self._count += 1

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """(k, stop - start): rows from ``start`` to before ``stop`` of every column."""
        self._file.flush()
        found = np.empty((self._count, stop - start), np.float32)
        for position, row in enumerate(found):
            self._file.seek(FLOAT_BYTES * (position * self.n_rows + start))
            self._file.readinto(row.data)
        return found

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True, eq=False)
class Panel:
    """Rows in order of eras: ``target`` and ``benchmark`` (n,), NaN where unknown; ``scaled`` (k, n) float32.

    ``scaled`` is in memory or a file; :func:`numerai_ray.ensembles.statistics.statistics_of` reads both.

    ``eras`` are those in which two rows or more know everything. ``prediction`` gives a candidate's own predictions
    (n,), as they were stored; ``equal`` (n,) is the mean of all candidates' :func:`rank_gauss`; ``ids`` are text.
    """

    eras: tuple[int, ...]
    era_starts: NDArray[np.int64]
    target: FloatArray
    benchmark: FloatArray
    scaled: NDArray[Any] | RankFile
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
    ranks = ranked_columns(lambda position: np.asarray(columns[position]), len(columns), np.asarray(era_starts))
    for position, ranked in enumerate(ranks):
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
    if not np.isfinite(values).all():
        return rank_gauss(values, era_starts)
    result = np.empty(len(values))
    starts: list[int] = era_starts.tolist()
    first = 0
    while first < len(starts) - 1:
        last = max(first + 1, bisect_right(starts, starts[first] + SORTED_ROWS) - 1)
        _rank_eras(values, quantiles, starts[first : last + 1], result)
        first = last
    return result


def _rank_eras(values: NDArray[Any], quantiles: FloatArray, starts: list[int], result: FloatArray) -> None:
    """Fill ``result`` for a few eras, sorted by one call: an era by itself is too short to be worth one."""
    begins, sizes = np.array(starts[:-1])[:, np.newaxis], np.diff(starts)[:, np.newaxis]
    if (sizes == sizes[0]).all():
        order = np.argsort(values[starts[0] : starts[-1]].reshape(len(sizes), -1), axis=1)
        places = (order + begins).ravel()
    else:
        # Shorter eras end with what is larger than all of theirs.
        within = np.arange(sizes.max())
        known = within < sizes
        padded = np.where(known, values[np.minimum(begins + within, starts[-1] - 1)], np.inf)
        places = (np.argsort(padded, axis=1) + begins)[known]
    ordered = values[places]
    result[places] = quantiles[starts[0] : starts[-1]]
    tied = np.flatnonzero(ordered[1:] == ordered[:-1]) + starts[0]
    for era in np.unique(np.searchsorted(starts, tied, side="right") - 1):
        start, stop = starts[era], starts[era + 1]
        result[start:stop] = rank_gauss(values[start:stop], (0, stop - start))


def ranked_columns(
    read: Callable[[int], NDArray[Any]], count: int, era_starts: NDArray[Any]
) -> Iterator[NDArray[np.float64]]:
    """:func:`scaled_ranks` of ``count`` columns, in order; ``read`` gives one by its position, in any thread.

    Reading and sorting leave Python's lock alone, so cores share them; few columns are in memory at a time.
    """
    quantiles, threads = untied_quantiles(era_starts), min(this_machine().cores, MOST_THREADS)

    def ranked(position: int) -> FloatArray:
        return scaled_ranks(read(position), quantiles, era_starts)

    waiting = deque[Future[FloatArray]]()
    with ThreadPoolExecutor(threads, "rank") as pool:
        for position in range(count):
            waiting.append(pool.submit(ranked, position))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


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
    rows_of = _common(candidates, on_step)
    ids, eras = rows_of.ids, rows_of.eras
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
    target, benchmark = target[keep], benchmark[keep]
    rows_of = rows_of.only(keep)
    folder = tempfile.gettempdir()
    needed, free = FLOAT_BYTES * len(candidates) * len(target), shutil.disk_usage(folder).free
    if needed > 0.95 * free:
        raise EnvironmentFault(
            f"{folder}: {len(candidates)} candidates x {len(target):,} rows need {needed / 1e9:.1f} GB of scratch "
            f"space, but {free / 1e9:.1f} GB are free; set TMPDIR to a larger disk, or give fewer experiments"
        )
    on_step(f"reading predictions of {len(candidates)} candidates")
    total = np.zeros(len(target))
    with closing(RankFile(len(target))) as scaled:
        for column in ranked_columns(rows_of.prediction, len(candidates), starts):
            scaled.append(column)
            total += column
        yield Panel(
            eras=kept,
            era_starts=starts,
            target=target,
            benchmark=benchmark,
            scaled=scaled,
            equal=total / len(candidates),
            prediction=rows_of.prediction,
            ids=rows_of.ids,
            left_out_eras=len(np.unique(eras)) - len(kept),
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows that every candidate predicts, in order of eras: ``ids`` (n,) and ``eras`` (n,).

    ``places`` (n,) are where they stand in the files of those candidates, by position, that are ``alike``: most of one
    experiment's files hold the same ids in the same order, and these need not be looked up again.
    """

    candidates: Sequence[Candidate]
    ids: pa.Array
    eras: NDArray[np.int64]
    places: NDArray[np.int64]
    alike: frozenset[int]

    def only(self, keep: NDArray[np.bool_]) -> "_Rows":
        """Some of the rows, by ``keep`` (n,)."""
        ids = self.ids if keep.all() else self.ids.filter(pa.array(keep))
        return _Rows(self.candidates, ids, self.eras[keep], self.places[keep], self.alike)

    def prediction(self, position: int) -> FloatArray:
        """(n,): what a candidate predicts of the rows."""
        candidate = self.candidates[position]
        if position in self.alike:
            return np.asarray(_numbers(_table(candidate, ["prediction"]))[self.places])
        table = _table(candidate, [candidate.id_col, "prediction"])
        places = pc.index_in(self.ids, value_set=_ids(table, candidate)).to_numpy()
        return np.asarray(_numbers(table)[places])


def _common(candidates: Sequence[Candidate], on_step: OnStep) -> _Rows:
    """Rows, in order of eras, that every candidate predicts."""
    first = min(candidates, key=lambda each: len(each.eras))
    table = _table(first, [first.id_col, first.era_col, "prediction"])
    own, eras = _ids(table, first), _eras(table, first)
    places = np.flatnonzero(~np.isnan(_numbers(table)) & np.isin(eras, first.eras))
    places = places[np.argsort(eras[places], kind="stable")]
    del table
    on_step(f"matching rows of {len(candidates)} candidates")
    alike, shared = set[int](), np.ones(len(places), bool)
    for position, candidate in enumerate(candidates):
        theirs = _table(candidate, [candidate.id_col, "prediction"])
        their_ids, known = _ids(theirs, candidate), ~np.isnan(_numbers(theirs))
        if their_ids.equals(own):
            alike.add(position)
            shared &= known[places]
        else:
            found = pc.is_in(own.take(pa.array(places)), value_set=their_ids.filter(pa.array(known)))
            shared &= found.to_numpy(zero_copy_only=False)
    places = places[shared]
    if not len(places):
        raise DataError("the candidates have no row in common; give experiments on the same data version")
    return _Rows(candidates, own.take(pa.array(places)), eras[places], places, frozenset(alike))


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


def _ids(table: pa.Table, candidate: Candidate) -> pa.Array:
    """(n,) ids as text."""
    return table.column(candidate.id_col).combine_chunks().cast(pa.string())


def _eras(table: pa.Table, candidate: Candidate) -> NDArray[np.int64]:
    labels = table.column(candidate.era_col).combine_chunks().dictionary_encode()
    numbers = np.array([int(each) for each in labels.dictionary.to_pylist()], np.int64)
    return np.asarray(numbers[labels.indices.to_numpy(zero_copy_only=False)])


def _numbers(table: pa.Table) -> FloatArray:
    return np.asarray(table.column("prediction").to_numpy(), np.float64)


def _table(candidate: Candidate, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(candidate.predictions, columns=columns)
    except (KeyError, *UNREADABLE) as error:
        why = str(error).splitlines()[0]
        rule = f"`numerai-ray run {candidate.folder}` makes it again where its fits are stored"
        raise DataError(f"{candidate.predictions}: cannot be read ({why}); {rule}") from None
