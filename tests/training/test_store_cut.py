"""What goes of a store: found in passes, with little held, as by sorting all of it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numerai_ray.training.store import cut
from numerai_ray.training.store.care import DAY_S, PARTIAL_S, Limits, removals
from numerai_ray.training.store.cut import ENTRIES, KINDS, StoreFile, beyond

AGES = st.sampled_from([0.0, 1.0, PARTIAL_S, DAY_S, 2 * DAY_S, 2 * DAY_S + 0.5])
FILES = st.lists(st.tuples(st.sampled_from(list(KINDS.values())), AGES, st.integers(0, 9)), max_size=60)
LIMITS = st.builds(
    Limits, st.none() | st.sampled_from([0, 1, 2]), st.none() | st.integers(0, 200), models=st.booleans()
)


def simple(files: list[StoreFile], limits: Limits) -> dict[str, str]:
    """Names and reasons, by sorting all files."""
    files = sorted(files, key=lambda file: (-file.age_s, file.name))
    found = {file.name: "damaged" for file in files if file.kind == "damaged"}
    for file in files:
        if file.kind == "partial" and file.age_s >= PARTIAL_S:
            found[file.name] = "left behind by a writer that died"
    entries = [file for file in files if file.kind in ENTRIES]
    if not limits.models:
        found |= {file.name: "a model" for file in entries if file.kind == "model"}
        entries = [file for file in entries if file.kind != "model"]
    if limits.days is not None:
        old = [file for file in entries if file.age_s >= limits.days * DAY_S]
        found |= {file.name: "older than asked" for file in old}
        entries = entries[len(old) :]
    if limits.size_bytes is not None:
        over = sum(file.size_bytes for file in entries) - limits.size_bytes
        for file in sorted(entries, key=lambda file: file.kind != "model"):
            if over <= 0:
                break
            found[file.name] = "beyond the size asked"
            over -= file.size_bytes
    return found


@pytest.fixture(params=[(20_000, 4_000), (3, 2), (5, 3)])
def held(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How much is held at once: all of these files, or next to none."""
    most, ranges = request.param
    monkeypatch.setattr(cut, "MOST_HELD", most)
    monkeypatch.setattr(cut, "RANGES", ranges)
    return int(most)


def test_the_same_goes_as_by_sorting_all_of_it(held: int) -> None:
    @given(FILES, LIMITS)
    def check(drawn: list[tuple[cut.Kind, float, int]], limits: Limits) -> None:
        files = [StoreFile(f"{i % 7}/{i}.{kind}", size, age, kind) for i, (kind, age, size) in enumerate(drawn)]
        found = list(removals(files, limits))
        assert {each.file.name: each.reason for each in found} == simple(files, limits)
        assert len(found) == len({each.file.name for each in found})

    check()


def test_no_more_than_a_part_is_held() -> None:
    count, alive, most = 100_000, 0, 0

    class Counted(StoreFile):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def entries() -> Iterator[StoreFile]:
        nonlocal alive, most
        for number in range(count):
            alive += 1
            most = max(most, alive)
            # all of the same second, as after a copy
            yield Counted(f"{number % 256:02x}/{number * 2654435761 % 2**32:08x}.fit", 10, 5.0, "fit")

    assert sum(1 for _ in beyond(entries, 5 * count)) == count // 2
    assert most < cut.MOST_HELD


def test_what_another_process_removes_meanwhile_is_not_removed_for_again() -> None:
    files = [StoreFile(f"aa/{number:06d}.fit", 10, 1e6 - number, "fit") for number in range(50_000)]
    passes = 0

    def entries() -> Iterator[StoreFile]:
        nonlocal passes
        passes += 1
        return iter(files if passes < 3 else files[20_000:])

    gone = list(beyond(entries, 300_000))
    assert [file.name for file in gone] == []
