"""Drift of a data version: features, targets and what pays, the newest eras against the past.

Read from the full file, else from the downsampled one: the newest block of eras, and blocks of as many consecutive
eras spread over the past. What is found is kept beside the file, as reading full data takes minutes.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from numerai_ray.config import DataConfig
from numerai_ray.data.columns import UNREADABLE, number_values
from numerai_ray.data.dataset import DatasetIndex, feature_sets, open_index, open_parquet
from numerai_ray.data.era_slabs import Slab, era_slabs
from numerai_ray.data.eras import era_label
from numerai_ray.errors import DataError, EnvironmentFault, RequestError
from numerai_ray.metrics.drift import FEWEST_BLOCKS, Against, Blocks, blocks_of
from numerai_ray.metrics.importance import feature_groups
from numerai_ray.system.files import write_text
from numerai_ray.system.json_text import read_json, without_nan

Floats = npt.NDArray[np.float64]
KEPT = ".drift.json"
NEWEST_ERAS = 20  # the unit of most that is said of Numerai's scores
MOST_BLOCKS = 24  # of the past that are read: of 1,200 eras 480
VALUES = 5
TOP = 10


@dataclass(frozen=True)
class GroupDrift:
    """A group of features, or all: numbers of the newest block against those of past ones.

    ``missing`` is the share of eras and features without data, ``shift`` how far values are from the past's (0 … 1),
    ``agreement`` how alike correlations with the target are to the past's (-1 … 1), ``constant`` features of one value.
    """

    group: str
    features: int
    constant: int
    missing: Against
    shift: Against
    agreement: Against


@dataclass(frozen=True)
class TargetDrift:
    """A target in the newest eras that have it: mean, std, and how far its values are from the past's."""

    target: str
    mean: float
    past_mean: float
    std: float
    past_std: float
    shift: Against


@dataclass(frozen=True)
class Drift:
    """``newest`` and ``labelled`` are first and last era of the newest block, and of the newest one with labels.

    ``blocks`` has, oldest first and the newest last, the middle era, share missing, shift and agreement of all
    features; ``moved`` are the features whose values moved most, with their shift, ``newly_constant`` those that have
    one value now; ``findings`` say what is unusual, in words.
    """

    version: str
    file: str
    target: str
    eras: int
    newest: tuple[str, str]
    labelled: tuple[str, str]
    past_blocks: int
    groups: tuple[GroupDrift, ...]
    targets: tuple[TargetDrift, ...]
    blocks: tuple[tuple[int, float, float, float], ...]
    moved: tuple[tuple[str, float], ...]
    newly_constant: tuple[str, ...]
    findings: tuple[str, ...]


def drift_of(
    version_dir: Path,
    target: str | None = None,
    eras: int = NEWEST_ERAS,
    on_era: Callable[[int, int], None] = lambda _done, _all: None,
) -> Drift:
    """Compare the newest ``eras`` of a version with the past.

    Args:
        version_dir: the version's folder.
        target: what correlations are taken with; ender_20 unless given, else the first one there.
        eras: of a block.
        on_era: called as ``on_era(done, total)``.

    Raises:
        DataError: no built file is there, or it cannot be read.
        RequestError: the file has no such target, or too few eras.

    """
    index = _open(version_dir)
    chosen = _chosen_target(index, target)
    labels = _target(index, chosen)
    chunks, newest, told = _blocks_compared(index, labels, chosen, eras)
    sets = feature_sets(version_dir.parent, version_dir.name)
    features = [name for name in index.columns if name in {each for members in sets.values() for each in members}]
    wanted = sorted({era for block in (*chunks, newest, told) for era in block})
    counts, correlations = _read(index, features, wanted, labels, on_era)
    at = {era: place for place, era in enumerate(wanted)}
    rows = [[at[era] for era in block] for block in chunks]
    blocks = blocks_of(counts[[*rows, [at[era] for era in newest]]], correlations[[*rows, [at[era] for era in told]]])
    groups = _groups(blocks, features, {"all": features, **feature_groups(sets)})
    targets = tuple(_target_drift(index, name, chunks, eras) for name in _targets_of(index) if name != "target")
    moved = sorted(zip(features, blocks.shift[-1].tolist(), strict=True), key=lambda each: -each[1])[:TOP]
    constant = tuple(features[place] for place in blocks.newly_constant())
    return Drift(
        version=version_dir.name,
        file=index.path.name,
        target=chosen,
        eras=eras,
        newest=(era_label(newest[0]), era_label(newest[-1])),
        labelled=(era_label(told[0]), era_label(told[-1])),
        past_blocks=len(chunks),
        groups=groups,
        targets=targets,
        blocks=_lines(blocks, [*chunks, newest], len(features)),
        moved=tuple(moved),
        newly_constant=constant,
        findings=_findings(groups[0], targets, constant, len(chunks), chosen),
    )


def known_drift(version_dir: Path, target: str | None = None, eras: int = NEWEST_ERAS) -> tuple[str, ...]:
    """Findings of :func:`drift_of`, from the file beside the data where they are kept for it.

    Raises:
        DataError: as there.
        RequestError: as there.

    """
    index = _open(version_dir)
    key = f"{index.fingerprint}/{target}/{eras}"
    kept = read_json(version_dir / KEPT).get(key)
    if isinstance(kept, list):
        return tuple(map(str, kept))
    return keep_drift(version_dir, drift_of(version_dir, target, eras), target)


def keep_drift(version_dir: Path, drift: Drift, target: str | None) -> tuple[str, ...]:
    """Keep the findings beside the data, where that can be written; returns them."""
    index = _open(version_dir)
    with suppress(EnvironmentFault):
        kept = {f"{index.fingerprint}/{target}/{drift.eras}": list(drift.findings)}
        write_text(version_dir / KEPT, json.dumps(kept) + "\n")
    return drift.findings


def _targets_of(index: DatasetIndex) -> list[str]:
    return [name for name in index.columns if name.startswith("target")]


def _chosen_target(index: DatasetIndex, target: str | None) -> str:
    names = _targets_of(index)
    chosen = target or ("target_ender_20" if "target_ender_20" in names else next(iter(names), ""))
    if chosen not in names:
        raise RequestError(f"{index.path}: no target {chosen!r} to correlate features with; it has {', '.join(names)}")
    return chosen


def _blocks_compared(
    index: DatasetIndex, labels: Floats, target: str, eras: int
) -> tuple[list[tuple[int, ...]], tuple[int, ...], tuple[int, ...]]:
    """Blocks of the past, the newest eras, and the newest that have labels."""
    known = np.logical_or.reduceat(~np.isnan(labels), index.era_starts[:-1])
    labelled = [era for era, there in zip(index.eras, known.tolist(), strict=True) if there]
    chunks = past_blocks(labelled, eras)
    if not chunks:
        rule = f"has {len(labelled)} eras with {target}, but {3 * eras} are needed for blocks of {eras}"
        raise RequestError(f"{index.path}: {rule}; give fewer eras a block")
    return chunks, index.eras[-eras:], tuple(labelled[-eras:])


def _lines(blocks: Blocks, eras: Sequence[Sequence[int]], features: int) -> tuple[tuple[int, float, float, float], ...]:
    """A line a block: its middle era, and what all features together say of it."""
    whole = list(range(features))
    missing, shift, agreement = blocks.missing_share(whole), blocks.mean_shift(whole), blocks.agreement(whole)
    middles = [block[len(block) // 2] for block in eras]
    return tuple(zip(middles, missing.tolist(), shift.tolist(), agreement.tolist(), strict=True))


def past_blocks(eras: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """At most MOST_BLOCKS blocks of ``size`` consecutive eras before the newest block, spread over all of them.

    None where fewer than two fit.
    """
    count = len(eras) // size - 1
    if count < 2:
        return []
    chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_BLOCKS)).round().astype(int))
    end = len(eras) - size
    return [tuple(eras[end - (count - place) * size : end - (count - place - 1) * size]) for place in chosen.tolist()]


def drift_json(drift: Drift) -> dict[str, Any]:
    """As plain values; NaN becomes null."""
    value: dict[str, Any] = without_nan(asdict(drift))
    return value


def _open(version_dir: Path) -> DatasetIndex:
    """The index of the file that drift is read from."""
    for file in ("full", "downsampled"):
        data = DataConfig(version=version_dir.name, file=file)
        if (version_dir.parent / data.files()[0]).exists():
            return open_index(version_dir.parent, data)
    raise DataError(f"{version_dir}: no full.parquet there; build it with `numerai-ray data build`")


def _target(index: DatasetIndex, name: str) -> Floats:
    """(n_rows,) in order of eras; NaN where unknown."""
    try:
        column = open_parquet(index.path, "build it again").read([name]).column(0)
    except UNREADABLE as error:
        raise DataError(f"{index.path}: is damaged ({str(error).splitlines()[0]}); build it again") from error
    values = number_values(column).astype(np.float64)
    return values if index.order is None else values[index.order]


def _read(
    index: DatasetIndex,
    features: Sequence[str],
    eras: Sequence[int],
    labels: Floats,
    on_era: Callable[[int, int], None],
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Counts (eras, k, VALUES) and correlations (eras, k) of the features in each era."""
    counts = np.zeros((len(eras), len(features), VALUES), np.int64)
    correlations = np.full((len(eras), len(features)), np.nan)
    for place, (era, slab) in enumerate(zip(eras, era_slabs(index, features, eras), strict=True)):
        for value in range(VALUES):
            counts[place, :, value] = (slab == value).sum(axis=1)
        ((start, stop),) = index.row_ranges([era])
        correlations[place] = _correlations(slab, labels[start:stop])
        on_era(place + 1, len(eras))
    return counts, correlations


def _correlations(slab: Slab, labels: Floats) -> Floats:
    """(k,) of features (k, n) with labels (n,); NaN where either does not vary."""
    known = ~np.isnan(labels)
    if known.sum() < 2:
        return np.full(len(slab), np.nan)
    x = slab[:, known].astype(np.float32)
    y = (labels[known] - labels[known].mean()).astype(np.float32)
    x -= x.mean(axis=1, keepdims=True)
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum())
    found: Floats = np.where(scale > 0, (x @ y) / np.where(scale > 0, scale, 1), np.nan).astype(np.float64)
    return found


def _groups(blocks: Blocks, features: Sequence[str], groups: dict[str, Sequence[str]]) -> tuple[GroupDrift, ...]:
    place = {name: at for at, name in enumerate(features)}
    found = []
    for group, members in groups.items():
        columns = [place[name] for name in members if name in place]
        if columns:
            found.append(
                GroupDrift(
                    group,
                    len(columns),
                    int(blocks.constant[-1, columns].sum()),
                    blocks.against(blocks.missing_share(columns)),
                    blocks.against(blocks.mean_shift(columns)),
                    blocks.against(blocks.agreement(columns)),
                )
            )
    return tuple(found)


def _target_drift(index: DatasetIndex, name: str, chunks: Sequence[tuple[int, ...]], eras: int) -> TargetDrift:
    values = _target(index, name)
    known = np.logical_or.reduceat(~np.isnan(values), index.era_starts[:-1])
    labelled = [era for era, there in zip(index.eras, known.tolist(), strict=True) if there]
    own = [block for block in chunks if set(block) <= {*labelled[:-eras]}]

    def rows(block: Sequence[int]) -> Floats:
        found: Floats = np.concatenate([values[start:stop] for start, stop in index.row_ranges(block)])
        return found[~np.isnan(found)]

    if len(own) < 2:
        return TargetDrift(name, np.nan, np.nan, np.nan, np.nan, Against(np.nan, np.nan, np.nan, np.nan, 0))
    newest, past = rows(labelled[-eras:]), np.concatenate([rows(block) for block in own])
    edges = np.array([-np.inf, 0.125, 0.375, 0.625, 0.875, np.inf])  # between the bins of Numerai's targets
    counts = np.stack([np.histogram(rows(block), edges)[0] for block in (*own, labelled[-eras:])])
    blocks = blocks_of(counts[:, None, None, :], np.full((len(counts), 1, 1), np.nan), None)
    return TargetDrift(
        name,
        float(newest.mean()),
        float(past.mean()),
        float(newest.std()),
        float(past.std()),
        blocks.against(blocks.shift[:, 0]),
    )


def _findings(
    whole: GroupDrift, targets: Sequence[TargetDrift], constant: Sequence[str], blocks: int, target: str
) -> tuple[str, ...]:
    found = []
    if constant:
        more = f" and {len(constant) - 3} more" if len(constant) > 3 else ""
        found.append(f"{len(constant)} features have only one value now: {', '.join(constant[:3])}{more}")
    if blocks < FEWEST_BLOCKS:
        return tuple(found)
    beyond = f"each of {blocks} past blocks"
    if whole.missing.is_high:
        share, high = whole.missing.newest, whole.missing.high
        found.append(f"{share:.1%} of the features' eras are missing, more than in {beyond} ({high:.1%} at most)")
    if whole.shift.is_high:
        shift, high = whole.shift.newest, whole.shift.high
        found.append(f"values of features are further from the past ({shift:.4f}) than in {beyond} ({high:.4f})")
    if whole.agreement.is_low:
        agreement, low = whole.agreement.newest, whole.agreement.low
        found.append(
            f"which features pay agrees less with the past than in {beyond}: their correlations with {target} agree by "
            f"{agreement:+.2f}, never by less than {low:+.2f} before"
        )
    own = next((each for each in targets if each.target == target), None)
    if own is not None and own.shift.is_high:
        found.append(
            f"{target} is distributed otherwise than in {beyond} (mean {own.mean:.4f}, {own.past_mean:.4f} before)"
        )
    return tuple(found)
