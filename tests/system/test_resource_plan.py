"""Cores, bytes and work in, threads and fits out: never more of either than there is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.errors import ResourceShortage
from numerai_ray.system.resources import (
    BLOCK_BYTES,
    GB,
    RAY_BYTES,
    WORKER_BYTES,
    FitSize,
    Machine,
    ResourcePlan,
    Workload,
    block_features,
    plan_resources,
    threads_for,
)

CORES = st.integers(1, 256)
PLENTY = 10**15
WORK = st.builds(
    Workload,
    rows=st.integers(0, 10_000_000),
    features=st.integers(1, 4000),
    fits=st.integers(0, 500),
    fit_bytes=st.integers(WORKER_BYTES, 100 * GB),
    shared_bytes=st.one_of(st.none(), st.integers(0, 40 * GB)),
)
ENGINES = ("five_values", "lightgbm", "lightgbm_unfiltered", "xgboost")
# No fit draws more features than there are.
SIZES = st.builds(
    lambda engine, rows, features, drawn, leaves, weighted: FitSize(
        engine, rows, rows // 4, rows + rows // 8, features, min(drawn, features), leaves, weighted=weighted
    ),
    st.sampled_from(ENGINES),
    st.integers(1, 10_000_000),
    st.integers(1, 4000),
    st.integers(1, 4000),
    st.sampled_from([31, 1024]),
    st.booleans(),
)


def needed(work: Workload, fits: int = 1) -> int:
    """Bytes in all, with so many fits at once."""
    return RAY_BYTES + work.store_bytes + max(fits * work.fit_bytes, work.loading_bytes)


@st.composite
def machines(draw: st.DrawFn, work: Workload, fits: st.SearchStrategy[int]) -> Machine:
    """With memory for so many ``fits`` and a bit, and the store's room or a little more."""
    fixed = RAY_BYTES + work.store_bytes
    memory = fixed + draw(fits) * work.fit_bytes + draw(st.integers(0, work.fit_bytes - 1))
    memory = max(memory, draw(st.sampled_from([0, fixed + work.loading_bytes])))
    return Machine(draw(CORES), memory, work.store_bytes + draw(st.integers(0, GB)))


def has_room(machine: Machine, work: Workload) -> bool:
    return needed(work) <= machine.memory_bytes and work.store_bytes <= machine.shm_bytes


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
    assert needed(work, plan.fits_at_once) == plan.peak_bytes <= machine.memory_bytes
    assert plan.fit_bytes == work.fit_bytes


@given(st.data(), WORK)
def test_what_there_is_is_used(data, work) -> None:
    machine = data.draw(machines(work, st.integers(1, 300)))
    if not has_room(machine, work):
        return
    plan = plan_resources(machine, work)
    short_of_memory = needed(work, plan.fits_at_once + 1) > machine.memory_bytes
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
def test_what_is_shared_and_read_grows_with_the_data(work) -> None:
    more = replace(work, rows=work.rows + 1000, features=work.features + 10)
    assert work.store_bytes <= more.store_bytes
    assert work.loading_bytes <= more.loading_bytes <= WORKER_BYTES + 2 * BLOCK_BYTES
    block = work.rows * min(work.features, block_features(work.rows))
    assert work.loading_bytes >= WORKER_BYTES + 2 * min(block, BLOCK_BYTES)
    if work.shared_bytes is None:
        assert work.store_bytes >= work.rows * work.features


@given(SIZES)
def test_a_fit_needs_more_for_whatever_there_is_more_of(size) -> None:
    least = size.memory_bytes
    assert least >= WORKER_BYTES
    more = {
        "rows": replace(size, rows=size.rows + 1000, span=size.span + 1000),
        "predicted": replace(size, predicted=size.predicted + 200_000),
        "features": replace(size, features=size.features + 24, drawn=size.drawn + 24),
        "leaves": replace(size, leaves=2 * size.leaves),
        "weighted": replace(size, weighted=True),
    }
    assert all(each.memory_bytes >= least for each in more.values())
    assert all(more[name].memory_bytes > least for name in ("rows", "features"))
    if size.engine == "five_values":
        assert replace(size, features=size.features + 1000).memory_bytes == least, "only what a tree draws is packed"
        assert replace(size, span=2 * size.span + 1).memory_bytes > least, "rows between are there, too"
    assert size.engine != "lightgbm_unfiltered" or replace(size, engine="lightgbm").memory_bytes == least


@pytest.mark.parametrize(
    ("engine", "gb"),
    [
        # A tenth of 2,400 features are 10 words of 8 bytes, and 60 bytes a row; 32 histograms of 240 x 80 bytes.
        ("five_values", 0.2 + 0.88 * (80 + 60) / 1000 + 0.176 * 16 / 1000 + 80 * 240 * 32 / 1e9),
        # A byte a value, and 10 of 200,000 rows while it is made; 31 histograms of 2,400 x 96 bytes.
        ("lightgbm", 0.2 + 0.704 * 2.4 + 0.2 * 24 + 0.704 * 0.06 + 0.176 * 0.016 + 96 * 2400 * 31 / 1e9),
        # Eight bytes a value of rows to train on and to predict.
        ("xgboost", 0.2 + 0.88 * (8 * 2400 + 60) / 1000),
    ],
)
def test_what_a_fit_takes_by_its_engine(engine, gb) -> None:
    """The last of five expanding folds of 400 eras x 2,200 rows x 2,400 features."""
    size = FitSize(engine, 704_000, 176_000, 880_000, 2400, 240)
    assert size.memory_bytes / GB == pytest.approx(gb, rel=1e-6)


@pytest.mark.parametrize(
    ("cores", "fits", "at_once", "threads"), [(2, 20, 2, 1), (2, 1, 1, 2), (16, 5, 5, 3), (1, 9, 1, 1), (8, 0, 1, 8)]
)
def test_more_fits_before_more_threads(cores, fits, at_once, threads) -> None:
    plan = plan_resources(Machine(cores, PLENTY, PLENTY), Workload(100_000, 100, fits, GB))
    assert (plan.fits_at_once, plan.threads_per_fit) == (at_once, threads)


def test_little_memory_gives_fewer_fits_with_more_threads() -> None:
    work = Workload(3_000_000, 780, 20, 2 * GB)
    plan = plan_resources(Machine(8, needed(work, 2), PLENTY), work)
    assert plan == ResourcePlan(2, 4, work.store_bytes, 2 * GB, needed(work, 2))
    assert plan_resources(Machine(8, needed(work, 3), PLENTY), work).fits_at_once == 3
    assert plan_resources(Machine(8, needed(work, 3) - 1, PLENTY), work).fits_at_once == 2


@pytest.mark.parametrize(("engine", "drawn", "a_value"), [("five_values", 275, 80), ("lightgbm", 2748, 96)])
def test_large_trees_need_more(engine, drawn, a_value) -> None:
    """A histogram a leaf: what the deep baseline's 1,024 leaves take on all features is not small."""
    rows = 6_866_268
    small, deep = (FitSize(engine, rows, rows, rows, 2748, 275, leaves).memory_bytes for leaves in (31, 1024))
    assert deep - small == pytest.approx(a_value * drawn * 993, abs=1)


def test_shortage_of_memory_says_by_how_much() -> None:
    with pytest.raises(ResourceShortage) as refusal:
        plan_resources(Machine(4, 3 * GB, 64 * GB), Workload(2_700_000, 780, 4, GB))
    # 1.1 x 2.7e6 x (780 + 120) shared, 1 GB for Ray, 1 GB for the fit
    assert str(refusal.value) == (
        "one fit at a time needs 4.7 GB (2,700,000 rows x 780 features), 3.0 GB free here; use a smaller feature_set "
        "or downsampled data"
    )
    # 1.1 x 4e5 x (800 + 120) shared, 1 GB for Ray, .2 GB + 2 x .25 GB for a block
    with pytest.raises(ResourceShortage, match=r"^reading the features needs 2\.1 GB \(400,000 .*, 2\.0 GB free"):
        plan_resources(Machine(4, 2 * GB, 64 * GB), Workload(400_000, 800, 4, GB // 2))


def test_shortage_of_shared_memory_says_by_how_much() -> None:
    with pytest.raises(ResourceShortage) as refusal:
        plan_resources(Machine(4, 64 * GB, GB // 2), Workload(2_700_000, 780, 4, GB))
    message = str(refusal.value)
    assert message.startswith("the shared dataset needs 2.7 GB of /dev/shm (2,700,000 rows x 780 features), 0.5 GB")
    assert "--shm-size" in message


@pytest.mark.parametrize(
    ("costs", "cores", "threads"),
    [
        ([], 8, []),
        ([4, 3, 2, 1], 2, [1, 1, 1, 1]),  # both cores are at work until the end
        ([1] * 5, 2, [1, 1, 1, 1, 2]),  # the last one would go on alone
        ([9, 1, 1], 4, [3, 1, 1]),
        ([4] * 5 + [1] * 9, 16, [2] * 5 + [1] * 9),
    ],
)
def test_fits_that_would_go_on_alone_have_more_threads(costs: list[float], cores: int, threads: list[int]) -> None:
    assert threads_for(costs, 1, cores) == threads
    assert max(threads_for(costs, cores, cores), default=cores) == cores, "no more than there are"
