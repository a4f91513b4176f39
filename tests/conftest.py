"""Fixtures that many tests share."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from bad_requests import Desk
from hypothesis import settings
from live_desk import LiveDesk
from submission_desk import PYTHONS, exported, finished_desk
from threadpoolctl import threadpool_limits

from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.submission.container.containers import container_for
from numerai_ray.submission.container.environment import Environment, environment_for

pytest_plugins = ["core_seconds", "undrawn"]

# Where Python may not keep what it compiled, every process that a test starts compiles the package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Ray asks a node every three seconds and gives it up after five times: tests that kill one would wait for it. A raylet
# that is only slow still has the ten seconds of each question.
# No test asks Numerai: where none runs a server of its own, nobody answers, and at once.
os.environ["NUMERAI_RAY_API_URL"] = "http://127.0.0.1:9"
os.environ |= {"RAY_health_check_period_ms": "500", "RAY_health_check_initial_delay_ms": "500"}

# Matrices of tests are small, and tests run side by side: more threads would wait for each other, and spin meanwhile.
threadpool_limits(1, user_api="blas")

# A busy machine is no failure. While somebody works on the code, a quarter of the examples will do.
settings.register_profile("house", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=25)


def pytest_configure(config: pytest.Config) -> None:
    from core_seconds import is_quick_tier  # noqa: PLC0415, as a plugin it is rewritten, which must be done first

    settings.load_profile("quick" if is_quick_tier(config) else "house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Side by side, files with long tests begin, so that none of them ends alone."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if any(item.get_closest_marker(name) for name in ("cluster", "slow"))}
        items.sort(key=lambda item: item.path not in slow)


# A folder that Ray refuses, by a message that shows it: of tests that are not marked, wherever they start Ray.
NO_RAY = "/dev/null/mark-this-test-ray"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Ray starts in tests that are marked ``ray`` or ``cluster``, and in no other: the quick tier is without it."""
    if any(item.get_closest_marker(name) for name in ("ray", "cluster")):
        os.environ["RAY_TMPDIR"] = _ray_folder()
    else:
        os.environ["RAY_TMPDIR"] = NO_RAY


def _ray_folder() -> str:
    """Ray's folder of this process alone: two clusters that share one take each other's address for their own.

    Its path is short, as those of Ray's sockets in it are not.
    """
    folder = Path(tempfile.gettempdir()) / f"ray-{os.getuid()}-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return str(folder)


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with one small version, ``tiny``: read-only, shared by all tests."""
    root = tmp_path_factory.mktemp("data")
    write_market(MarketSpec(eras=120, rows=60, features=30, seed=1), root / "tiny")
    build(root / "tiny")
    return root


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A finished experiment on the tiny market: read-only."""
    return finished_desk(tmp_path_factory.mktemp("market"), tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="session")
def environment() -> Environment:
    """The first container's environment that this machine can have."""
    return environment_for(container_for(PYTHONS[0]))


@pytest.fixture(scope="session")
def model(finished: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The winner's pickle with proof and card, for that container: read-only."""
    out = tmp_path_factory.mktemp("model") / "model.pkl"
    exported(finished, out)
    return out


@pytest.fixture(scope="session")
def live_desk(tmp_path_factory: pytest.TempPathFactory) -> LiveDesk:
    """A finished experiment whose market goes on: read-only, to be copied."""
    return LiveDesk.searched(tmp_path_factory.mktemp("live"))
