"""A synthetic market in the exact file layout of Numerai v5.2 or v5.3, of any size, from a seed.

It stands in for the download in tests, in the quickstart and in rehearsals of a cluster, and because its
truth is known (``market_truth.json``) it also tells whether a line of research finds what is there.

How a row of era *e* comes about (drawn from ``SeedSequence([seed, 3, e])``, so that any era can be made
without the others; what belongs to the whole market is drawn from ``[seed, 0]``)::

    features   x_i = 5 bins of  sqrt(.25) F_k(i) + sqrt(.75) eps_i     k(i): a cluster of <= 25 of its group
               u_i = (x_i - 2) / sqrt 2
    component  g   = sum_i a_i u_i  +  sum_i b_i (u_i^2 - 1)  +  sum_ij c_ij u_i [u_j > 0]
                     with 70, 10 and 20 % of the variance; the k-th weight of a kind is k ** -.7 of the first
    signal     s_t = sqrt(1 - d_t) C(e) + sqrt(d_t) D(e)               C common, D distinct component
    target     y_t = bins of  m(e) h_t s_t + n_t                       5/20/50/20/5 % by rank in the era
    noise      n_t correlated over targets as in Numerai's data (jasper_20 with ender_20 .80 after binning)
    benchmark  b_t = rank of  .93 C + .34 S_t + .14 eps                S_t spurious component: no signal

*Common* is known to the benchmark, *distinct* is not and is what BMC pays for; d_t says how much of it a
target holds (.12 for ender_20, .45 for teager2b_20, so that training on teager2b_20 helps BMC a little). The
*spurious* component is why a model of the signal is not the benchmark. Regimes: the weights in C(e) and D(e),
and the strength m(e), swing as slow sines of the era, so that neighbouring eras score alike; the benchmark
holds the unswung components.

Twins, in markets of fewer than 6,000 rows an era: noise of 300 independent rows would give a per-era CORR a
std of .058, where Numerai's 6,000 give .013, and would hide signals of this size from any model. So the second
half of an era's rows are twins of the first: the same features but for 1 % of them, and noise correlated with
the twin's by -(1 - rows / 6000). Noise cancels within a pair, whatever function of the features looks at it,
and a small market is learned and scored as one of several times its rows. Row bagging breaks pairs and
therefore costs more here than on real data.

The number of features that carry signal grows with the root of the market's rows, sqrt(eras * rows / 800), at
least 6 and at most 27 % of the features: 12 for 400 x 300, 22 for 320 x 1,200, 96 for v5.2. With that, what a
model finds of the signal stays about the same. 80 % of them lie in the feature set ``medium``.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from numerai_ray.data.synthetic.era import draw_era
from numerai_ray.data.synthetic.layout import (
    EXAMPLE_PREDS_SCHEMA,
    LAYOUTS,
    META_MODEL_SCHEMA,
    TARGET_COLUMNS,
    feature_sets,
    market_schema,
    repeated,
)
from numerai_ray.data.synthetic.market import MarketSpec, draw_market, truth
from numerai_ray.system.files import whole_file, write_text

__all__ = ["MarketSpec", "write_market"]

# A row group of the files: whole eras, until one of these is reached.
_GROUP_CELLS, _GROUP_ROWS = 100_000_000, 50_000


def write_market(spec: MarketSpec, version_dir: Path, on_era: Callable[[int, int], None] | None = None) -> None:
    """Write the whole market into ``version_dir``, replacing what is there.

    Every file appears whole or not at all, features.json last: where it is, the market is complete. Memory is
    that of a few eras. ``on_era(done, total)`` is called after each era, live included; what it raises stops
    the writing and leaves no half file.

    Raises:
        EnvironmentFault: the folder cannot be written or the disk is full.

    """
    market, layout = draw_market(spec), LAYOUTS[spec.layout]
    version_dir.mkdir(parents=True, exist_ok=True)
    (version_dir / "features.json").unlink(missing_ok=True)
    schema = market_schema(market.names)
    total = spec.eras + 1
    with ExitStack() as files:

        def sink(name: str, file_schema: pa.Schema) -> _Sink:
            return files.enter_context(_sink(version_dir / name, file_schema))

        parts = {
            part: (
                sink(f"{part}.parquet", schema),
                sink(f"{part}_benchmark_models.parquet", layout.benchmark_schema),
            )
            for part in ("train", "validation", "live")
        }
        meta = sink("meta_model.parquet", META_MODEL_SCHEMA)
        examples = {
            part: sink(f"{part}_example_preds.parquet", EXAMPLE_PREDS_SCHEMA) for part in ("validation", "live")
        }
        for number in range(1, total + 1):
            part, era, data_type = _place(spec, number)
            block = draw_era(market, number)
            rows = len(block.ids)
            eras, types = repeated(era, rows), repeated(data_type, rows)
            parts[part][0].add([eras, types, *block.features, *block.targets, block.ids])
            if number >= spec.first_benchmark_era:
                parts[part][1].add([eras, *block.benchmarks, block.ids])
            if part == "validation" and number >= spec.first_meta_model_era:
                meta.add([eras, types, block.meta_model, block.ids])
            if part in examples:
                examples[part].add([block.example, block.ids])
            if on_era is not None:
                on_era(number, total)
    write_text(version_dir / "market_truth.json", json.dumps(truth(market), indent=1))
    sets = feature_sets(market.names, market.ranking, layout)
    features = {"feature_sets": sets, "targets": list(TARGET_COLUMNS)}
    write_text(version_dir / "features.json", json.dumps(features, indent=1))


def _place(spec: MarketSpec, number: int) -> tuple[str, str, str]:
    """File, era label and data_type of the ``number``-th era."""
    if number > spec.eras:
        return "live", "X", "live"
    if number <= spec.train_eras:
        return "train", f"{number:04d}", "train"
    return "validation", f"{number:04d}", "validation" if number <= spec.eras - spec.test_eras else "test"


@contextmanager
def _sink(path: Path, schema: pa.Schema) -> Iterator["_Sink"]:
    """One parquet file, there whole or not at all."""
    # Identifiers and ranks hardly repeat: a dictionary would only be built to be thrown away.
    repeating = [field.name for field in schema if field.name != "id" and field.type != pa.float64()]
    with (
        whole_file(path) as partial,
        pq.ParquetWriter(partial, schema, compression="zstd", compression_level=1, use_dictionary=repeating) as parquet,
    ):
        sink = _Sink(parquet, schema)
        yield sink
        sink.flush()


class _Sink:
    """Takes eras one by one and writes them a few at a time."""

    def __init__(self, parquet: pq.ParquetWriter, schema: pa.Schema):
        self._parquet = parquet
        self._schema = schema
        self._group_rows = min(_GROUP_ROWS, max(1, _GROUP_CELLS // len(schema)))
        self._pending: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, columns: list[Any]) -> None:
        arrays = [pa.array(column) for column in columns]
        self._pending.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows += len(arrays[0])
        if self._rows >= self._group_rows:
            self.flush()

    def flush(self) -> None:
        if self._pending:
            table = pa.Table.from_batches(self._pending, schema=self._schema)
            self._parquet.write_table(table, row_group_size=max(1, self._rows))
        self._pending, self._rows = [], 0
