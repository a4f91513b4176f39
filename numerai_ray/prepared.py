"""What a model makes once of all features, such as LightGBM's bins: shared by every fit, and kept beside the data.

A copy stands for the features in almost every fit: half a byte a value instead of one, and nothing is read or
binned again by the next experiment on the same data. It is a cache: whatever is wrong with it, it is made again.
"""

import json
import math
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from numerai_ray.atomic_files import whole_file, write_text
from numerai_ray.config import fingerprint
from numerai_ray.dataset import Columns, load_columns, load_features
from numerai_ray.errors import EnvironmentFault
from numerai_ray.feature_matrix import FeatureMatrix, ValuesSeen
from numerai_ray.fit_key import library_version
from numerai_ray.machine import give_back_memory
from numerai_ray.models import Prepared
from numerai_ray.resource_plan import BINNED_BYTES_PER_VALUE, block_features
from numerai_ray.storage import local_folder
from numerai_ray.trial_plan import FitSpec

FOLDER = ".prepared"
# The copy travels between nodes in pieces of half of this to all of it: one huge object is slow to send and to lose.
CHUNK_BYTES = 10**9


def prepared_key(spec: FitSpec) -> str | None:
    """What tells prepared copies apart; None when the model prepares nothing."""
    model = spec.model
    params = model.prepared_params(spec.config.model.params)
    if params is None:
        return None
    libraries = [library_version(name) for name in model.libraries]
    return fingerprint([spec.dataset, spec.config.model.type, spec.config.data.missing, params, libraries])


def is_enough(spec: FitSpec, seen: ValuesSeen) -> bool:
    """Whether the fit can be made of the prepared copy alone; ``seen`` belongs to all rows of the dataset."""
    config = spec.config
    missing_as_null = config.data.missing == "nan"
    ranges = spec.index.row_ranges(spec.fold.train_eras)
    same = seen.same_within(ranges, missing_as_null=missing_as_null)
    return same and spec.model.predicts_prepared(config.model.params)


def prepare(spec: FitSpec, threads: int) -> Prepared:
    """The prepared copy that the fit shares: read where it is kept, else made, and kept where that can be written.

    Raises:
        DataError: the features cannot be read.
        ValueError: the model prepares nothing.

    """
    key = prepared_key(spec)
    if key is None:
        raise ValueError(f"{spec.config.model.type} prepares nothing")
    kept = _kept(spec, key)
    found = _read(kept)
    if found is not None:
        return Prepared(key, _chunks(spec, found[0]), found[1])
    try:
        _forget_older(spec)
        with whole_file(kept, durable=False) as partial:
            seen = _make(spec, threads, partial)
            give_back_memory()
            data = np.asarray(np.memmap(partial, np.uint8, "r"))
            outline = {
                "size": len(data),
                "crc32": zlib.crc32(data.data),
                "era_starts": seen.era_starts.tolist(),
                "bits": seen.bits.tobytes().hex(),
            }
            write_text(kept.with_suffix(".json"), json.dumps(outline))
        return Prepared(key, _chunks(spec, data), seen)
    except EnvironmentFault:  # read-only or full: this once without keeping it
        with tempfile.TemporaryDirectory(prefix="numerai-ray-") as folder:
            path = Path(folder) / "prepared"
            seen = _make(spec, threads, path)
            return Prepared(key, _chunks(spec, np.fromfile(path, np.uint8)), seen)


def inputs_of(spec: FitSpec, threads: int) -> tuple[FeatureMatrix | None, Columns, Prepared | None]:
    """What one fit by itself is trained on, as a round would: the prepared copy alone where that is enough.

    Raises:
        DataError: the data cannot be read.

    """
    benchmarks = [name for name in (spec.asked.transform_benchmark, *spec.asked.read_benchmarks) if name]
    columns = load_columns(spec.index, spec.config.data, [spec.target], benchmarks)
    prepared = None if prepared_key(spec) is None else prepare(spec, threads)
    alone = prepared is not None and is_enough(spec, prepared.seen)
    return None if alone else load_features(spec.index, spec.features), columns, prepared


def chunk_count(spec: FitSpec) -> int:
    """In how many pieces the copy of the spec's features is shared, known before it is made."""
    return max(1, math.ceil(BINNED_BYTES_PER_VALUE * spec.index.n_rows * len(spec.features) / CHUNK_BYTES))


def _chunks(spec: FitSpec, data: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], ...]:
    return tuple(np.array_split(data, chunk_count(spec)))


def is_kept(spec: FitSpec) -> bool:
    """Whether a copy lies where :func:`prepare` looks for it: it then reads, which takes one core."""
    key = prepared_key(spec)
    return key is not None and _kept(spec, key).exists()


def prepare_ahead(spec: FitSpec, threads: int) -> Prepared | None:
    """The copy, made where there is none yet; None where the model prepares nothing, or it cannot be kept here."""
    key = prepared_key(spec)
    if key is None or not (is_kept(spec) or _can_keep(_kept(spec, key).parent)):
        return None
    return prepare(spec, threads)


def _can_keep(folder: Path) -> bool:
    """Whether files can be made in ``folder``, which is there afterwards only if it was before."""
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        if is_new:
            folder.rmdir()
    except OSError:
        return False
    return True


def _make(spec: FitSpec, threads: int, path: Path) -> ValuesSeen:
    """Write the copy; returns what values the features take."""
    config, blocks = spec.config, _Blocks(spec)
    missing_as_null = config.data.missing == "nan"
    spec.model.prepare(blocks, config.model.params, threads, path, missing_as_null=missing_as_null)
    return ValuesSeen(spec.index.era_starts, np.concatenate(list(blocks.bits.values()), axis=1))


class _Blocks:
    """The features of a fit, read a block at a time, each time anew; ``bits`` tell what was seen of each block."""

    def __init__(self, spec: FitSpec):
        self._spec = spec
        self.bits: dict[int, npt.NDArray[np.uint8]] = {}

    def __iter__(self) -> Iterator[FeatureMatrix]:
        names = self._spec.features
        width = block_features(self._spec.index.n_rows)
        for first in range(0, len(names), width):
            block = load_features(self._spec.index, names[first : first + width])
            self.bits[first] = block.seen.bits
            yield block


def _kept(spec: FitSpec, key: str) -> Path:
    path = spec.index.path
    return local_folder(path.parent) / FOLDER / f"{path.stem}-{spec.index.fingerprint}-{key}.bin"


def _read(path: Path) -> tuple[npt.NDArray[np.uint8], ValuesSeen] | None:
    """The kept copy, or None when there is none or it is not what was written."""
    try:
        outline = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        data: npt.NDArray[np.uint8] = np.asarray(np.memmap(path, np.uint8, "r"))
        if (len(data), zlib.crc32(data.data)) != (outline["size"], outline["crc32"]):
            return None
        starts = np.array(outline["era_starts"], np.int64)
        bits = np.frombuffer(bytes.fromhex(outline["bits"]), np.uint8).reshape(len(starts) - 1, -1)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return data, ValuesSeen(starts, bits)


def _forget_older(spec: FitSpec) -> None:
    """Remove copies of earlier contents of the data file: nothing asks for them any more."""
    stem = spec.index.path.stem
    for path in _kept(spec, "").parent.glob(f"{stem}-*"):
        if path.name[len(stem) + 1 :].count("-") == 1 and not path.name.startswith(f"{stem}-{spec.index.fingerprint}-"):
            path.unlink(missing_ok=True)
