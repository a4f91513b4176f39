"""What digests cost of a build: processor time, as the benchmark measures it, on a small market."""

from pathlib import Path

import hashing_share
import pytest
import random_market


@pytest.mark.slow
def test_digests_cost_little_of_a_build(tmp_path: Path) -> None:
    random_market.write(tmp_path, 8, 5000, 300)
    assert min(hashing_share.share_of(tmp_path)[1] for _ in range(3)) <= hashing_share.LIMIT
