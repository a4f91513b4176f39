"""Places that hold files: a folder and a bucket under one contract, and what an error message never shows."""

import json
import os
import pickle
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from contracts import config, ignore, same_outcome
from google_server import google_server
from s3_server import KEYS, s3_server

from numerai_ray.data.dataset import file_fingerprint, load_columns, load_features
from numerai_ray.errors import DataError, EnvironmentFault, RequestError
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.system.storage import (
    FileFacts,
    Place,
    Url,
    check_writable,
    chunks,
    download,
    facts,
    files_below,
    folders_in,
    open_random,
    place,
    rename,
    upload,
    write_whole,
)
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore, StoredFit


@pytest.fixture(scope="module")
def server() -> Iterator[Mapping[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture
def s3(server: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NUMERAI_RAY_CACHE", str(tmp_path / "cache"))
    return f"s3://numerai/{tmp_path.name}"


@pytest.fixture(scope="module")
def google() -> Iterator[Mapping[str, str]]:
    with google_server() as environment:
        yield environment


@pytest.fixture
def gs(google: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name, value in google.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NUMERAI_RAY_CACHE", str(tmp_path / "cache"))
    return f"gs://numerai/{tmp_path.name}"


@pytest.fixture(params=["folder", "s3", "gs"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path / "place" if request.param == "folder" else place(request.getfixturevalue(request.param))


def test_what_is_written_is_read(root: Place, tmp_path: Path) -> None:
    file = root / "v5.2/a file.bin"
    assert not file.exists()
    with pytest.raises(FileNotFoundError):
        file.read_bytes()
    write_whole(file, b"one")
    write_whole(file, b"two, longer")
    assert file.read_bytes() == b"two, longer"
    assert file.is_file()
    assert file.parent.is_dir()
    assert (file.name, file.stem, file.suffix, file.parent.name) == ("a file.bin", "a file", ".bin", "v5.2")
    assert facts(file).size_bytes == 11
    assert b"".join(chunks(file)) == b"two, longer"
    with open_random(file) as handle:
        handle.seek(5)
        assert handle.read(6) == b"longer"
    download(file, tmp_path / "down")
    upload(tmp_path / "down", root / "up/again")
    assert (root / "up/again").read_text() == "two, longer"
    assert [each.name for each in files_below(root)] == ["up/again", "v5.2/a file.bin"]
    assert folders_in(root) == ["up", "v5.2"]
    rename(file, "other")
    assert [each.name for each in files_below(root / "v5.2")] == ["other"]
    (root / "v5.2/other").unlink()
    (root / "v5.2/other").unlink(missing_ok=True)
    assert [each.name for each in files_below(root)] == ["up/again"]


def test_what_is_not_there(root: Place) -> None:
    assert files_below(root / "nothing") == []
    assert folders_in(root / "nothing") == []
    with pytest.raises(FileNotFoundError):
        facts(root / "nothing")
    with pytest.raises(FileNotFoundError):
        open_random(root / "nothing")


def test_a_large_object_arrives_whole(s3: str, tmp_path: Path) -> None:
    """Larger than one part of a multipart upload."""
    content = np.random.default_rng(1).integers(0, 256, 23_000_000, np.uint8).tobytes()
    (tmp_path / "large").write_bytes(content)
    target = place(f"{s3}/large")
    upload(tmp_path / "large", target)
    assert facts(target) == FileFacts("large", len(content), facts(target).changed_ns)
    assert target.read_bytes() == content


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/x", "must be a local path or a URL s3:// "),
        ("s3://AKIA:very-secret@bucket/x", "must not hold keys"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/x?endpoint=http://host", "unknown option 'endpoint'"),
        ("s3://[bucket/x", "not a URL"),
    ],
)
def test_a_wrong_url_is_refused(text: str, words: str) -> None:
    with pytest.raises(RequestError) as refused:
        place(text)
    assert words.strip() in str(refused.value).replace("… or gs://…", "")
    assert "secret@" not in str(refused.value)
    assert "very-secret" not in str(refused.value)


def test_a_url_reads_as_it_was_written() -> None:
    url = place("s3://bucket/data/v5.2?endpoint_override=http://127.0.0.1:9&region=eu-west-1")
    assert isinstance(url, Url)
    assert str(url / "full.parquet").startswith("s3://bucket/data/v5.2/full.parquet?endpoint")
    assert pickle.loads(pickle.dumps(url)) == url
    assert place("data") == Path("data")
    assert str(place("gs://bucket/a/").parent) == "gs://bucket"


def test_messages_say_what_to_do_and_show_no_keys(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFault, match="no such bucket"):
        check_writable(place("s3://nowhere/x"), "--results")  # type: ignore[arg-type]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(EnvironmentFault, match="cannot be reached; check AWS_ENDPOINT_URL") as unreachable:
        place(s3).exists()
    assert not any(secret in str(unreachable.value) for secret in KEYS.values())


def test_a_fit_store_in_a_bucket(s3: str) -> None:
    store = FitStore(place(f"{s3}/store"))
    key = "ab" + "0" * 62
    assert store.get(key) is None
    assert not store.has(key)
    store.put(key, StoredFit(np.array([0.1, 0.2]), {"seconds": 1.0}))
    found = store.get(key)
    assert found is not None
    assert found.predictions.tolist() == [0.1, 0.2]
    entry = store.path(key)
    entry.write_bytes(entry.read_bytes()[:-3])
    assert store.get(key) is None
    assert not store.has(key)
    assert [each.name for each in files_below(store.root)] == [f"ab/{key}.damaged"]


def copied(market: Path, root: Place) -> Place:
    for file in (market / "tiny").iterdir():
        if file.is_file():
            upload(file, root / "tiny" / file.name)
    return root


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_data_in_a_bucket_equals_data_in_a_folder(
    kind: str, request: pytest.FixtureRequest, market: Path, tmp_path: Path
) -> None:
    far = copied(market, place(f"{request.getfixturevalue(kind)}/data"))
    plans = [Catalog(root).plan("base", "test/r1/base", config()) for root in (market, far)]
    assert [fit.key for fit in plans[0].fits] == [fit.key for fit in plans[1].fits], "one store serves both"
    near_index, far_index = plans[0].index, plans[1].index
    names = plans[0].fits[0].features
    np.testing.assert_array_equal(
        np.stack(load_features(near_index, names).columns), np.stack(load_features(far_index, names).columns)
    )
    sides = [load_columns(i, plans[0].config.data, ["target"], plans[0].benchmarks) for i in (near_index, far_index)]
    np.testing.assert_array_equal(sides[0].ids, sides[1].ids)
    runs = [InProcessRunner(FitStore(tmp_path / str(number)), threads=1) for number in range(2)]
    near, there = (run.run([plan], ignore)["base"] for run, plan in zip(runs, plans, strict=True))
    same_outcome(there, near)
    given = {each.name for each in files_below(market) if not each.name.split("/")[-1].startswith(".")}
    there = {each.name for each in files_below(far)}
    assert "tiny/full.parquet" in there
    made = {each for each in there - given if not each.endswith(".digests")}
    assert made <= {"tiny/.fingerprints.json"}, "nothing is made of the data there but what tells its contents"


def test_a_file_in_a_bucket_is_hashed_once(s3: str, market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    far = copied(market, place(f"{s3}/data"))
    file = far / "tiny" / "full.parquet"
    digest = file_fingerprint(file)
    assert digest == file_fingerprint(market / "tiny" / "full.parquet")
    assert json.loads((far / "tiny" / ".fingerprints.json").read_text())["full.parquet"][2] == digest
    monkeypatch.setattr("numerai_ray.data.dataset.chunks", None)
    assert file_fingerprint(file) == digest


def test_damaged_data_in_a_bucket(s3: str, market: Path) -> None:
    far = copied(market, place(f"{s3}/data"))
    with pytest.raises(DataError, match="versions there: tiny"):
        Catalog(far).plan("x", "x", config({"data": {"version": "v9"}}))
    (far / "tiny" / "full.parquet").write_bytes(b"PAR1 is not enough")
    with pytest.raises(DataError, match="not a readable parquet file"):
        Catalog(far).plan("x", "x", config())


def test_parquet_in_a_bucket_is_read_by_ranges(s3: str, market: Path, tmp_path: Path) -> None:
    source = market / "tiny" / "full.parquet"
    upload(source, place(f"{s3}/full.parquet"))
    shutil.copy(source, tmp_path / "full.parquet")
    for where in (place(f"{s3}/full.parquet"), tmp_path / "full.parquet"):
        assert pq.ParquetFile(open_random(where)).metadata.num_rows == pq.ParquetFile(source).metadata.num_rows


def test_a_folder_is_listed_while_it_changes(tmp_path: Path) -> None:
    """Files and folders that go between two looks at them are not there; the others are all told."""
    (tmp_path / "stays").write_bytes(b"1")
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            for number in range(20):
                (tmp_path / f"goes{number}").mkdir()
                (tmp_path / f"goes{number}" / "file").write_bytes(b"2")
            for number in range(20):
                shutil.rmtree(tmp_path / f"goes{number}")

    busy = threading.Thread(target=come_and_go)
    busy.start()
    try:
        for _ in range(300):
            assert "stays" in [each.name for each in files_below(tmp_path)]
    finally:
        over.set()
        busy.join()


def test_what_is_no_file_is_not_among_the_files_below_a_folder(tmp_path) -> None:
    """Reading a pipe waits for whoever would write it, for ever."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(b"x")
    os.mkfifo(tmp_path / "a" / "pipe")
    assert [each.name for each in files_below(tmp_path)] == ["a/file"]
