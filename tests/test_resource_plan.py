"""Cores and bytes in, threads and fits out: never more of either than there is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.errors import ResourceShortage
from numerai_ray.resource_plan import (
    GB,
    RAY_BYTES,
    Machine,
    ResourcePlan,
    fit_memory_bytes,
    plan_resources,
    shared_bytes,
)

CORES = st.integers(1, 256)
ROWS = st.integers(0, 10_000_000)
FEATURES = st.integers(1, 4000)
FITS = st.integers(0, 500)
PLENTY = 10**15


@st.composite
def machines(draw: st.DrawFn, rows: int, features: int, fits: st.SearchStrategy[int]) -> Machine:
    """With memory for so many ``fits`` and a bit, and the store's room or a little more or less."""
    store = plan_resources(Machine(1, PLENTY, PLENTY), rows, features, 1).object_store_bytes
    per_fit = fit_memory_bytes(rows, features)
    memory = RAY_BYTES + store + draw(fits) * per_fit + draw(st.integers(0, per_fit - 1))
    return Machine(draw(CORES), memory, store + draw(st.integers(0, GB)))


@given(st.data(), ROWS, FEATURES, FITS)
def test_a_plan_never_takes_more_than_there_is(data, rows, features, fits) -> None:
    machine = data.draw(machines(rows, features, st.integers(1, 300)))
    plan = plan_resources(machine, rows, features, fits)
    assert plan.fits_at_once >= 1
    assert plan.threads_per_fit >= 1
    assert plan.fits_at_once * plan.threads_per_fit <= machine.cores
    assert plan.fits_at_once <= max(1, fits)
    assert plan.object_store_bytes <= machine.shm_bytes
    assert RAY_BYTES + plan.object_store_bytes + plan.fits_at_once * plan.fit_bytes <= machine.memory_bytes
    assert plan.fit_bytes == fit_memory_bytes(rows, features)
    assert plan.object_store_bytes >= shared_bytes(rows, features)


@given(st.data(), ROWS, FEATURES, st.integers(1, 500))
def test_what_there_is_is_used(data, rows, features, fits) -> None:
    machine = data.draw(machines(rows, features, st.integers(1, 300)))
    plan = plan_resources(machine, rows, features, fits)
    one_more = RAY_BYTES + plan.object_store_bytes + (plan.fits_at_once + 1) * plan.fit_bytes
    short_of_memory = one_more > machine.memory_bytes
    assert short_of_memory or plan.fits_at_once in (machine.cores, fits)
    assert (plan.threads_per_fit + 1) * plan.fits_at_once > machine.cores


@given(st.data(), ROWS, FEATURES, FITS, st.booleans())
def test_it_is_refused_exactly_when_one_fit_has_no_room(data, rows, features, fits, small_store) -> None:
    machine = data.draw(machines(rows, features, st.integers(0, 1)))
    store = plan_resources(Machine(1, PLENTY, PLENTY), rows, features, 1).object_store_bytes
    if small_store:
        machine = replace(machine, shm_bytes=store - 1)
    enough_memory = store + RAY_BYTES + fit_memory_bytes(rows, features) <= machine.memory_bytes
    if enough_memory and not small_store:
        assert plan_resources(machine, rows, features, fits).fits_at_once == 1
    else:
        with pytest.raises(ResourceShortage):
            plan_resources(machine, rows, features, fits)


@given(ROWS, FEATURES)
def test_need_grows_with_the_data(rows, features) -> None:
    for need in (fit_memory_bytes, shared_bytes):
        assert need(rows, features) <= need(rows + 1000, features) <= need(rows + 1000, features + 10)
        # int8 features and their bins alone
        assert need(rows, features) >= rows * features


@pytest.mark.parametrize(
    ("cores", "fits", "at_once", "threads"), [(2, 20, 2, 1), (2, 1, 1, 2), (16, 5, 5, 3), (1, 9, 1, 1), (8, 0, 1, 8)]
)
def test_more_fits_before_more_threads(cores, fits, at_once, threads) -> None:
    plan = plan_resources(Machine(cores, PLENTY, PLENTY), 100_000, 100, fits)
    assert (plan.fits_at_once, plan.threads_per_fit) == (at_once, threads)


def test_little_memory_gives_fewer_fits_with_more_threads() -> None:
    rows, features = 1_000_000, 780
    store = plan_resources(Machine(1, PLENTY, PLENTY), rows, features, 1).object_store_bytes
    memory = RAY_BYTES + store + 2 * fit_memory_bytes(rows, features)
    plan = plan_resources(Machine(8, memory, PLENTY), rows, features, 20)
    assert plan == ResourcePlan(2, 4, store, fit_memory_bytes(rows, features))
    assert plan_resources(Machine(8, memory - 1, PLENTY), rows, features, 20).fits_at_once == 1


def test_shortage_of_memory_says_by_how_much() -> None:
    with pytest.raises(ResourceShortage) as refusal:
        plan_resources(Machine(4, 4 * GB, 64 * GB), 2_700_000, 780, 4)
    # 1.2 x (1.5 x 2.7e6 x 780 + 120 x 2.7e6) shared, 1 GB for Ray, 0.2 GB + 2.7e6 x (780 + 40) for the fit
    assert str(refusal.value) == (
        "one fit at a time needs 7.6 GB (2,700,000 rows x 780 features), 4.0 GB free here; use a smaller feature_set "
        "or downsampled data"
    )


def test_shortage_of_shared_memory_says_by_how_much() -> None:
    with pytest.raises(ResourceShortage) as refusal:
        plan_resources(Machine(4, 64 * GB, GB // 2), 2_700_000, 780, 4)
    message = str(refusal.value)
    assert message.startswith("the shared dataset needs 4.2 GB of /dev/shm, 0.5 GB there; use a smaller feature_set")
    assert "--shm-size" in message
