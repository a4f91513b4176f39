"""What a synthetic market is: its size, and everything about it that holds for every era.

The formulas stand in `synthetic`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.data.synthetic.layout import (
    LAYOUTS,
    TARGET_NAMES,
    feature_names,
    group_sizes,
    medium_size,
    small_size,
)
from numerai_ray.errors import RequestError

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

# Shares of v5.2's 1,233 eras: last training era, first era with benchmarks, first with a meta model.
_ERAS, _TRAIN_ERAS, _BENCHMARK_ERA, _META_ERA = 1233, 574, 158, 888
_TEST_ERAS, _UNRESOLVED_60_ERAS = 4, 8  # 20-day labels wait 4 weeks, 60-day ones 8 weeks more
_MISSING_SHARE, _MISSING_ERAS = 0.15, 0.1  # of the features, in the first part of the eras
_CLUSTER_FEATURES = 25

_DECAY = 0.7  # the k-th largest weight of a kind is k ** -.7 of the largest
_LINEAR, _CURVED, _GATED = 0.70, 0.10, 0.20  # shares of a component's variance
CLUSTER_VARIANCE = 0.25  # correlation of two features of one cluster, before they are cut into bins
BENCHMARK_MIX = (0.93, 0.34, 0.14)  # common, spurious, fresh noise
STRENGTH = 0.045  # h of ender_20: correlation of signal and latent target

# Per target: share of the distinct component in its signal, and strength relative to ender_20.
SIGNAL = dict.fromkeys(TARGET_NAMES, (0.12, 1.0)) | {
    "teager2b_20": (0.45, 1.20),
    "teager2b_60": (0.35, 1.20),
    "jasper_20": (0.20, 1.10),
    "jasper_60": (0.20, 1.20),
    "ender_60": (0.20, 1.25),
    "cyrusd_20": (0.10, 1.10),
    "cyrusd_60": (0.15, 1.20),
}


@dataclass(frozen=True)
class MarketSpec:
    """Size, seed and layout of a market; the defaults are those of v5.2.

    ``eras`` counts train, validation and the unlabelled tail, not live. ``rows`` is the mean number of rows
    an era over all of them; the first eras have less than half of it, as in Numerai's data.
    """

    eras: int = 1233
    rows: int = 6000
    features: int = 2748
    seed: int = 0
    layout: str = "v5.2"  # the data version whose files it looks like

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise RequestError(f"A synthetic market has the layout of {' or '.join(LAYOUTS)}, but got {self.layout!r}.")
        limits = {"eras": (10, 9999), "rows": (50, 1_000_000), "features": (4, 100_000), "seed": (0, 2**32)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise RequestError(f"A synthetic market needs {low} <= {name} <= {high}, but got {name}={value}.")

    @property
    def train_eras(self) -> int:
        return round(self.eras * _TRAIN_ERAS / _ERAS)

    @property
    def test_eras(self) -> int:
        """Eras at the end without labels (data_type ``test``)."""
        return max(1, min(_TEST_ERAS, self.eras // 20))

    @property
    def unresolved_60_eras(self) -> int:
        """Labelled eras before them that have 20-day labels but no 60-day ones yet."""
        return max(1, min(_UNRESOLVED_60_ERAS, self.eras // 10))

    @property
    def first_benchmark_era(self) -> int:
        return max(1, round(self.eras * _BENCHMARK_ERA / _ERAS))

    @property
    def first_meta_model_era(self) -> int:
        return max(self.train_eras + 1, round(self.eras * _META_ERA / _ERAS))

    @property
    def signal_features(self) -> int:
        most = max(3, round(0.27 * self.features))
        return min(most, max(6, round(math.sqrt(self.eras * self.rows / 800))))


def era_rows(spec: MarketSpec, era: int) -> int:
    """Rows of era ``era`` (1 is the first, ``spec.eras + 1`` is live).

    Numerai's train eras grow from 2,314 rows to 6,009 with mean 4,784, hence the root; later ones hold about
    6,250, live about 6,900. All are scaled so that the mean over the market is ``spec.rows``.
    """
    train = spec.train_eras
    mean = (train * 4784 + (spec.eras - train) * 6250) / spec.eras
    if era > spec.eras:
        base = 6900.0
    elif era > train:
        base = 6250.0
    else:
        base = 2314 + (6009 - 2314) * math.sqrt((era - 0.5) / train)
    wobble = 1 + 0.01 * math.sin(1.7 * era)  # no two eras of one size: code that counts on it should fail here
    return round(spec.rows * base / mean * wobble)


@dataclass(frozen=True)
class Component:
    """One function of the features; indices are columns, weights float32, one list a kind of term."""

    linear: Ints
    linear_weights: Floats
    curved: Ints
    curved_weights: Floats
    gated: Ints
    gates: Ints
    gated_weights: Floats
    phases: Floats  # of the slow swing of every term: linear, then curved, then gated

    @staticmethod
    def draw(rng: np.random.Generator, columns: Ints, features: int) -> "Component":
        """Draw a component on ``columns``: each linear, a quarter curved, half gated by any other one."""
        curved = columns[: max(1, len(columns) // 4)]
        gated = columns[len(columns) // 2 :]

        def weights(count: int, variance: float) -> Floats:
            size = np.arange(1, count + 1) ** -_DECAY
            raw = size * rng.choice([-1.0, 1.0], count)
            scaled: Floats = (raw * math.sqrt(variance / float(np.sum(raw**2)))).astype(np.float32)
            return scaled

        # u^2 - 1 has variance .7 and u [v > 0] has variance .4 when u and v take five values evenly.
        return Component(
            linear=columns,
            linear_weights=weights(len(columns), _LINEAR),
            curved=curved,
            curved_weights=weights(len(curved), _CURVED / 0.7),
            gated=gated,
            gates=(gated + rng.integers(1, features, len(gated))) % features,
            gated_weights=weights(len(gated), _GATED / 0.4),
            phases=rng.uniform(0, 1, len(columns) + len(curved) + len(gated)).astype(np.float32),
        )

    def terms(self, x: npt.NDArray[np.int8]) -> Floats:
        """Compute every term of every row, (terms, rows), from features (features, rows)."""
        linear = unit(x[self.linear])
        curved = unit(x[self.curved]) ** 2 - np.float32(1)
        gated = unit(x[self.gated]) * (x[self.gates] > 2)
        return np.concatenate(
            [
                linear * self.linear_weights[:, None],
                curved * self.curved_weights[:, None],
                gated * self.gated_weights[:, None],
            ]
        )

    def swing(self, era: int) -> Floats:
        """Return the factor of every term in ``era``, (terms, 1): mean 1, periods of 40 to 160 eras."""
        periods = 40 + 120 * np.modf(self.phases * 7.3)[0]
        swings: Floats = (1 + 0.25 * np.sin(2 * np.pi * (era / periods + self.phases))).astype(np.float32)
        return swings[:, None]


@dataclass(frozen=True)
class Market:
    """All that holds for every era."""

    spec: MarketSpec
    names: tuple[str, ...]
    ranking: tuple[int, ...]
    clusters: Ints  # (features,) cluster of each feature
    first_eras: Ints  # (features,) the era from which a feature is present
    common: Component
    distinct: Component
    spurious: tuple[Component, ...]  # one shared, then one for each benchmark
    strength_phases: tuple[float, float]


def draw_market(spec: MarketSpec) -> Market:
    rng = np.random.default_rng([spec.seed, 0])
    features = spec.features
    ranking = rng.permutation(features)
    layout = LAYOUTS[spec.layout]
    small, medium = small_size(features, layout), medium_size(features, layout)
    count = spec.signal_features
    in_medium = min(max(round(0.8 * count), count - (features - medium)), medium)
    in_small = max(min(round(0.25 * in_medium), small), in_medium - (medium - small))
    inner = np.concatenate(
        [
            rng.choice(ranking[:small], in_small, replace=False),
            rng.choice(ranking[small:medium], in_medium - in_small, replace=False),
        ]
    )
    outer = rng.choice(ranking[medium:], count - in_medium, replace=False)
    # A third distinct, dealt out so that both components have features in small, in medium and outside.
    signal = np.concatenate([inner, outer]).astype(np.intp)
    distinct = np.zeros(len(signal), dtype=bool)
    distinct[1::3] = True
    idle = np.setdiff1d(np.arange(features), signal)
    spurious = [
        rng.choice(idle, min(len(idle), max(6, count)), replace=False).astype(np.intp)
        for _ in range(1 + len(layout.benchmarked))
    ]
    first_eras = np.ones(features, dtype=np.intp)
    late = rng.random(features) < _MISSING_SHARE
    first_eras[late] = rng.integers(2, max(3, round(_MISSING_ERAS * spec.eras) + 2), int(late.sum()))
    phases = rng.uniform(0, 1, 2)
    return Market(
        spec=spec,
        names=feature_names(features, spec.seed),
        ranking=tuple(ranking.tolist()),
        clusters=_clusters(group_sizes(features, layout)),
        first_eras=first_eras,
        common=Component.draw(rng, rng.permutation(signal[~distinct]), features),
        distinct=Component.draw(rng, rng.permutation(signal[distinct]), features),
        spurious=tuple(Component.draw(rng, columns, features) for columns in spurious),
        strength_phases=(float(phases[0]), float(phases[1])),
    )


def _clusters(groups: Mapping[str, int]) -> Ints:
    """Give every feature its cluster: a group is cut into clusters of at most 25."""
    clusters: list[int] = []
    used = 0
    for size in groups.values():
        pieces = max(1, math.ceil(size / _CLUSTER_FEATURES))
        clusters += [used + i % pieces for i in range(size)]
        used += pieces
    return np.array(clusters, dtype=np.intp)


def unit(x: npt.NDArray[np.int8]) -> Floats:
    return (x.astype(np.float32) - np.float32(2)) * np.float32(1 / math.sqrt(2))


def truth(market: Market) -> dict[str, Any]:
    def described(component: Component) -> dict[str, Any]:
        def named(columns: Ints) -> list[str]:
            return [market.names[i] for i in columns.tolist()]

        return {
            "linear": dict(zip(named(component.linear), component.linear_weights.tolist(), strict=True)),
            "curved": dict(zip(named(component.curved), component.curved_weights.tolist(), strict=True)),
            "gated": [
                {"feature": feature, "gate": gate, "weight": weight}
                for feature, gate, weight in zip(
                    named(component.gated),
                    named(component.gates),
                    component.gated_weights.tolist(),
                    strict=True,
                )
            ],
        }

    spec = market.spec
    return {
        "spec": asdict(spec),
        "train_eras": spec.train_eras,
        "test_eras": spec.test_eras,
        "first_benchmark_era": spec.first_benchmark_era,
        "signal_features": spec.signal_features,
        "common": described(market.common),
        "distinct": described(market.distinct),
        "spurious": [described(component) for component in market.spurious],
        "targets": {
            f"target_{name}": {"distinct_share": share, "relative_strength": strength}
            for name, (share, strength) in SIGNAL.items()
        },
        "constants": {
            "strength": STRENGTH,
            "benchmark_mix": dict(zip(("common", "spurious", "noise"), BENCHMARK_MIX, strict=True)),
            "variance": {"linear": _LINEAR, "curved": _CURVED, "gated": _GATED},
            "cluster_variance": CLUSTER_VARIANCE,
            "strength_phases": list(market.strength_phases),
        },
    }
