"""Fixtures that many tests share."""

from pathlib import Path

import pytest
from hypothesis import settings

from numerai_ray.dataset_build import build
from numerai_ray.synthetic import MarketSpec, write_market

# A busy machine is no failure.
settings.register_profile("house", deadline=None)
settings.load_profile("house")


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one small version, ``tiny``: read-only, shared by all tests."""
    root = tmp_path_factory.mktemp("data")
    write_market(MarketSpec(eras=120, rows=60, features=30, seed=1), root / "tiny")
    build(root / "tiny")
    return root
