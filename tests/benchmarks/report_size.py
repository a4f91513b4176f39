"""The report of an experiment with 500 variants: all pictures, text and page from nothing, in a process of its own.

Prints seconds and peak memory against the limits; exits 1 when one is missed. Seconds of the process itself are
beside the wall's: they tell what the report costs where others use the machine too.

    python tests/benchmarks/report_size.py
    python tests/benchmarks/report_size.py --variants 2000
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from numerai_ray.config.plan import load_plan
from numerai_ray.experiment.ledger import read_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.metrics.significance import Comparison
from numerai_ray.report.writer import write_report
from numerai_ray.system.json_text import to_json

LIMIT_S, LIMIT_BYTES = 10.0, 400e6
VARIANTS, A_ROUND = 500, 4


def make(root: Path, variants: int) -> None:
    """An experiment of rounds of 4 variants, per-era scores of 231 eras each, evidence in its ledger."""
    # What makes it is no part of what is measured in a process of its own.
    from builders import Market, experiment  # noqa: PLC0415
    from report_text import write_predictions  # noqa: PLC0415

    values = list(range(2, 2 + variants))
    space = {"dimensions": {"num_leaves": {"path": "model.params.num_leaves", "values": values}}}
    history = experiment(root, {"search_space": space}, Market(noise=0.004))
    for number in range(variants // A_ROUND):
        part = values[number * A_ROUND : (number + 1) * A_ROUND]
        history.scout("num_leaves", {value: 0.0037 + 1e-6 * value for value in part})
    names = [v.id for record in history.records for v in record.variants if v.role != "benchmark"]
    write_predictions(history, dict.fromkeys(names, 0.5))
    lines = []
    for record in history.records:
        base, *rest, benchmark = record.variants
        judged = with_evidence(base, rest, ScoreReader(history.paths), Comparison(200, 4, draws=200))
        lines.append(to_json(type(record)(**{**vars(record), "variants": (base, *judged, benchmark)})))
    history.paths.ledger.write_text("\n".join(lines) + "\n")


def render(root: Path) -> None:
    """What is measured: reading the ledger and writing the whole report."""
    paths = ExperimentPaths(root)
    loaded = load_plan(paths.plan, lambda _kind, _name: root.parent / "baseline.yaml")
    write_report(loaded, paths, read_ledger(paths.ledger))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, time.process_time())


def main(variants: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "many"
        make(root, variants)
        began = time.perf_counter()
        done = subprocess.run([sys.executable, __file__, str(root)], check=True, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        peak, cpu_s = map(float, done.stdout.split())
        size = (root / "report.html").stat().st_size
    took = f"{seconds:.1f} s (limit {LIMIT_S:.0f}; {cpu_s:.1f} of a core)"
    print(f"{variants} variants: {took}, {peak / 1e6:.0f} MB (limit {LIMIT_BYTES / 1e6:.0f})")
    print(f"report.html: {size / 1e6:.1f} MB")
    return 0 if seconds <= LIMIT_S and peak <= LIMIT_BYTES else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--variants"]:
        sys.exit(main(int(sys.argv[2])))
    if len(sys.argv) > 1:
        render(Path(sys.argv[1]))
    else:
        sys.exit(main(VARIANTS))
