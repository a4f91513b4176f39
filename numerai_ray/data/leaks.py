"""Features that are a target in disguise: the leak that makes a model look too good.

A target has five values and so has a feature; an honest pair agrees on about a fifth of the rows. One that agrees
almost everywhere, in its order or the reverse, is the target.
"""

from functools import lru_cache

import numpy as np

from numerai_ray.data.columns import number_values
from numerai_ray.data.dataset import DatasetIndex, open_parquet
from numerai_ray.system.storage import Place

# Share of rows on which a copy agrees with its target; an honest feature stays far below.
AGREEMENT = 0.95
# Fewer rows than these agree by chance; more than those tell nothing new.
MIN_ROWS, MAX_ROWS = 50, 10_000


def leaks(index: DatasetIndex, features: tuple[str, ...], targets: tuple[str, ...]) -> tuple[str, ...]:
    """Flags (``suspect: …``) for features that equal a target on the file's first rows; read once a file."""
    return _leaks(index.path, index.fingerprint, features, targets)


@lru_cache(maxsize=64)
def _leaks(path: Place, fingerprint: str, features: tuple[str, ...], targets: tuple[str, ...]) -> tuple[str, ...]:
    del fingerprint  # tells two contents of one path apart
    file = open_parquet(path, "build it again")
    table = next(file.iter_batches(MAX_ROWS, row_groups=[0], columns=[*features, *targets]), None)
    if table is None or table.num_rows < MIN_ROWS:
        return ()
    # Both in steps of 0 to 4, as Numerai writes them.
    matrix = np.column_stack([number_values(table[name]) for name in features]).astype(np.float32)
    flags = []
    for target in targets:
        label = number_values(table[target]).astype(np.float32) * 4
        known = ~np.isnan(label)
        if known.sum() < MIN_ROWS or len(np.unique(label[known])) < 2:
            continue
        same = (matrix[known] == label[known, None]).mean(axis=0)
        reverse = (matrix[known] == 4 - label[known, None]).mean(axis=0)
        copies = np.flatnonzero(np.maximum(same, reverse) >= AGREEMENT)
        flags += [f"suspect: {features[position]} equals {target}" for position in copies]
    return tuple(flags)
