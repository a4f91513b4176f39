"""Frames of rows, for models that take X and y as in scikit-learn."""

import pandas as pd

from numerai_ray.models.dense import Rows


def frame_of(rows: Rows) -> pd.DataFrame:
    """(n, k) the features of rows as a frame, without a copy; its index is the era of each row."""
    return pd.DataFrame(rows.features, pd.Index(rows.eras, name="era"), list(rows.names), copy=False)


def target_of(rows: Rows) -> pd.Series:
    """(n,) the target of rows by era, without a copy."""
    return pd.Series(rows.target, rows.eras, name="target", copy=False)
