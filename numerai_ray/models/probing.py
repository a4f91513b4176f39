"""How much each feature matters to a model that does not say so itself: how its predictions move with the feature.

No label is looked at: what is measured is what a model leans on, not whether that is right. It draws nothing at random
and costs at most about what predicting the rows once more does, so that it is the same on every machine and never
what a fit is waited for.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.float32]
# Rows that are looked at: fewer say too little of a feature with five values, more say nothing new.
FEWEST_ROWS, MOST_ROWS = 32, 1_000
# Rows handed to a model at a time.
ROWS_AT_ONCE = 8_192


def spread_rows(features: Features, most: int) -> Features:
    """At most so many rows of ``features`` (n, k), evenly spread over all of them; a copy."""
    places = np.linspace(0, len(features) - 1, min(most, len(features))).astype(np.int64)
    return np.array(features[places])


def prediction_change(
    predict: Callable[[Features], npt.NDArray[np.float64]], features: Features
) -> npt.NDArray[np.float64]:
    """(k,): mean squared change of predictions when a feature takes the values of other rows, one feature at a time.

    That is permutation importance without labels (Fisher, Rudin and Dominici 2019, with the prediction itself in the
    place of the loss). Rows are evenly spread over ``features`` (n, k), and each takes the value of the row half of
    them away, usually one of other eras.
    """
    n, k = features.shape
    rows = spread_rows(features, min(MOST_ROWS, max(FEWEST_ROWS, n // max(1, k))))
    count = len(rows)
    others, before = np.roll(rows, count // 2, axis=0), np.asarray(predict(rows), np.float64)
    changes = np.empty(k)
    at_once = max(1, ROWS_AT_ONCE // max(1, count))
    for start in range(0, k, at_once):
        moved = range(start, min(start + at_once, k))
        block = np.tile(rows, (len(moved), 1))
        for place, feature in enumerate(moved):
            block[place * count : (place + 1) * count, feature] = others[:, feature]
        after = np.asarray(predict(block), np.float64).reshape(len(moved), count)
        changes[start : start + len(moved)] = ((after - before) ** 2).mean(axis=1)
    return changes
