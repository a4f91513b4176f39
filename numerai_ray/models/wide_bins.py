"""A byte for each bin where LightGBM would put two into one: the same trees in about three quarters of the time.

LightGBM keeps the bins of a feature in four bits where it has at most 16 of them, and takes them apart again for every
row of every leaf. So a feature of fewer is said to have 17: those that it lacks come after its own, and no row is in
them. They add zeros to sums, and a split off nothing is none (:data:`WIDTH_MATTERS` tells where it could be), so
trees are the same to the last bit.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from numerai_ray.models.bin_columns import COUNT_AT, boundaries_at, plain_column
from numerai_ray.models.binned_rows import Group, Layout

_NUMBERS = 17  # the fewest that LightGBM gives a byte each
# Of a group of one feature: where its greatest value is.
_MOST_AT = 80
# How many bins there are decides what is split where, or what LightGBM keeps and what it sums up again.
WIDTH_MATTERS = ("forcedsplits_filename", "histogram_pool_size", "extra_trees")


def width_matters(params: Mapping[str, Any]) -> bool:
    """Whether trees with ``params`` (main names) could depend on how many bins there are."""
    return any(params.get(name) for name in WIDTH_MATTERS) or params.get("min_data_in_leaf", 20) < 1


def widened(layout: Layout) -> Layout:
    """What LightGBM is told of rows of ``layout`` so that it gives each bin a byte; ``layout`` where it cannot be told.

    Groups begin where those of ``layout`` do: that is where their bins are to be read.
    """
    at, columns = boundaries_at(layout), [plain_column(group) for group in layout.groups]
    if at is None:
        return layout
    boundaries = np.frombuffer(layout.header, np.uint64, len(columns) + 1, at)
    numbers = [0 if column is None else column.numbers for column in columns]
    if np.diff(boundaries).tolist() != numbers:  # a feature that is not plainly there, or a layout that we do not know
        return layout
    header = bytearray(layout.header)
    struct.pack_into(f"<{len(columns) + 1}Q", header, at, *range(0, _NUMBERS * (len(columns) + 1), _NUMBERS))
    groups = tuple(_wider(group, _NUMBERS - own) for group, own in zip(layout.groups, numbers, strict=True))
    return replace(layout, header=bytes(header), groups=groups)


def _wider(group: Group, more: int) -> Group:
    """``group`` with so many more bins, which begin beyond the greatest value there is."""
    (count,) = struct.unpack_from("<i", group.definition, COUNT_AT)
    (most,) = struct.unpack_from("<d", group.definition, _MOST_AT)
    beyond = struct.pack(f"<{more + 1}d", *(most + step for step in range(1, more + 1)), math.inf)
    definition = bytearray(group.definition[:-8] + beyond)
    struct.pack_into("<i", definition, COUNT_AT, count + more)
    return Group(bytes(definition), group.start, 8)
