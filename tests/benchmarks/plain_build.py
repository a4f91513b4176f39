"""The plain way to the full and downsampled files: pandas, whole files in memory, one after the other.

Nothing of numerai-ray is imported. Usage: python plain_build.py VERSION_DIR OUT_DIR
"""

import sys
from pathlib import Path

import pandas as pd

STEP = 4


def main(version_dir: Path, out_dir: Path) -> None:
    train = pd.read_parquet(version_dir / "train.parquet")
    validation = pd.read_parquet(version_dir / "validation.parquet")
    validation = validation[validation["data_type"] == "validation"]
    full = pd.concat([train, validation]).drop(columns="data_type").reset_index()
    del train, validation
    full.to_parquet(out_dir / "full.parquet", index=False)
    del full
    labelled = downsample(out_dir / "full.parquet", None, out_dir / "downsampled_full.parquet")
    parts = [pd.read_parquet(version_dir / f"{part}_benchmark_models.parquet") for part in ("train", "validation")]
    benchmark = pd.concat(parts).reset_index()
    benchmark = benchmark[benchmark["era"].isin(labelled)]
    benchmark.to_parquet(out_dir / "full_benchmark_models.parquet", index=False)
    del parts, benchmark
    source = out_dir / "full_benchmark_models.parquet"
    downsample(source, labelled, out_dir / "downsampled_full_benchmark_models.parquet")


def downsample(source: Path, eras: list[str] | None, target: Path) -> list[str]:
    """Keep every 4th of ``eras`` (those of the file when None); returns all of them."""
    frame = pd.read_parquet(source)
    eras = eras or sorted(frame["era"].unique())
    frame[frame["era"].isin(eras[::STEP])].to_parquet(target, index=False)
    return eras


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
