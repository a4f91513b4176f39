"""What was trained is read back to the bit, and what is damaged is set aside and trained again."""

import hashlib
import json
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from numerai_ray.errors import EnvironmentFault
from numerai_ray.training.store.entry import write_entry
from numerai_ray.training.store.fits import MAGIC, FitStore, StoredFit, stored_fit

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


def test_no_bit_of_an_entry_changes_unseen(store: FitStore) -> None:
    """Head and size too: one bit of a stored importance changed what a report said, and nobody saw it."""
    path = store.path(KEY)
    store.put(KEY, fit(0.1, 0.2))
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 2]) + content[at + 1 :])
        assert store.get(KEY) is None, f"byte {at}: {content[at : at + 1]!r}"


def test_entries_of_the_version_before_stay_readable(store: FitStore) -> None:
    """Their checksum is of the predictions alone."""
    payload = np.array([0.1, 0.2]).tobytes()
    head = json.dumps({"facts": FACTS, "sha256": hashlib.sha256(payload).hexdigest()}).encode()
    store.path(KEY).parent.mkdir(parents=True)
    store.path(KEY).write_bytes(MAGIC + len(head).to_bytes(8, "little") + head + payload)
    found = store.get(KEY)
    assert found is not None
    assert (found.predictions.tolist(), found.facts) == ([0.1, 0.2], FACTS)


def a_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def another_entry(path: Path) -> None:
    other = FitStore(path.parent.parent)
    other.put("ab" + "1" * 62, fit(9.0, 9.0))
    other.path("ab" + "1" * 62).replace(path)


def a_head(value: Any) -> Callable[[Path], None]:
    return lambda path: write_entry(path, MAGIC, value, np.zeros(2).tobytes())


def a_head_nested_without_end(path: Path) -> None:
    text, payload = b'{"facts": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", np.zeros(2).tobytes()
    path.write_bytes(MAGIC + len(text).to_bytes(8, "little") + text + payload)


@pytest.mark.parametrize(
    "put",
    [a_folder, a_pipe, another_entry, a_head_nested_without_end, a_head({}), a_head({"facts": [1]})],
    ids=["folder", "pipe", "of another name", "nested", "no facts", "a list of facts"],
)
def test_what_is_no_entry_is_set_aside_and_replaced(store: FitStore, put: Callable[[Path], None]) -> None:
    store.put(KEY, fit(0.1, 0.2))
    path = store.path(KEY)
    assert isinstance(path, Path)
    put(path)
    assert store.get(KEY) is None
    assert not store.has(KEY)
    store.put(KEY, fit(0.4))
    found = store.get(KEY)
    assert found is not None
    assert found.predictions.tolist() == [0.4]


def test_an_entry_that_cannot_be_read_is_one_message_and_stays(
    store: FitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(KEY, fit(0.1))

    def refused(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as now:
        now.setattr(Path, "read_bytes", refused)
        with pytest.raises(EnvironmentFault, match=rf"{KEY}\.fit: cannot be read \(Permission denied\); check"):
            store.get(KEY)
    assert store.has(KEY)


IMPORTANCE = {"kind": "gain", "values": [0.5, 0.5, 0.0]}
WHOLE = {"train_rows": 9, "dropped_rows": 0, "seconds": 0.5, "importance": IMPORTANCE}


@pytest.mark.parametrize(
    ("rows", "facts"),
    [
        (4, WHOLE),
        (5, {"train_rows": 9}),
        (5, {**WHOLE, "seconds": "long"}),
        (5, {**WHOLE, "importance": [1]}),
        (5, {**WHOLE, "importance": {**IMPORTANCE, "values": [0.5, 0.5]}}),
        (5, {**WHOLE, "importance": {**IMPORTANCE, "values": [0.5, None, 0.5]}}),
    ],
)
def test_a_whole_entry_of_another_fit_is_set_aside(store: FitStore, rows: int, facts: dict[str, Any]) -> None:
    index = SimpleNamespace(row_ranges=lambda eras: [(10 * era, 10 * era + 5) for era in eras])
    spec: Any = SimpleNamespace(
        key=KEY, names=(KEY,), index=index, fold=SimpleNamespace(validation_eras=(7,)), features=("a", "b", "c")
    )
    store.put(KEY, StoredFit(np.zeros(5), WHOLE))
    assert stored_fit(store, spec) is not None
    store.put(KEY, StoredFit(np.zeros(rows), facts))
    assert stored_fit(store, spec) is None
    assert not store.has(KEY)


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
