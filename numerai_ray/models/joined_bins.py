"""One saved LightGBM Dataset out of several, each of some of the features in all rows.

LightGBM bins what it is given at once, and holds it twice meanwhile. So features are binned a block at a time and the
blocks' bins written one after the other: whatever the number of features, memory holds one block.

What a saved Dataset says about its features (which groups they form, where histograms begin) is LightGBM's own to put
together: it does so for one row of each block (``LGBM_DatasetAddFeaturesFrom``), and the bins of all rows follow.
"""

import shutil
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np

from numerai_ray.feature_matrix import FeatureMatrix
from numerai_ray.models.binned_rows import HEADER_AT, Layout, StoredBytes, beginning, load_rows, read_layout

# How many rows LightGBM looks at to make bins: the parameter, its default, and where a saved Dataset's header has it.
SAMPLE, _USUAL_SAMPLE, _SAMPLE_AT = "bin_construct_sample_cnt", 200_000, 40


@dataclass(frozen=True)
class _Saved:
    """A block that was saved."""

    path: Path
    stored: StoredBytes
    layout: Layout


def save(dataset: lgb.Dataset, path: Path, params: Mapping[str, Any]) -> None:
    """Save one Dataset as if made with ``params``, although fewer rows may have been looked at than these say.

    LightGBM opens it with ``params`` alone: its header would tell them apart.
    """
    dataset.save_binary(path)
    with path.open("r+b") as out:
        out.seek(HEADER_AT + _SAMPLE_AT)
        out.write(struct.pack("<i", params.get(SAMPLE, _USUAL_SAMPLE)))


def save_joined(
    blocks: Iterable[FeatureMatrix], write: Callable[[FeatureMatrix, Path], None], path: Path, params: Mapping[str, Any]
) -> bool:
    """Save the Dataset of all features of ``blocks``, each of which ``write`` saves with ``params`` as a Dataset.

    Every block can go as soon as the next one is asked for. The file's groups stand in the order of the blocks; trees
    do not depend on it.

    Returns:
        Whether the blocks could be joined: not where features are sparse or bundled. Nothing is written then, and the
        features have to be binned at once.

    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".blocks-") as folder:
        saved: list[Path] = []
        for block in blocks:
            file = Path(folder) / str(len(saved))
            write(block, file)
            del block  # the next one is read before this name is given anew
            saved.append(file)
        if len(saved) == 1:
            saved[0].replace(path)
            return True
        parts = [part for file in saved if (part := _opened(file)) is not None]
        header = _joined_header(parts, params, Path(folder)) if len(parts) == len(saved) else None
        if header is None:
            return False
        with path.open("wb") as out:
            out.write(beginning(header, parts[0].layout.n_rows))
            for part in parts:
                with part.path.open("rb") as bins:
                    bins.seek(part.layout.start)
                    shutil.copyfileobj(bins, out, 1 << 24)
                part.path.unlink()
    return True


def _opened(file: Path) -> _Saved | None:
    stored = StoredBytes([np.asarray(np.memmap(file, np.uint8, "r"))])
    layout = read_layout(stored)
    return None if layout is None or not layout.groups else _Saved(file, stored, layout)


def _joined_header(parts: Sequence[_Saved], params: Mapping[str, Any], folder: Path) -> bytes | None:
    """The header of all features; None where LightGBM joins them in a way that the blocks' bins do not fit."""
    first, *others = (load_rows(part.stored, part.layout, np.zeros(1, np.int64), params) for part in parts)
    for other in others:
        # Dataset.add_features_from does the same and then warns that raw data, which is not there, is gone.
        library: Any = lgb.basic._LIB  # type: ignore[attr-defined]
        lgb.basic._safe_call(library.LGBM_DatasetAddFeaturesFrom(first._handle, other._handle))
    file = folder / "joined"
    first.save_binary(file)
    joined = _opened(file)
    separate = [group.definition for part in parts for group in part.layout.groups]
    if joined is None or [group.definition for group in joined.layout.groups] != separate:
        return None
    return joined.layout.header
