"""Contents: what the eras of a data file hold, as digests; what of it is read decides a fit, and the rest does not.

A new week, a label that is resolved later or a new column leaves the digests of everything else as they are. They come
from the file beside the data (:mod:`numerai_ray.data.digests`); what that lacks is made here, once, and kept there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from numerai_ray.config import DataConfig, fingerprint
from numerai_ray.data.columns import texts
from numerai_ray.data.dataset import META_MODEL, DatasetIndex, eras_of_rows, file_fingerprint, open_parquet, read_group
from numerai_ray.data.digests import (
    HASHES,
    SIZE,
    Digests,
    EraDigester,
    Kind,
    Table,
    column_key,
    read_digests,
    write_digests,
)
from numerai_ray.data.era_slabs import era_slabs
from numerai_ray.data.eras import TODAY, Hash
from numerai_ray.errors import DataError
from numerai_ray.system.storage import Place


class Contents:
    """The eras of one indexed file and of its benchmark file; every array here is (n_eras, 16), in order of eras."""

    def __init__(self, index: DatasetIndex, data: DataConfig, hashed: Hash = TODAY):
        self._index = index
        self._data = data
        self._hashed = hashed
        self._held: Digests | None = None
        self._features: dict[str, Table] = {}

    @cached_property
    def twins(self) -> "tuple[Contents, ...]":
        """The same eras by other hashes, as far as digests of these are kept: fits may be stored under their keys."""
        kept = read_digests(self._index.path, self._index.fingerprint, self._data.era_col)
        places = {} if kept is None else kept.places
        held = [each for each in HASHES if column_key("text", self._data.id_col, each) in places]
        return tuple(Contents(self._index, self._data, each) for each in held if each != self._hashed)

    def features(self, names: Sequence[str]) -> Table:
        """What eras hold in some features, in this order.

        Raises:
            DataError: the file cannot be read, or a feature is none.

        """
        key = fingerprint(list(names), digits=64)
        if key not in self._features:
            digests = self._digests("int8", names)
            self._features[key] = np.stack([_combined(each.tobytes()) for each in digests])
        return self._features[key]

    def ids(self) -> Table:
        """The ids of the rows of each era; raises :class:`~numerai_ray.errors.DataError`."""
        return self._digests("text", [self._data.id_col])[:, 0]

    def target(self, name: str) -> Table:
        """What eras hold in a target; raises :class:`~numerai_ray.errors.DataError`."""
        return self._digests("float32", [name])[:, 0]

    def benchmark(self, name: str) -> Table:
        """What a benchmark predicts for the rows of each era, zeros where it has none.

        Rows of the two files belong together by their ids. Where both files hold the same ids in the same eras, an era
        is decided by what the benchmark file holds there; else by all of that file, and by the era's own ids.

        Raises:
            DataError: a file cannot be read.

        """
        ids = self.ids()
        path, bench = self._index.benchmark_path, self._bench
        if name == META_MODEL and self._index.meta_model_path is not None:
            path, bench = self._index.meta_model_path, self._meta
        known = set(self._index.eras)
        # The meta model is one file for the full and the downsampled data: weeks that the data leave out say nothing.
        shared = [era in known for era in bench.eras] if bench is not None else []
        if bench is None or not (name == META_MODEL or all(shared)) or not bench.follows(self._index.eras, ids):
            whole = file_fingerprint(path).encode()
            return np.stack([_combined(whole + each.tobytes()) for each in ids])
        found = np.zeros((len(self._index.eras), SIZE), np.uint8)
        eras = [era for era, there in zip(bench.eras, shared, strict=True) if there]
        found[self._index.positions(eras)] = bench.column(name)[shared]
        return found

    def read(self, table: Table, eras: Sequence[int]) -> str:
        """64 hex digits of what ``table``, one of the arrays here, says of ascending ``eras``."""
        return hashlib.sha256(table[self._index.positions(eras)].tobytes()).hexdigest()

    @cached_property
    def _meta(self) -> "_Benchmarks | None":
        try:
            return (
                None if (path := self._index.meta_model_path) is None else _Benchmarks(path, self._data, self._hashed)
            )
        except DataError:
            return None

    @cached_property
    def _bench(self) -> "_Benchmarks | None":
        if self._data.era_col not in self._index.benchmark_columns:
            return None
        try:
            return _Benchmarks(self._index.benchmark_path, self._data, self._hashed)
        except DataError:  # eras that are no numbers: rows are matched by their ids all the same
            return None

    def _digests(self, kind: Kind, names: Sequence[str]) -> Table:
        """(n_eras, n, 16) of columns of the data file; those that nobody made so far are made."""
        index = self._index
        if self._held is None:
            kept = read_digests(index.path, index.fingerprint, self._data.era_col)
            nothing = Digests(index.eras, (), np.empty((len(index.eras), 0, SIZE), np.uint8))
            self._held = kept if kept is not None and kept.eras == index.eras else nothing
        keys = [column_key(kind, name, self._hashed) for name in names]
        lacking = [name for name, key in zip(names, keys, strict=True) if key not in self._held.places]
        if lacking:
            made = self._made(kind, lacking)
            self._held = self._held.with_more(made.columns, made.values)
            write_digests(index.path, index.fingerprint, self._data.era_col, self._held)
        return self._held.of(keys)

    def _made(self, kind: Kind, names: Sequence[str]) -> Digests:
        index = self._index
        digester = EraDigester(dict.fromkeys(names, kind), self._hashed)
        if kind == "int8":
            for era, slab in zip(index.eras, era_slabs(index, names, index.eras), strict=True):
                digester.add(dict(zip(names, slab, strict=True)), np.full(slab.shape[1], era))
            return digester.finish()
        rows = np.repeat(index.eras, np.diff(index.era_starts))
        digester.add({name: _column(index.path, name, kind, index.order) for name in names}, rows)
        return digester.finish()


class _Benchmarks:
    """The eras of a benchmark file, as its own era column has them."""

    def __init__(self, path: Place, data: DataConfig, hashed: Hash):
        self._path = path
        self._data = data
        self._hashed = hashed
        self._print = file_fingerprint(path)
        self._held = read_digests(path, self._print, data.era_col) or self._with(None, "text", data.id_col)
        if column_key("text", data.id_col, hashed) not in self._held.places:
            self._held = self._with(self._held, "text", data.id_col)
        self.eras = self._held.eras

    def follows(self, eras: Sequence[int], ids: Table) -> bool:
        """Whether the eras in both files have the same ids; a data file's ``eras`` have ``ids`` (n_eras, 16)."""
        theirs = {era: each.tobytes() for era, each in zip(eras, ids, strict=True)}
        own = self.column(self._data.id_col, "text")
        return all(theirs.get(era, each.tobytes()) == each.tobytes() for era, each in zip(self.eras, own, strict=True))

    def column(self, name: str, kind: Kind = "float64") -> Table:
        """(n_eras of the benchmark file, 16)."""
        key = column_key(kind, name, self._hashed)
        if key not in self._held.places:
            self._held = self._with(self._held, kind, name)
        return self._held.of([key])[:, 0]

    def _with(self, held: Digests | None, kind: Kind, name: str) -> Digests:
        file = open_parquet(self._path, "build it again")
        eras = eras_of_rows(file, self._path, self._data.era_col)
        order = np.argsort(eras, kind="stable") if np.any(np.diff(eras) < 0) else None
        digester = EraDigester({name: kind}, self._hashed)
        digester.add({name: _column(self._path, name, kind, order)}, eras if order is None else eras[order])
        made = digester.finish()
        held = made if held is None else held.with_more(made.columns, made.values)
        write_digests(self._path, self._print, self._data.era_col, held)
        return held


def _column(path: Place, name: str, kind: Kind, order: npt.NDArray[np.int64] | None) -> object:
    """A column of a file, sorted by era."""
    file = open_parquet(path, "build it again")
    table = pa.concat_tables([read_group(file, group, [name], path) for group in range(file.num_row_groups)])
    column = table.column(0)
    if kind == "text":
        try:
            column = texts(column)
        except ValueError as error:
            raise DataError(f"{path}: ids {error}; write them so") from None
    return column if order is None else column.take(order)


def _combined(content: bytes) -> Table:
    return np.frombuffer(hashlib.blake2b(content, digest_size=SIZE).digest(), np.uint8)


def fit_content(
    contents: Contents,
    eras: tuple[Sequence[int], Sequence[int]],
    features: Sequence[str],
    target: str,
    benchmarks: Mapping[str, bool],
) -> dict[str, object]:
    """What of the data a fit reads, as hex digits; equal for equal contents, wherever they lie.

    Args:
        contents: of its file.
        eras: those that it is trained on and those that it predicts.
        features: its features, in their order.
        target: that it learns.
        benchmarks: columns that are looked at while training, and whether they are when it predicts.

    """
    trained, predicted = eras
    values = contents.features(features)
    found: dict[str, object] = {
        "features": [contents.read(values, each) for each in eras],
        "target": contents.read(contents.target(target), trained),
    }
    if benchmarks:
        found["benchmarks"] = {
            name: [contents.read(table, trained), contents.read(table, predicted) if both else ""]
            for name, both in benchmarks.items()
            for table in [contents.benchmark(name)]
        }
    return found
