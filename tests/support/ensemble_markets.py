"""Predictions whose best blend is known, and per-era sums of candidates without any skill."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from numerai_ray.ensembles.panel import Panel, panel_of_columns
from numerai_ray.ensembles.statistics import EraStatistics, untied_std

BINS = (0.05, 0.25, 0.75, 0.95)
# Part of the target's variance that the factors explain is the square of this.
STRENGTH = 0.15
OVERLAP = 4


@dataclass(frozen=True)
class PlantedSpec:
    """Rows of a market of ``factors`` independent signals; ``useful`` candidates know one each, the rest none.

    The target is the benchmark's own signal, all factors by ``shares``, and noise; a useful candidate is its factor by
    ``quality`` and noise of its own. ``alike`` is how much of the benchmark is in each candidate.
    """

    eras: int = 240
    rows: int = 150
    candidates: int = 30
    shares: tuple[float, ...] = (0.8, 0.6, 0.4)
    quality: float = 0.7
    alike: float = 0.4
    strength: float = STRENGTH
    seed: int = 0


def planted(spec: PlantedSpec) -> tuple[Panel, NDArray[np.float64]]:
    """A market, and the weights (k,) of the blend with the highest expected BMC: useful ones by their shares."""
    rng = np.random.default_rng([spec.seed, spec.eras, spec.rows])
    n, count = spec.eras * spec.rows, len(spec.shares)
    shares = np.array(spec.shares)
    factors = rng.standard_normal((count, n), np.float32)
    benchmark = rng.standard_normal(n, np.float32)
    # Without useful candidates the target knows the benchmark alone.
    signal = 0.45 * benchmark + 0.9 * (shares @ factors) / np.sqrt(max((shares**2).sum(), 1e-12))
    latent = spec.strength * signal + np.sqrt(1 - spec.strength**2) * rng.standard_normal(n, np.float32)
    columns = []
    for candidate in range(spec.candidates):
        own = rng.standard_normal(n, np.float32)
        if candidate < count:
            own = spec.quality * factors[candidate] + np.sqrt(1 - spec.quality**2) * own
        columns.append((np.sqrt(1 - spec.alike**2) * own + spec.alike * benchmark).astype(np.float32))
    best = np.zeros(spec.candidates)
    best[:count] = shares / shares.sum()
    # In the order of luck, so that no position tells.
    order = rng.permutation(spec.candidates)
    target = np.digitize(latent, np.quantile(latent, BINS)) / 4
    numbers = tuple(range(101, 101 + spec.eras))
    starts = np.arange(spec.eras + 1) * spec.rows
    shuffled = [columns[place] for place in order]
    panel = panel_of_columns(shuffled, target, benchmark.astype(np.float64), numbers, starts)
    return panel, best[order]


def overlapping(rng: np.random.Generator, eras: int, count: int) -> NDArray[np.float64]:
    """(eras, count) of unit variance that move together as labels of neighbouring weeks do."""
    shocks = rng.standard_normal((eras + OVERLAP, count))
    sums = np.cumsum(np.vstack([np.zeros((1, count)), shocks]), axis=0)
    return (sums[OVERLAP + 1 :] - sums[: -OVERLAP - 1]) / np.sqrt(OVERLAP + 1)


def noise_statistics(eras: int, candidates: int, seed: int, rows: int = 1200) -> EraStatistics:
    """Sums of candidates that know nothing: groups that resemble each other, all somewhat like the benchmark.

    The gain of each era is the chance product of a candidate and the residual target, so its covariance is that of what
    is left of the candidates without the benchmark.
    """
    rng = np.random.default_rng([seed, eras, candidates])
    group = rng.integers(max(1, candidates // 10), size=candidates)
    alike = rng.uniform(0.2, 0.7, candidates)
    rest = np.where(group[:, None] == group, 0.6, 0.2)
    np.fill_diagonal(rest, 1.0)
    scale = np.sqrt(1 - alike**2)
    rest *= scale[:, None] * scale
    noise = overlapping(rng, eras, candidates) @ np.linalg.cholesky(rest).T
    gain = 0.894 * untied_std(rows) / np.sqrt(rows) * noise
    products = np.broadcast_to((rest + np.outer(alike, alike)).astype(np.float32), (eras, candidates, candidates))
    likeness = np.broadcast_to(alike, (eras, candidates))
    return EraStatistics(np.arange(101, 101 + eras), gain, products, likeness, likeness, np.zeros(eras))
