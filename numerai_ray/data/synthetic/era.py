"""One era of a synthetic market, made from its own random numbers alone.

The formulas stand in `synthetic`.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from numerai_ray.data.synthetic.layout import (
    HORIZON_CORRELATION,
    MAIN_TARGET,
    NOISE_CORRELATION,
    TARGET_COLUMNS,
    TARGET_NAMES,
    fractional_ranks,
    row_ids,
)
from numerai_ray.data.synthetic.market import (
    BENCHMARK_MIX,
    CLUSTER_VARIANCE,
    SIGNAL,
    STRENGTH,
    Floats,
    Market,
    era_rows,
)

_BIN_EDGES = (-0.8416212, -0.2533471, 0.2533471, 0.8416212)  # normal quantiles of 20, 40, 60 and 80 %
_TARGET_BINS = (0.05, 0.25, 0.75, 0.95)  # cumulative shares
_JEREMY_NAN = 0.15
_LUCK_ROWS = 6000  # the era size whose luck every era has
_TWIN_CHANGES = 0.01  # share of features in which a row differs from its twin


@dataclass(frozen=True)
class Era:
    """One era as arrays whose last axis is the rows."""

    ids: pa.StringArray
    features: npt.NDArray[np.int8]  # (features, rows)
    targets: Floats  # (41, rows), NaN where unknown
    benchmarks: npt.NDArray[np.float64]  # (one line a benchmark, rows), in (0, 1)
    meta_model: npt.NDArray[np.float64]
    example: npt.NDArray[np.float64]


def draw_era(market: Market, era: int) -> Era:
    """Make era ``era``, from its own random numbers alone."""
    spec = market.spec
    rng = np.random.default_rng([spec.seed, 3, era])
    rows = era_rows(spec, era)
    x = _draw_features(market, rng, era, rows)
    common_terms, distinct_terms = market.common.terms(x), market.distinct.terms(x)
    common, distinct = _standardized(common_terms.sum(axis=0)), _standardized(distinct_terms.sum(axis=0))
    common_now = _standardized((common_terms * market.common.swing(era)).sum(axis=0))
    distinct_now = _standardized((distinct_terms * market.distinct.swing(era)).sum(axis=0))
    shared, *own = [_standardized(component.terms(x).sum(axis=0)) for component in market.spurious]
    spurious = np.float32(math.sqrt(0.7)) * shared + np.float32(math.sqrt(0.3)) * np.stack(own)
    known, mistaken, fresh = (np.float32(part) for part in BENCHMARK_MIX)
    noise = rng.standard_normal((len(market.spurious) + 1, rows), dtype=np.float32)
    benchmarks = known * common + mistaken * spurious + fresh * noise[:-2]
    # The meta model knows a little of what the benchmark does not; the example is a plain, weaker model.
    meta = 0.8 * common + 0.4 * distinct + 0.3 * shared + 0.3 * noise[-2]
    example = 0.6 * common + 0.3 * distinct + 0.5 * shared + 0.5 * noise[-1]
    targets = np.full((len(TARGET_COLUMNS), rows), np.nan, dtype=np.float32)
    if era <= spec.eras - spec.test_eras:
        latent = _target_noise(market, rng, rows) + _strength(market, era) * _signals(common_now, distinct_now)
        targets[1:] = _binned(latent)
        targets[0] = targets[TARGET_COLUMNS.index(MAIN_TARGET)]
        _forget(targets, rng, unresolved_60=era > spec.eras - spec.test_eras - spec.unresolved_60_eras)
    return Era(
        ids=row_ids(spec.seed, era, rows),
        features=x,
        targets=targets,
        benchmarks=fractional_ranks(benchmarks),
        meta_model=fractional_ranks(meta),
        example=fractional_ranks(example),
    )


def _draw_features(market: Market, rng: np.random.Generator, era: int, rows: int) -> npt.NDArray[np.int8]:
    alone = rows - _twins(market, rows)  # the rest are twins of the first ones
    clusters = int(market.clusters.max()) + 1
    factors = rng.standard_normal((clusters, alone), dtype=np.float32) * np.float32(math.sqrt(CLUSTER_VARIANCE))
    x = np.empty((market.spec.features, rows), dtype=np.int8)
    own = np.float32(math.sqrt(1 - CLUSTER_VARIANCE))
    for start in range(0, market.spec.features, 256):  # few at a time: they stay in the cache
        part = slice(start, min(start + 256, market.spec.features))
        latent = rng.standard_normal((part.stop - start, alone), dtype=np.float32)
        latent *= own
        latent += factors[market.clusters[part]]
        first, *others = (latent > np.float32(edge) for edge in _BIN_EDGES)
        total = first.view(np.int8)
        for above in others:
            total += above.view(np.int8)
        x[part, :alone] = total
    if alone < rows:
        twins = np.ascontiguousarray(x[:, : rows - alone])
        changes = round(_TWIN_CHANGES * twins.size)
        twins.ravel()[rng.integers(0, twins.size, changes)] = rng.integers(0, 5, changes, dtype=np.int8)
        x[:, alone:] = twins
    x[market.first_eras > era] = 2
    return x


def _twins(market: Market, rows: int) -> int:
    """How many rows, the last ones of an era, are twins of its first ones."""
    return rows // 2 if market.spec.rows < _LUCK_ROWS else 0


def _strength(market: Market, era: int) -> float:
    """How strong the signal is in ``era``: mean 1, std .39, slow."""
    slow, fast = market.strength_phases
    return 1 + 0.5 * math.sin(2 * math.pi * (era / 61 + slow)) + 0.25 * math.sin(2 * math.pi * (era / 23 + fast))


def _signals(common: Floats, distinct: Floats) -> Floats:
    """Mix the signal of every target, at its strength, (40, rows)."""
    table = np.array([SIGNAL[name] for name in TARGET_NAMES], dtype=np.float32)
    share, strength = table[:, :1], table[:, 1:]
    signals = np.sqrt(1 - share) * common + np.sqrt(share) * distinct
    scaled: Floats = (np.float32(STRENGTH) * strength * signals).astype(np.float32)
    return scaled


def _target_noise(market: Market, rng: np.random.Generator, rows: int) -> Floats:
    """Noise of every target, (40, rows): unit variance, correlated with ender's of the same horizon."""
    noise = rng.standard_normal((len(TARGET_NAMES), rows), dtype=np.float32)
    twins = _twins(market, rows)
    if twins > 0:
        first, twin = noise[:, :twins], noise[:, rows - twins :]
        opposite = 1 - market.spec.rows / _LUCK_ROWS
        twin *= np.float32(math.sqrt(1 - opposite**2))
        twin -= np.float32(opposite) * first
    ender_20, ender_60 = TARGET_NAMES.index("ender_20"), TARGET_NAMES.index("ender_60")
    root_20 = noise[ender_20].copy()
    own_60 = np.float32(math.sqrt(1 - HORIZON_CORRELATION**2))
    root_60 = np.float32(HORIZON_CORRELATION) * root_20 + own_60 * noise[ender_60]
    weights = np.array(list(NOISE_CORRELATION.values()), dtype=np.float32)[:, None]
    rest = np.sqrt(1 - weights**2)
    noise[0::2] = weights * root_20 + rest * noise[0::2]
    noise[1::2] = weights * root_60 + rest * noise[1::2]
    return noise


def _binned(latent: Floats) -> Floats:
    """Cut every line of ``latent`` (n, rows) by rank into 0, .25, .5, .75, 1 at 5, 20, 50, 20, 5 %."""
    rows = latent.shape[1]
    borders = [round(share * rows) for share in _TARGET_BINS]
    in_order = np.repeat(np.arange(5, dtype=np.float32) / 4, np.diff([0, *borders, rows]))
    binned = np.empty_like(latent)
    order = np.argsort(latent, axis=1, kind="stable")
    np.put_along_axis(binned, order, np.broadcast_to(in_order, latent.shape), axis=1)
    return binned


def _forget(targets: Floats, rng: np.random.Generator, *, unresolved_60: bool) -> None:
    """Turn into NaN what is unknown: some of jeremy, and 60-day targets of the last labelled eras."""
    unknown = rng.random(targets.shape[1]) < _JEREMY_NAN
    for line, column in enumerate(TARGET_COLUMNS):
        if column.startswith("target_jeremy"):
            targets[line, unknown] = np.nan
        if unresolved_60 and column.endswith("_60"):
            targets[line] = np.nan


def _standardized(values: Floats) -> Floats:
    centred: Floats = values - values.mean(dtype=np.float64).astype(np.float32)
    spread = float(np.sqrt(np.mean(centred**2, dtype=np.float64)))
    # All features of a tiny component can be missing in an early era: then it says nothing there.
    centred /= np.float32(spread if spread > 0 else 1)
    return centred
