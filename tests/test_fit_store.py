"""What was trained is read back to the bit, and what is damaged is set aside and trained again."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from numerai_ray.errors import EnvironmentFault
from numerai_ray.fit_store import MAGIC, FitStore, StoredFit

KEY = "ab" + "0" * 62
FACTS = {"train_seconds": 1.5, "rows": 3, "library": "lightgbm 4.7.0", "best": None, "lengths": [1, 2]}


@pytest.fixture
def store(tmp_path: Path) -> FitStore:
    return FitStore(tmp_path / "fits")


def fit(*predictions: float) -> StoredFit:
    return StoredFit(np.array(predictions, np.float64), FACTS)


def files(store: FitStore) -> list[str]:
    return sorted(path.name for path in store.root.rglob("*") if path.is_file())


def test_a_fit_is_read_back(store: FitStore) -> None:
    assert not store.has(KEY)
    assert store.get(KEY) is None
    store.put(KEY, fit(0.1, 0.2, 0.3))
    assert store.has(KEY)
    found = store.get(KEY)
    assert found is not None
    assert found.predictions.tolist() == [0.1, 0.2, 0.3]
    assert found.facts == FACTS
    assert FitStore(store.root).get(KEY) is not None
    assert store.get("cd" + "0" * 62) is None


@given(arrays(np.float64, st.integers(0, 50), elements=st.floats(allow_subnormal=True)))
def test_predictions_keep_every_bit(tmp_path_factory, predictions) -> None:
    store = FitStore(tmp_path_factory.getbasetemp() / "bits")
    store.put(KEY, StoredFit(predictions, {}))
    found = store.get(KEY)
    assert found is not None
    assert found.predictions.dtype == np.float64
    assert found.predictions.tobytes() == predictions.tobytes()


def test_any_layout_of_memory_may_be_stored(store: FitStore) -> None:
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    store.put(KEY, StoredFit(table[::-1, 1], {}))
    found = store.get(KEY)
    assert found is not None
    assert found.predictions.tolist() == [10.0, 7.0, 4.0, 1.0]


def test_facts_may_be_unknown_numbers(store: FitStore) -> None:
    store.put(KEY, StoredFit(np.zeros(1), {"loss": math.nan}))
    found = store.get(KEY)
    assert found is not None
    assert math.isnan(found.facts["loss"])


def test_the_last_writer_stays(store: FitStore) -> None:
    store.put(KEY, fit(1.0))
    store.put(KEY, fit(2.0))
    found = store.get(KEY)
    assert found is not None
    assert found.predictions.tolist() == [2.0]
    assert files(store) == [f"{KEY}.fit"]


def damaged(content: bytes, how: str) -> bytes:
    """``content`` of an entry of three predictions, damaged."""
    return {
        "empty": b"",
        "one byte": content[:1],
        "cut in the magic": content[: len(MAGIC) - 1],
        "cut in the size": content[: len(MAGIC) + 3],
        "cut in the head": content[: len(MAGIC) + 30],
        "cut in the predictions": content[:-1],
        "cut by a prediction": content[:-8],
        "longer": content + b"\0" * 8,
        "a flipped bit": content[:-1] + bytes([content[-1] ^ 1]),
        "a head that is no JSON": content.replace(b'{"facts"', b'["facts"'),
        "another hash": content.replace(b'"sha256": "', b'"sha256": "0', 1),
        "no hash": content.replace(b'"sha256"', b'"sha25x"'),
        "no facts": content.replace(b'"facts"', b'"fakts"'),
        "another version": content.replace(b"fit 1", b"fit 2"),
        "foreign": b"PAR1" + b"\0" * 200,
        "a huge size": content[: len(MAGIC)] + b"\xff" * 8 + content[len(MAGIC) + 8 :],
        "zeros of the same length": b"\0" * len(content),
    }[how]


HOW = (
    "empty", "one byte", "cut in the magic", "cut in the size", "cut in the head", "cut in the predictions",
    "cut by a prediction", "longer", "a flipped bit", "a head that is no JSON", "another hash", "no hash", "no facts",
    "another version", "foreign", "a huge size", "zeros of the same length",
)  # fmt: skip


@pytest.mark.parametrize("how", HOW)
def test_a_damaged_entry_is_set_aside_and_replaced(store: FitStore, how) -> None:
    store.put(KEY, fit(0.1, 0.2, 0.3))
    path = store.path(KEY)
    broken = damaged(path.read_bytes(), how)
    assert broken != path.read_bytes()
    path.write_bytes(broken)
    assert store.get(KEY) is None
    assert not store.has(KEY)
    assert files(store) == [f"{KEY}.damaged"]
    assert path.with_suffix(".damaged").read_bytes() == broken
    store.put(KEY, fit(0.4))
    found = store.get(KEY)
    assert found is not None
    assert found.predictions.tolist() == [0.4]


def test_writers_and_readers_at_once_see_whole_entries(store: FitStore) -> None:
    keys = [f"{number:02x}" + "0" * 62 for number in range(3)]
    rows = 20_000

    def write(turn: int) -> None:
        store.put(keys[turn % 3], StoredFit(np.full(rows, float(turn)), {"turn": turn}))

    def read(turn: int) -> bool:
        found = store.get(keys[turn % 3])
        if found is None:
            return True
        return len(found.predictions) == rows and bool((found.predictions == found.facts["turn"]).all())

    with ThreadPoolExecutor(8) as pool:
        written = [pool.submit(write, turn) for turn in range(60)]
        seen = list(pool.map(read, range(120)))
        for each in written:
            each.result()
    assert all(seen)
    assert files(store) == sorted(f"{key}.fit" for key in keys)
    assert {store.path(key).parent.name for key in keys} == {"00", "01", "02"}


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "fits").write_text("a file where the store should be")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        FitStore(tmp_path / "fits").put(KEY, fit(1.0))


def test_what_cannot_be_stored_leaves_nothing(store: FitStore) -> None:
    with pytest.raises(TypeError):
        store.put(KEY, StoredFit(np.zeros(1), {"model": object()}))
    assert files(store) == []
