"""The layout of a Numerai data version: names, feature sets, targets, row identifiers, Arrow schemas.

Everything here is what the files of v5.2 and v5.3 look like, without a number in them; `synthetic` fills them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from numerai_ray.config.versions import version_number

# Sizes in the real files of v5.2, which other sizes follow in proportion. There the groups overlap by 85 features;
# here a feature has one group. Of v5.3 it is known that there are 3,555 features, that quantum has 807 of them, and
# which benchmarks there are. That its other sets and groups are as large as in v5.2, and that `target` means the same,
# is ASSUMED: nothing but the synthetic market may depend on it.
_SMALL_FEATURES = 42
_MEDIUM_FEATURES = 780
_GROUPS = {
    "intelligence": 35,
    "wisdom": 140,
    "charisma": 290,
    "dexterity": 51,
    "strength": 135,
    "constitution": 335,
    "agility": 145,
    "serenity": 95,
    "sunshine": 325,
    "rain": 666,
    "midnight": 244,
    "faith": 372,
}
_EQUIVALENTS = {"fncv3_features": 400, "v2_equivalent_features": 304, "v3_equivalent_features": 1000}

# Correlation of a target's noise with ender's, in the Gaussian latent before it is cut into bins. Cutting
# into five bins lowers it: .8905 is seen as .80 (jasper), .8805 as .79 (teager2b), .7417 as .66 (tyler).
NOISE_CORRELATION = {
    "agnes": 0.62,
    "alpha": 0.68,
    "bravo": 0.62,
    "caroline": 0.69,
    "charlie": 0.62,
    "claudia": 0.70,
    "cyrusd": 0.84,
    "delta": 0.65,
    "echo": 0.56,
    "ender": 1.0,
    "jasper": 0.8905,
    "jeremy": 0.70,
    "ralph": 0.67,
    "rowan": 0.65,
    "sam": 0.62,
    "teager2b": 0.8805,
    "tyler": 0.7417,
    "victor": 0.73,
    "waldo": 0.70,
    "xerxes": 0.67,
}
HORIZON_CORRELATION = 0.519  # of ender_60's noise with ender_20's; seen as .46 in the bins
TARGET_NAMES = tuple(f"{name}_{days}" for name in NOISE_CORRELATION for days in (20, 60))
MAIN_TARGET = "target_ender_20"  # what the alias `target` means in v5.2
TARGET_COLUMNS = ("target", *(f"target_{name}" for name in TARGET_NAMES))


@dataclass(frozen=True)
class Layout:
    """What a version's files have of their own: features in all and by group, and targets that have a benchmark."""

    version: str
    features: int
    groups: Mapping[str, int]
    benchmarked: tuple[str, ...]

    @property
    def benchmark_columns(self) -> tuple[str, ...]:
        """Names of the benchmark columns, such as ``v53_lgbm_ender20``."""
        version = self.version.replace(".", "")
        return tuple(f"{version}_lgbm_{name.replace('_', '')}" for name in self.benchmarked)

    @property
    def benchmark_schema(self) -> pa.Schema:
        """Schema of the benchmark files."""
        return indexed_schema({"era": pa.string()} | dict.fromkeys(self.benchmark_columns, pa.float64()))


_BENCHMARKED = tuple(f"{name}_{days}" for name in ("cyrusd", "teager2b", "ender", "jasper") for days in (20, 60))
V52 = Layout("v5.2", 2748, _GROUPS, _BENCHMARKED)
V53 = Layout("v5.3", 3555, {**_GROUPS, "quantum": 807}, ("ender_20", "ender_60"))
LAYOUTS = {layout.version: layout for layout in (V52, V53)}


def layout_of(version: str) -> Layout:
    """The layout of a version: its own, that of the last one before it, or the newest where its name says nothing."""
    number = version_number(version)
    before = [each for each in LAYOUTS.values() if version_number(each.version) <= number]
    return before[-1] if before else V52 if number else V53


_CONSONANTS = "bdlmnrstv"
_VOWELS = "aeiou"
_WORDS = tuple(
    a + b + c + d for a in _CONSONANTS for b in _VOWELS for c in _CONSONANTS for d in _VOWELS
)  # 2025 words that can be read aloud


def feature_names(count: int, seed: int) -> tuple[str, ...]:
    """``count`` different names such as ``feature_bamo_tilu``."""
    picked = np.random.default_rng([seed, 1]).choice(len(_WORDS) ** 2, size=count, replace=False)
    return tuple(f"feature_{_WORDS[i // len(_WORDS)]}_{_WORDS[i % len(_WORDS)]}" for i in picked.tolist())


def group_sizes(features: int, layout: Layout = V52) -> dict[str, int]:
    """Cut ``features`` into the named groups of a version, in proportion and adding up exactly.

    Every group has at least one feature when there are as many features as groups.
    """
    groups = layout.groups
    floor = 1 if features >= len(groups) else 0
    spare = features - floor * len(groups)
    shares = {name: size / sum(groups.values()) * spare for name, size in groups.items()}
    sizes = {name: floor + int(share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: int(shares[name]) - shares[name])
    for name in by_remainder[: features - sum(sizes.values())]:
        sizes[name] += 1
    return sizes


def small_size(features: int, layout: Layout = V52) -> int:
    """Size of the feature set ``small``: 42 of all, at least 8 or all there are."""
    return max(round(features * _SMALL_FEATURES / layout.features), min(8, features))


def medium_size(features: int, layout: Layout = V52) -> int:
    """Size of the feature set ``medium``: 780 of all, but half of a market of fewer than 200 features."""
    share = round(features * _MEDIUM_FEATURES / layout.features)
    return max(share, min(features // 2, 100), small_size(features, layout))


def feature_sets(names: Sequence[str], ranking: Sequence[int], layout: Layout = V52) -> dict[str, list[str]]:
    """Make the ``feature_sets`` of features.json; every set lists its features in column order.

    ``ranking`` orders the columns by how early they enter a set: small is its first part, medium a longer
    one, so that small is within medium and medium within all.
    """
    features = len(names)

    def first(count: int) -> list[str]:
        return [names[i] for i in sorted(ranking[:count])]

    sets = {
        "small": first(small_size(features, layout)),
        "medium": first(medium_size(features, layout)),
        "all": list(names),
    }
    start = 0
    for group, size in group_sizes(features, layout).items():
        sets[group] = list(names[start : start + size])
        start += size
    for name, size in _EQUIVALENTS.items():
        sets[name] = first(max(1, round(features * size / layout.features)))
    return sets


def row_ids(seed: int, era: int, rows: int) -> pa.StringArray:
    """Make the identifiers of the rows of one era: ``n`` and 15 hexadecimal digits, unique in the market.

    (era, row) is packed into 60 bits and scrambled by steps that can each be undone, so two rows never meet.
    """
    mask = np.uint64((1 << 60) - 1)
    packed = (np.uint64(era) << np.uint64(24)) | np.arange(rows, dtype=np.uint64)
    packed ^= np.uint64(int(np.random.SeedSequence([seed, 2]).generate_state(1, np.uint64)[0]) >> 4)
    for factor in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9):
        packed = (packed * np.uint64(factor)) & mask
        packed ^= packed >> np.uint64(30)
    shifts = np.arange(60, -1, -4, dtype=np.uint64)
    nibbles = ((packed[:, None] >> shifts) & np.uint64(15)).astype(np.uint8)
    text = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)[nibbles]
    text[:, 0] = ord("n")
    offsets = np.arange(0, 16 * rows + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))


def repeated(text: str, rows: int) -> pa.StringArray:
    """Make a string column holding the same text ``rows`` times."""
    return pa.repeat(pa.scalar(text, pa.string()), rows)


_PANDAS_TYPES = {
    pa.string(): ("unicode", "object"),
    pa.int8(): ("int8", "int8"),
    pa.float32(): ("float32", "float32"),
    pa.float64(): ("float64", "float64"),
}


def indexed_schema(columns: Mapping[str, pa.DataType]) -> pa.Schema:
    """Make an Arrow schema of ``columns`` and, last, ``id``, which pandas reads as the index."""
    fields = [*columns.items(), ("id", pa.string())]
    described = [
        {
            "name": name,
            "field_name": name,
            "pandas_type": _PANDAS_TYPES[kind][0],
            "numpy_type": _PANDAS_TYPES[kind][1],
            "metadata": None,
        }
        for name, kind in fields
    ]
    # Written out by hand: what pandas itself would write depends on its version, and so would the bytes.
    about = {
        "index_columns": ["id"],
        "column_indexes": [
            {
                "name": None,
                "field_name": None,
                "pandas_type": "unicode",
                "numpy_type": "object",
                "metadata": {"encoding": "UTF-8"},
            }
        ],
        "columns": described,
        "creator": {"library": "pyarrow", "version": "18.1.0"},
        "pandas_version": "2.3.1",
    }
    return pa.schema(fields, metadata={b"pandas": json.dumps(about).encode()})


def market_schema(features: Sequence[str]) -> pa.Schema:
    """Make the schema of train, validation and live: era, data_type, the features, the targets, and the index."""
    columns: dict[str, pa.DataType] = {"era": pa.string(), "data_type": pa.string()}
    columns |= dict.fromkeys(features, pa.int8())
    columns |= dict.fromkeys(TARGET_COLUMNS, pa.float32())
    return indexed_schema(columns)


META_MODEL_SCHEMA = indexed_schema({"era": pa.string(), "data_type": pa.string(), "numerai_meta_model": pa.float64()})
EXAMPLE_PREDS_SCHEMA = indexed_schema({"prediction": pa.float64()})


def fractional_ranks(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Ranks within the last axis as (rank - .5) / n, all of them different and within (0, 1)."""
    order = np.argsort(values, axis=-1, kind="stable")
    ranks = np.empty(values.shape, dtype=np.float64)
    places = (np.arange(values.shape[-1]) + 0.5) / values.shape[-1]
    np.put_along_axis(ranks, order, np.broadcast_to(places, values.shape), axis=-1)
    return ranks
