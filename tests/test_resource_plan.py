"""Cores, bytes and work in, threads and fits out: never more of either than there is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.errors import ResourceShortage
from numerai_ray.resource_plan import (
    BLOCK_BYTES,
    GB,
    RAY_BYTES,
    WORKER_BYTES,
    Machine,
    ResourcePlan,
    Workload,
    block_features,
    plan_resources,
)

CORES = st.integers(1, 256)
PLENTY = 10**15
WORK = st.builds(
    Workload,
    rows=st.integers(0, 10_000_000),
    features=st.integers(1, 4000),
    fits=st.integers(0, 500),
    bytes_per_value=st.sampled_from([0.5, 8.0]),
    leaves=st.sampled_from([31, 1024]),
    shared_bytes=st.one_of(st.none(), st.integers(0, 40 * GB)),
)


@st.composite
def machines(draw: st.DrawFn, work: Workload, fits: st.SearchStrategy[int]) -> Machine:
    """With memory for so many ``fits`` and a bit, and the store's room or a little more."""
    per_fit = work.fit_bytes
    memory = (
        RAY_BYTES + work.store_bytes + work.loading_bytes + draw(fits) * per_fit + draw(st.integers(0, per_fit - 1))
    )
    memory = max(memory, draw(st.sampled_from([0, RAY_BYTES + work.store_bytes + work.preparing_bytes])))
    return Machine(draw(CORES), memory, work.store_bytes + draw(st.integers(0, GB)))


def has_room(machine: Machine, work: Workload) -> bool:
    one_fit = RAY_BYTES + work.store_bytes + work.loading_bytes + work.fit_bytes
    enough = max(one_fit, RAY_BYTES + work.store_bytes + work.preparing_bytes) <= machine.memory_bytes
    return enough and work.store_bytes <= machine.shm_bytes


@given(st.data(), WORK)
def test_a_plan_never_takes_more_than_there_is(data, work) -> None:
    machine = data.draw(machines(work, st.integers(1, 300)))
    if not has_room(machine, work):
        return
    plan = plan_resources(machine, work)
    assert plan.fits_at_once >= 1
    assert plan.threads_per_fit >= 1
    assert plan.fits_at_once * plan.threads_per_fit <= machine.cores
    assert plan.fits_at_once <= max(1, work.fits)
    assert plan.object_store_bytes <= machine.shm_bytes
    assert (
        RAY_BYTES + plan.object_store_bytes + work.loading_bytes + plan.fits_at_once * plan.fit_bytes <= plan.peak_bytes
    )
    assert plan.peak_bytes <= machine.memory_bytes
    assert plan.fit_bytes == work.fit_bytes


@given(st.data(), WORK)
def test_what_there_is_is_used(data, work) -> None:
    machine = data.draw(machines(work, st.integers(1, 300)))
    if not has_room(machine, work):
        return
    plan = plan_resources(machine, work)
    one_more = RAY_BYTES + plan.object_store_bytes + work.loading_bytes + (plan.fits_at_once + 1) * plan.fit_bytes
    short_of_memory = one_more > machine.memory_bytes
    assert short_of_memory or plan.fits_at_once in (machine.cores, max(1, work.fits))
    assert (plan.threads_per_fit + 1) * plan.fits_at_once > machine.cores


@given(st.data(), WORK, st.booleans())
def test_it_is_refused_exactly_when_something_has_no_room(data, work, small_store) -> None:
    machine = data.draw(machines(work, st.integers(0, 3)))
    if small_store:
        machine = replace(machine, shm_bytes=work.store_bytes - 1)
    if has_room(machine, work):
        assert plan_resources(machine, work).fits_at_once >= 1
    else:
        with pytest.raises(ResourceShortage):
            plan_resources(machine, work)


@given(WORK)
def test_need_grows_with_the_work(work) -> None:
    more = replace(work, rows=work.rows + 1000, features=work.features + 10, leaves=work.leaves * 2)
    assert work.fit_bytes < more.fit_bytes
    assert work.store_bytes <= more.store_bytes
    assert work.fit_bytes >= work.rows * work.features * work.bytes_per_value
    assert work.preparing_bytes >= 3 * work.rows * min(work.features, block_features(work.rows))
    assert work.preparing_bytes <= WORKER_BYTES + max(BLOCK_BYTES, 13 * work.rows)
    part = replace(work, fit_rows=work.rows // 2)
    assert part.fit_bytes <= work.fit_bytes
    assert part.store_bytes == work.store_bytes


@pytest.mark.parametrize(
    ("cores", "fits", "at_once", "threads"), [(2, 20, 2, 1), (2, 1, 1, 2), (16, 5, 5, 3), (1, 9, 1, 1), (8, 0, 1, 8)]
)
def test_more_fits_before_more_threads(cores, fits, at_once, threads) -> None:
    plan = plan_resources(Machine(cores, PLENTY, PLENTY), Workload(100_000, 100, fits))
    assert (plan.fits_at_once, plan.threads_per_fit) == (at_once, threads)


def test_little_memory_gives_fewer_fits_with_more_threads() -> None:
    work = Workload(3_000_000, 780, 20)
    memory = RAY_BYTES + work.store_bytes + work.loading_bytes + 2 * work.fit_bytes
    memory = max(memory, RAY_BYTES + work.store_bytes + work.preparing_bytes)
    plan = plan_resources(Machine(8, memory, PLENTY), work)
    assert plan == ResourcePlan(
        plan.fits_at_once, 8 // plan.fits_at_once, work.store_bytes, work.fit_bytes, plan.peak_bytes
    )
    three = RAY_BYTES + work.store_bytes + work.loading_bytes + 3 * work.fit_bytes
    assert plan_resources(Machine(8, three, PLENTY), work).fits_at_once == 3
    assert plan_resources(Machine(8, three - 1, PLENTY), work).fits_at_once < 3


def test_large_trees_need_more() -> None:
    """A histogram a leaf: what the deep baseline's 1,024 leaves take on all features is not small."""
    small, deep = (Workload(6_866_268, 2748, 1, leaves=leaves).fit_bytes for leaves in (31, 1024))
    assert (deep - small) / GB == pytest.approx(16 * 6 * 2748 * 993 / GB)
    assert 0.2 < (deep - small) / GB < 0.3


def test_shortage_of_memory_says_by_how_much() -> None:
    with pytest.raises(ResourceShortage) as refusal:
        plan_resources(Machine(4, 3 * GB, 64 * GB), Workload(2_700_000, 780, 4))
    # 1.1 x 2.7e6 x (390 + 120) shared, 1 GB for Ray, .2 GB + 2.7e6 x (390 + 60) for the fit, 2.7e6 x 390 to load
    assert str(refusal.value) == (
        "one fit at a time needs 5.0 GB (2,700,000 rows x 780 features), 3.0 GB free here; use a smaller feature_set "
        "or downsampled data"
    )
    # 1.1 x 4e5 x (400 + 120) shared, 1 GB for Ray, .2 GB + 1.5 GB for a block
    with pytest.raises(ResourceShortage, match=r"^binning the features needs 2\.9 GB \(400,000 .*, 2\.0 GB free"):
        plan_resources(Machine(4, 2 * GB, 64 * GB), Workload(400_000, 800, 4))


def test_shortage_of_shared_memory_says_by_how_much() -> None:
    with pytest.raises(ResourceShortage) as refusal:
        plan_resources(Machine(4, 64 * GB, GB // 2), Workload(2_700_000, 780, 4))
    message = str(refusal.value)
    assert message.startswith("the shared dataset needs 1.5 GB of /dev/shm (2,700,000 rows x 780 features), 0.5 GB")
    assert "--shm-size" in message
