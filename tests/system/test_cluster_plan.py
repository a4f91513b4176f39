"""How fits are cut for nodes of any size, what a round costs, and how far a cluster scales: arithmetic by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.errors import ResourceShortage
from numerai_ray.system.cluster import Node, RoundCost, ScalingModel, shape_fits, slots_on
from numerai_ray.system.resources import GB


def node(cores: int, memory_gb: float = 64, store_gb: float = 16, gpus: int = 0) -> Node:
    return Node(f"n{cores}-{memory_gb}", f"10.0.0.{cores}", cores, gpus, int(memory_gb * GB), int(store_gb * GB))


@pytest.mark.parametrize(
    ("nodes", "fits", "memory_gb", "threads", "slots"),
    [
        ([node(16), node(16)], 64, 2, 1, 32),  # more fits than cores: one thread each
        ([node(16), node(4)], 64, 2, 1, 20),  # nodes of two sizes
        ([node(16), node(16)], 4, 2, 8, 4),  # four fits share 32 cores
        ([node(16, memory_gb=8)], 64, 4, 8, 2),  # memory for two at once: all cores all the same
        ([node(16), node(4, memory_gb=1)], 8, 2, 2, 8),  # one node too small for a fit does not count
        ([node(1), node(1)], 20, 0.3, 1, 2),
    ],
)
def test_fits_are_cut_for_the_nodes(nodes, fits, memory_gb, threads, slots) -> None:
    shape = shape_fits(nodes, fits, int(memory_gb * GB), GB)
    assert (shape.threads, shape.slots) == (threads, slots)


@given(
    st.lists(st.tuples(st.integers(1, 64), st.floats(0.5, 256), st.floats(1, 64)), min_size=1, max_size=8),
    st.integers(1, 300),
    st.floats(0.2, 16),
)
def test_no_node_is_asked_for_more_than_it_has(sizes, fits, memory_gb) -> None:
    nodes = [node(*size) for size in sizes]
    memory = int(memory_gb * GB)
    try:
        shape = shape_fits(nodes, fits, memory, GB)
    except ResourceShortage:
        assert all(each.memory_bytes < memory or each.store_bytes < GB for each in nodes)
        return
    assert shape.slots >= 1
    for each in nodes:
        at_once = slots_on(each, shape.threads, memory)
        assert at_once * shape.threads <= each.cores
        assert at_once * memory <= each.memory_bytes


def test_a_cluster_too_small_says_by_how_much() -> None:
    with pytest.raises(ResourceShortage, match=r"needs a core, 100\.0 GB .* has 4 cores, 64\.0 GB.*add larger nodes"):
        shape_fits([node(4)], 10, 100 * GB, GB)
    with pytest.raises(ResourceShortage, match="no node has a core"):
        shape_fits([], 10, GB, GB)


def test_costs_are_kept_as_plain_numbers() -> None:
    assert RoundCost(1.5, 1.0, 0.25, 6).to_json() == {
        "core_hours": 1.5, "fit_core_hours": 1.0, "node_hours": 0.25, "nodes": 6
    }  # fmt: skip


def test_a_round_that_was_lost_and_run_again_costs_both() -> None:
    lost, again = RoundCost(0.5, 0.0, 0.25, 3), RoundCost(1.0, 0.8, 0.5, 2, peak_bytes=7)
    assert lost + again == RoundCost(1.5, 0.8, 0.75, 3, peak_bytes=7)
    assert RoundCost() + again == again


MODEL = ScalingModel(
    fits=256, fit_core_s=60, largest_fit_core_s=120, data_bytes=5e9, link_bytes_s=1e9, start_s=5, control_s=0.03
)


def test_the_scaling_model_by_hand() -> None:
    assert MODEL.wall_s(1, 16) == 5 + 256 * 60 / 16
    assert MODEL.wall_s(4, 16) == 2 * 5 + 5 + 256 * 60 / 64
    # Eight threads a fit, 128 at once: each of the two rounds of fits is 60 s / 1.67^3, the largest fit as long.
    assert MODEL.wall_s(64, 16) == pytest.approx(6 * 5 + 5 + 120 / 1.67**3)
    assert [MODEL.limit(nodes, 16) for nodes in (1, 4, 64)] == ["cores", "cores", "data"]
    assert replace(MODEL, control_s=1).limit(64, 16) == "driver"
    assert replace(MODEL, largest_fit_core_s=4000).limit(64, 16) == "largest fit"
    assert MODEL.speedup(1, 16) == 1


@given(st.integers(1, 64), st.integers(1, 64))
def test_no_cluster_is_faster_than_its_cores(nodes, cores) -> None:
    assert MODEL.speedup(nodes, cores) <= nodes + 1e-9
    slow = replace(MODEL, control_s=10.0)
    assert slow.wall_s(nodes, cores) >= 2560
    assert math.isfinite(slow.wall_s(nodes, cores))
