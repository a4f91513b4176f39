"""Eras of one row: there is nothing to neutralize them by, so they are unknown, and all others are as without them."""

from itertools import pairwise

import numpy as np
import pytest

from numerai_ray.metrics.neutralization import neutralize


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("proportion", [0.5, 1.0])
@pytest.mark.parametrize("starts", [(0, 1, 12), (0, 11, 12), (0, 5, 6, 12), tuple(range(13))])
def test_neutralizing_is_unknown_there_and_right_elsewhere(starts: tuple[int, ...], proportion: float) -> None:
    draw = np.random.default_rng(3)
    prediction, x = draw.normal(size=12), draw.integers(0, 5, (3, 12)).astype(np.int8)
    found = neutralize(prediction, x, starts, proportion)
    for start, stop in pairwise(starts):
        if stop - start == 1:
            assert np.isnan(found[start])
        else:
            alone = neutralize(prediction[start:stop], x[:, start:stop], (0, stop - start), proportion)
            np.testing.assert_allclose(found[start:stop], alone, atol=1e-9)
