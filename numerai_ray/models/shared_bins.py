"""The bins of all rows, saved once by LightGBM, of which every fit takes its rows."""

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np

from numerai_ray.models.binned_rows import Layout, Rows, StoredBytes, load_rows, read_layout, through_memory_file
from numerai_ray.models.wide_bins import widened


class SharedBins:
    """A saved Dataset of all rows, of which fits take theirs."""

    def __init__(self, stored: StoredBytes, params: Mapping[str, Any], *, wide: bool = False):
        """``params`` are those that the Dataset was made and is used with; ``wide`` has fits hold a byte a bin."""
        self._stored = stored
        self._params = params
        self._layout = read_layout(stored)
        self._written = widened(self._layout) if wide and self._layout is not None else self._layout
        self._whole: lgb.Dataset | None = None  # only where rows cannot be cut out

    @property
    def by_feature(self) -> tuple[StoredBytes, Layout] | None:
        """The copy and its layout, where single features can be read; None where LightGBM alone can read it."""
        return None if self._layout is None else (self._stored, self._layout)

    def rows(self, rows: Rows) -> lgb.Dataset:
        """The Dataset of ``rows`` (n,), ascending; not labelled yet."""
        if self._layout is not None:
            return load_rows(self._stored, self._layout, rows, self._params, self._written)
        if self._whole is None:
            self._whole = through_memory_file(self._stored.chunks(), self._params)
        dataset = self._whole.subset([])
        dataset.used_indices = rows.astype(np.int32)  # type: ignore[assignment]
        return dataset.construct()
