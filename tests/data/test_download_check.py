"""What is put in place is Numerai's file, whatever arrived; what lies there is checked once; what the command says."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from numerai_server import Behaviour, NumeraiServer

from numerai_ray.cli.commands.download import progress_line
from numerai_ray.cli.commands.schema import schema_of
from numerai_ray.cli.main import run
from numerai_ray.data.download.check import Known, check_contents, read_features
from numerai_ray.data.download.fetch import EXPERIMENT_FILES, LocalFile, Step, download
from numerai_ray.errors import DataError
from numerai_ray.system.http import Patience

QUICK = Patience(tries=2, sleep=lambda _s: None)
Damage = Callable[[Path], bytes]


@pytest.fixture
def server(market: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NumeraiServer]:
    with NumeraiServer({f"v5.2/{name}": market / "tiny" / name for name in EXPERIMENT_FILES}).running() as server:
        monkeypatch.setenv("NUMERAI_RAY_API_URL", server.url)
        yield server


def fetch(root: Path, *files: str) -> tuple[LocalFile, ...]:
    return download("v5.2", files, root / "v5.2", QUICK)


def with_column(name: str, change: Callable[[list[object]], object]) -> Damage:
    """The bytes of a file with one column changed, in a whole parquet file."""

    def made(folder: Path) -> bytes:
        table = pq.read_table(folder / "train.parquet")
        values = change(table[name].to_pylist())
        column = values if isinstance(values, pa.Array) else pa.array(values, table.schema.field(name).type)
        place = table.schema.get_field_index(name)
        return as_parquet(table.set_column(place, pa.field(name, column.type), column))

    return made


def as_parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def without(name: str) -> Damage:
    return lambda folder: as_parquet(pq.read_table(folder / "train.parquet").drop_columns([name]))


def page_of(column: str) -> Damage:
    """The same size; sixty bytes in the middle of a column's pages are another's."""

    def made(folder: Path) -> bytes:
        content = bytearray((folder / "train.parquet").read_bytes())
        group = pq.read_metadata(folder / "train.parquet").row_group(0)
        chunk = next(group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == column)
        middle = chunk.data_page_offset + chunk.total_compressed_size // 2
        noise = np.random.default_rng(1).bytes(60)
        content[middle : middle + 60] = noise
        return bytes(content)

    return made


def changed_bit(folder: Path) -> bytes:
    """The same size, and a whole parquet file: a bit of its metadata is another's."""
    content = (folder / "train.parquet").read_bytes()
    assert content.count(b"pandas_version") == 1
    return content.replace(b"pandas_version", b"pandas_versioo")


def cut_footer(folder: Path) -> bytes:
    return (folder / "train.parquet").read_bytes()[:-100] + bytes(100)


def first(value: object) -> Callable[[list[object]], object]:
    return lambda values: [value, *values[1:]]


TARGET = "target_ender_20"
# name -> what arrives as train.parquet; words of the message
DAMAGES: dict[str, tuple[Damage, str]] = {
    "empty": (lambda _: b"", "is empty"),
    "a web page": (lambda _: b"<html>please log in</html>", "is no whole parquet file"),
    "zeros in the footer": (cut_footer, "is no whole parquet file"),
    "no rows": (lambda f: as_parquet(pq.read_table(f / "train.parquet").slice(0, 0)), "holds no rows"),
    "a damaged page of ids": (page_of("id"), "ids must be 'n' and 15 hexadecimal digits"),
    "a damaged page of a target": (page_of(TARGET), "of row group 1 are damaged"),
    "live in its place": (
        lambda f: (f / "live.parquet").read_bytes(),
        "data_type must be 'train', but 'live' is there",
    ),
    "validation in its place": (lambda f: (f / "validation.parquet").read_bytes(), "data_type must be 'train'"),
    "benchmarks in its place": (
        lambda f: (f / "train_benchmark_models.parquet").read_bytes(),
        "lacks the column 'data_type'",
    ),
    "no ids": (without("id"), "lacks the column 'id', so"),
    "no eras": (without("era"), "lacks the column 'era', so"),
    "a target gone": (without(TARGET), "lacks the column 'target_ender_20', so"),
    "an era that is none": (with_column("era", first("12b")), "'12b' is there"),
    "an era gone": (with_column("era", first(None)), "column 'era' has 1 rows without a value"),
    "an id gone": (with_column("id", first(None)), "column 'id' has 1 rows without a value"),
    "a target out of range": (with_column(TARGET, first(1.5)), "must hold values from 0 to 1, but holds 0.0 to 1.5"),
    "an infinite target": (with_column(TARGET, first(float("-inf"))), "must hold values from 0 to 1"),
    "a target as text": (with_column(TARGET, lambda v: pa.array(map(str, v))), "must hold numbers, but holds string"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_never_put_in_place(name: str, server: NumeraiServer, tmp_path: Path, market: Path) -> None:
    """Once: fetched again. Always: one clear message; the other files come all the same, the older one stays."""
    damage, words = DAMAGES[name]
    content = damage(market / "tiny")
    # The ETag is no checksum here, so that the contents alone must tell.
    server.behave("v5.2/train.parquet", Behaviour(content=content, etag='"new"'))
    fetch(tmp_path, "features", "train")
    train, right = tmp_path / "v5.2" / "train.parquet", (market / "tiny" / "train.parquet").read_bytes()
    assert train.read_bytes() == right

    server.usual["v5.2/train.parquet"] = Behaviour(content=content, etag='"new"')
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, "features", "train", "live")
    message = str(caught.value)
    assert words in message
    assert "1 of 3 files failed; in place and checked: features.json, live.parquet\n" in message
    assert "train.parquet: " in message
    assert "(fetched 2 times)" in message
    assert train.read_bytes() == right
    assert not [path for path in train.parent.iterdir() if ".part" in path.name]


def test_an_etag_that_is_a_checksum(server: NumeraiServer, tmp_path: Path, market: Path) -> None:
    """Bytes that differ from it are fetched again; the same bytes twice mean that it is none."""
    folder, name = market / "tiny", "v5.2/train.parquet"
    right, wrong = (folder / "train.parquet").read_bytes(), changed_bit(folder)
    etag = f'"{hashlib.md5(right).hexdigest()}"'
    server.behave(name, Behaviour(content=wrong, etag=etag))
    (train,) = fetch(tmp_path, "train")
    assert train.path.read_bytes() == right
    assert len(server.seen(name)) == 2

    server.usual[name] = Behaviour(content=wrong, etag='"0123456789abcdef0123456789abcdef"')
    (train,) = fetch(tmp_path, "train")
    assert train.path.read_bytes() == wrong
    assert len(server.seen(name)) == 4
    server.behave(name, Behaviour(content=wrong, etag=etag), Behaviour(content=changed_bit(folder)[::-1], etag=etag))
    server.usual[name] = Behaviour(etag=etag)
    with pytest.raises(DataError, match=r"its bytes are not .* the file server's checksum is of \(fetched 2"):
        fetch(tmp_path, "train")
    assert train.path.read_bytes() == wrong


def test_a_feature_out_of_range_or_gone(market: Path, tmp_path: Path) -> None:
    folder = market / "tiny"
    known = read_features(folder / "features.json")
    feature = known.features[3]
    for damage, words in (
        (without(feature), f"train.parquet: lacks the column {feature!r}, so it is another file"),
        (with_column(feature, first(5)), f"column {feature!r} must hold values from 0 to 4, but holds 0 to 5"),
        (with_column(feature, first(-1)), "must hold values from 0 to 4, but holds -1"),
        (with_column(feature, first(None)), "has 1 rows without a value"),
    ):
        path = tmp_path / "train.parquet"
        path.write_bytes(damage(folder))
        with pytest.raises(DataError, match=words.replace("(", r"\(")):
            check_contents(path, "train.parquet", known, lambda _done, _total: None)
    # what is still unknown is no damage: NaN, and whole columns of it
    path.write_bytes(with_column(TARGET, lambda values: [float("nan")] * len(values))(folder))
    assert check_contents(path, "train.parquet", known, lambda _done, _total: None).eras == (1, 56)


def test_eras_of_one_file_against_anothers(market: Path) -> None:
    folder = market / "tiny"
    nothing: Callable[[int, int], None] = lambda _done, _total: None  # noqa: E731
    wrong = {
        "train.parquet": ({"validation.parquet": (56, 120)}, "train must end before validation begins"),
        "validation.parquet": ({"train.parquet": (1, 57)}, "train must end before validation begins"),
        "train_benchmark_models.parquet": ({"train.parquet": (1, 50)}, "must lie within train's eras 0001–0050"),
        "validation_benchmark_models.parquet": (
            {"validation.parquet": (60, 120)},
            "must not begin before validation's eras 0060–0120",
        ),
    }
    for name, (eras, words) in wrong.items():
        assert check_contents(folder / name, name, Known(), nothing).rows
        with pytest.raises(DataError, match=f"{name}: {words}"):
            check_contents(folder / name, name, Known(eras=eras), nothing)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"feature_sets": {}}', '{"feature_sets": {"all": "x"}}', '{"feature_sets": {"all": [1]}}',
     '{"feature_sets": {"all": ["a"]}, "targets": [1]}'],
)  # fmt: skip
def test_features_json_must_be_one(content: str, server: NumeraiServer, tmp_path: Path) -> None:
    server.usual["v5.2/features.json"] = Behaviour(content=content.encode())
    with pytest.raises(DataError, match=r"features.json: "):
        fetch(tmp_path, "features", "live")
    assert (tmp_path / "v5.2" / "live.parquet").exists()
    assert not (tmp_path / "v5.2" / "features.json").exists()


def test_a_large_file_is_read_in_blocks(market: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every column once, however small the blocks are."""
    monkeypatch.setattr("numerai_ray.data.download.check._BLOCK_BYTES", 3000 * 9)
    seen: list[tuple[int, int]] = []
    path = market / "tiny" / "train.parquet"
    check_contents(path, "train.parquet", Known(), lambda done, total: seen.append((done, total)))
    columns = pq.read_metadata(path).num_columns
    assert len(seen) > 5
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (columns, columns)


def place(server: NumeraiServer, root: Path, content: bytes, *, older: bool = False) -> Path:
    """Put a train.parquet that nobody signed for where a download will look."""
    path = root / "v5.2" / "train.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    times = server.files["v5.2/train.parquet"].stat().st_mtime + (-60 if older else 60)
    os.utime(path, (times, times))
    return path


def test_a_file_that_was_here_before(server: NumeraiServer, tmp_path: Path, market: Path) -> None:
    folder, name = market / "tiny", "v5.2/train.parquet"
    right = (folder / "train.parquet").read_bytes()
    cases = {
        "right": (right, False, "checked", 0),
        "wrong, of the right size": (page_of("id")(folder), False, "downloaded", 1),
        "wrong in a way that only a checksum tells": (changed_bit(folder), False, "downloaded", 1),
        "of another size": (right[:-1], False, "downloaded", 1),
        "older than the server's": (right, True, "downloaded", 1),
    }
    for case, (content, older, status, fetches) in cases.items():
        root = tmp_path / case
        path = place(server, root, content, older=older)
        server.log.clear()
        assert fetch(root, "train")[0].status == status, case
        assert path.read_bytes() == right
        assert len(server.seen(name)) == fetches, case
        assert fetch(root, "train")[0].status == "up to date"


def test_what_was_signed_for_and_changed(server: NumeraiServer, tmp_path: Path, market: Path) -> None:
    """A file of the right size that changed after its check, and a new one of the same size on the server."""
    name, right = "v5.2/train.parquet", (market / "tiny" / "train.parquet").read_bytes()
    fetch(tmp_path, "train")
    path = place(server, tmp_path, page_of("id")(market / "tiny"))
    assert fetch(tmp_path, "train")[0].status == "downloaded"
    assert path.read_bytes() == right

    server.usual[name] = Behaviour(etag='"of the next day"')
    assert fetch(tmp_path, "train")[0].status == "downloaded"
    assert fetch(tmp_path, "train")[0].status == "up to date"
    # without a word of the server's on the file, nobody knows
    server.usual[name] = Behaviour(says_size=False, honours_range=False)
    assert fetch(tmp_path, "train")[0].status == "downloaded"
    path.unlink()
    assert fetch(tmp_path, "train")[0].status == "downloaded"


def test_without_an_etag_the_footer_tells(server: NumeraiServer, tmp_path: Path, market: Path) -> None:
    """Late labels may come in a file of the same size."""
    name, weak = "v5.2/train.parquet", 'W/"meaning"'
    whole = pq.read_table(market / "tiny" / "train.parquet")
    about = whole.schema.metadata or {}
    weeks = []
    for week in (b"1", b"2"):
        path = tmp_path / "week.parquet"
        pq.write_table(whole.replace_schema_metadata({**about, b"week": week}), path)
        weeks.append(path.read_bytes())
    assert len(weeks[0]) == len(weeks[1])
    server.usual[name] = Behaviour(content=weeks[0], etag=weak)
    fetch(tmp_path, "train")
    assert fetch(tmp_path, "train")[0].status == "up to date"
    server.usual[name] = Behaviour(content=weeks[1], etag=weak)
    assert fetch(tmp_path, "train")[0].status == "downloaded"
    assert (tmp_path / "v5.2" / "train.parquet").read_bytes() == weeks[1]
    assert fetch(tmp_path, "train")[0].status == "up to date"


@pytest.mark.parametrize("content", ["", "[]", '{"train.parquet": {"size": 1}}', '{"train.parquet": 3}'])
def test_a_damaged_sidecar_costs_a_check(content: str, server: NumeraiServer, tmp_path: Path) -> None:
    fetch(tmp_path, "train")
    (tmp_path / "v5.2" / ".downloads.json").write_text(content)
    assert fetch(tmp_path, "train")[0].status == "checked"
    assert fetch(tmp_path, "train")[0].status == "up to date"


def test_the_command(server: NumeraiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "download", "--out", str(tmp_path), "--files", "train, features", "--files", "live"]
    assert run([*arguments, "--version", "v5.2"]) == 0
    out, err = capfd.readouterr()
    assert [line.split(": ")[0] for line in out.splitlines()] == [
        str(tmp_path / "v5.2" / name) for name in ("features.json", "train.parquet", "live.parquet")
    ]
    assert "2,884 rows, eras 0001–0056 (downloaded)" in out
    assert "train.parquet: downloaded" in err

    assert run([*arguments, "--json"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)
    Draft202012Validator(schema_of("data download")).validate(told)
    assert (told["version"], told["folder"]) == ("v5.2", str(tmp_path / "v5.2"))
    assert [file["name"] for file in told["files"]] == ["features.json", "train.parquet", "live.parquet"]
    assert told["files"][1] | {"fingerprint": ""} == {
        "name": "train.parquet",
        "path": str(tmp_path / "v5.2" / "train.parquet"),
        "status": "up to date",
        "size": server.files["v5.2/train.parquet"].stat().st_size,
        "fingerprint": "",
        "rows": 2884,
        "eras": [1, 56],
    }
    assert err == ""


# arguments; words of the one message
REFUSED: dict[str, tuple[str, tuple[str, ...]]] = {
    "no such version": ("--version v5.3", ("--version", "'v5.3'", "v5.2")),
    "version up the tree": ("--version ../x", ("--version", "'../x'", "v5.2")),
    "no such file": ("--files trian", ("--files", "'trian'", "did you mean 'train'?")),
    "server down": ("--retries 1", ("listDatasets", "status 500", "tried 2 times")),
    "retries below 0": ("--retries -1", ("--retries", "must be from 0 to 100, but is -1")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, server: NumeraiServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments, words = REFUSED[name]
    if name == "server down":
        server.usual["listDatasets"] = Behaviour(status=500)
        words = words[1:]
    assert run(["data", "download", "--out", str(tmp_path / "data"), *arguments.split()]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "Traceback" not in err
    for word in words:
        assert word in " ".join(err.replace("│", " ").split()), err
    assert not (tmp_path / "data").exists()


def test_a_line_of_progress() -> None:
    step = Step("train.parquet", "fetch", 1_200_000_000, 2_600_000_000)
    line = "train.parquet: 1.2 GB of 2.6 GB, 20.0 MB/s, 1 min 10 s left"
    assert progress_line(step, 200_000_000, 50) == line
    assert progress_line(replace(step, kind="check", total=None), 0, 60) == (
        "checking train.parquet: 1.2 GB, 20.0 MB/s"
    )
    assert progress_line(step, 1_200_000_000, 10) == "train.parquet: 1.2 GB of 2.6 GB, 0 bytes/s"
