"""Memory that a plan asks for, just over what is free: the message names the remedy that works, and it does."""

import re

import pytest

from numerai_ray.errors import ResourceShortage
from numerai_ray.system.cluster import Node, shape_fits
from numerai_ray.system.resources import GB, Machine, Needs, Workload, plan_resources

MACHINE = Machine(4, 4 * GB, 64 * GB)


def work(asked_gb: float | None, rows: int = 400_000, features: int = 42) -> Workload:
    """A round whose fits take little by the estimate, or what they ask for."""
    asked = None if asked_gb is None else int(asked_gb * GB)
    return Workload(rows, features, 4, asked or GB // 2, needs=Needs(memory_bytes=asked))


@pytest.mark.parametrize("asked_gb", [2.9, 3.0, 3.5, 3.99])
def test_it_says_how_far_to_lower_it(asked_gb: float) -> None:
    with pytest.raises(ResourceShortage) as refusal:
        plan_resources(MACHINE, work(asked_gb))
    told = str(refusal.value)
    assert "smaller feature_set" not in told
    found = re.search(r"lower model\.resources\.memory_gb from ([\d.]+) to ([\d.]+) or less", told)
    assert found is not None, told
    assert float(found[1]) == asked_gb
    assert plan_resources(MACHINE, work(float(found[2]))).fits_at_once == 1
    assert plan_resources(MACHINE, work(None)).fits_at_once > 1  # the other remedy: leave it out


def test_where_the_data_have_no_room_smaller_data_are_the_remedy() -> None:
    for asked_gb in (3.5, None):
        with pytest.raises(ResourceShortage, match="use a smaller feature_set or downsampled data"):
            plan_resources(MACHINE, work(asked_gb, rows=2_700_000, features=1200))


def test_on_a_cluster_too() -> None:
    nodes = [Node("n1", "10.0.0.1", 4, 0, 4 * GB, 16 * GB)]
    for asked, remedy in ((Needs(memory_bytes=5 * GB), r"lower model\.resources\.memory_gb"), (Needs(), "smaller")):
        with pytest.raises(ResourceShortage, match=remedy):
            shape_fits(nodes, 4, 5 * GB, GB, (asked, Needs()))
