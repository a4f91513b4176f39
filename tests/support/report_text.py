"""Reports of histories: their text and sections, and predictions for their plots."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from builders import History

from numerai_ray.report.markdown import report_text
from numerai_ray.report.reading import Reading

ROWS = 40


def text(history: History) -> str:
    return report_text(Reading(history.loaded, history.paths, tuple(history.records)), {})


def section(report: str, title: str) -> str:
    return report.split(f"\n{title}\n", 1)[1].split("\n## ", 1)[0]


def write_predictions(history: History, names: dict[str, float]) -> None:
    """Out-of-fold predictions of three eras; a variant is the market's own signal and this much noise."""
    signal = np.random.default_rng(1).normal(size=3 * ROWS)
    for name, noise in names.items():
        own = np.random.default_rng([*name.encode()]).normal(size=3 * ROWS)
        table = pa.table(
            {
                "id": [f"n{row:015x}" for row in range(3 * ROWS)],
                "era": np.repeat(["0161", "0165", "0169"], ROWS),
                "target_ender_20": np.zeros(3 * ROWS, np.float32),
                "prediction": signal + noise * own,
                "cv_fold": np.zeros(3 * ROWS, np.int64),
            }
        )
        path = history.paths.predictions(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)


def head(report: str) -> str:
    """What stands before the first chapter: the answer."""
    return report.split("\n## ", 1)[0]
