"""A pipe, a folder, a device, or a text in another encoding where a plain file must be: told at once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from other_writers import load, small_market

from numerai_ray.config import ModelConfig, parse_yaml, read_text
from numerai_ray.data.files.build import build
from numerai_ray.data.files.info import dataset_info
from numerai_ray.errors import ConfigError, DataError
from numerai_ray.models import source_of


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_market(tmp_path_factory.mktemp("market"))


@pytest.fixture
def root(market: Path, tmp_path: Path) -> Path:
    """A copy of the market that a test may rewrite."""
    shutil.copytree(market / "v5.2", tmp_path / "v5.2", ignore=shutil.ignore_patterns(".*"))
    return tmp_path


def pipe(path: Path) -> None:
    os.mkfifo(path)


# kind -> (what stands where a file must be, words)
NO_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (pipe, "it is a pipe, not a file"),
    "a folder": (Path.mkdir, "it is a directory, not a file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["full.parquet", "full_benchmark_models.parquet", "features.json"])
def test_data_that_is_no_file_is_told_at_once(kind: str, name: str, root: Path) -> None:
    make, words = NO_FILES[kind]
    path = root / "v5.2" / name
    path.unlink()
    make(path)
    with pytest.raises(DataError, match=f"{name}: .*{words}"):
        load(root)
    assert any(words in each.message and each.file == name for each in dataset_info(root / "v5.2").problems)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["train", "validation_benchmark_models"])
def test_build_from_no_file_is_told_at_once(kind: str, name: str, root: Path) -> None:
    make, words = NO_FILES[kind]
    (root / "v5.2" / f"{name}.parquet").unlink()
    make(root / "v5.2" / f"{name}.parquet")
    with pytest.raises(DataError, match=f"{name}.parquet: .*{words}"):
        build(root / "v5.2")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", NO_FILES)
def test_a_plan_that_is_no_file_is_told_at_once(kind: str, tmp_path: Path) -> None:
    make, words = NO_FILES[kind]
    make(tmp_path / "plan.yaml")
    with pytest.raises(ConfigError, match=words):
        read_text(tmp_path / "plan.yaml")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", NO_FILES)
def test_a_model_that_is_no_file_is_told_at_once(kind: str, tmp_path: Path) -> None:
    make, words = NO_FILES[kind]
    make(tmp_path / "model.py")
    with pytest.raises(ConfigError, match=words):
        source_of(ModelConfig(type="model.py:X"), tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"idea: ok\nname: caf\xe9\n", "it is not utf-8 (byte 0xe9 in line 2 at position 10); save it as utf-8"),
        ("idea: ok\n".encode("utf-16"), "it is not utf-8 (byte 0xff in line 1 at position 1); save it as utf-8"),
    ],
)
def test_a_plan_in_another_encoding_is_told(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        read_text(tmp_path / "plan.yaml")
    assert words in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_a_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes('{"idea": "é"}'.encode("utf-8-sig"))
    assert parse_yaml(read_text(tmp_path / "plan.json"), "plan.json") == {"idea": "é"}
