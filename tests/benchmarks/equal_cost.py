"""How often a known best is found at equal core-seconds: one seed, several seeds, or a second run of the best.

    python tests/benchmarks/equal_cost.py [markets] [lines]

Real fits on synthetic markets in which one label holds more of the signal than the base's, and the others hold as much:
a round varies ``data.target``. Every configuration is fitted with a pool of seeds once; lines of inquiry then draw
seeds from it, and orders of the values, so that thousands cost nothing more. All fits are alike, so a budget of fits is
one of core-seconds; what the pool took is printed too. Rules, each by the code of a run:

- ``significant, 1 seed`` and ``significant, 3 seeds`` (per-era scores of the seeds averaged, which stands for scores of
  averaged predictions; both sides alike);
- ``replicated``: the best by margin runs again, and is judged as far as both runs share their noise.

Prints one line of JSON: the share of lines that ended on the planted best, that ended on another label, and the fits a
line used. A label's own noise lasts over its market, so another one can be better there for good: few markets say
little. Exits with 1 when a second run, or several seeds, end on another label more often than one seed does.
"""

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from planted import planted

from numerai_ray.config import Config, validate
from numerai_ray.data.files.build import build
from numerai_ray.data.synthetic.files import write_market
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.metrics.selection import LEVEL, Search
from numerai_ray.metrics.significance import Comparison, paired_deltas
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

SCORED, BEST = "target_ender_20", "target_teager2b_20"
LABELS = (BEST, "target_jasper_20", "target_tyler_20", "target_victor_20")
STRENGTH, BETTER = 0.05, 0.075
SEEDS, VARIANTS, BUDGET, MARGIN = 10, 3, 24, 2e-4


def plant(version: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for name in ("train.parquet", "validation.parquet"):
        table = pq.read_table(version / name)
        columns = [each for each in table.column_names if each.startswith("feature_")][:6]
        features = np.column_stack([table[each].to_numpy() for each in columns])
        eras = table["era"].to_numpy()
        starts = [*np.flatnonzero(np.append(True, eras[1:] != eras[:-1])), len(eras)]
        for target in (SCORED, *LABELS):
            strength = BETTER if target == BEST else STRENGTH
            values = np.concatenate([planted(features[a:b], strength, rng) for a, b in pairwise(starts)])
            values[np.isnan(table[target].to_numpy())] = np.nan
            table = table.set_column(table.column_names.index(target), target, pa.array(values))
        pq.write_table(table, version / name)


def config(target: str, seed: int) -> Config:
    params = {"n_estimators": 30, "learning_rate": 0.15, "num_leaves": 7, "min_data_in_leaf": 30}
    params |= {"colsample_bytree": 0.5, "subsample": 0.5, "subsample_freq": 1}
    values = {
        "data": {"version": "planted", "file": "full", "feature_set": "all", "target": target},
        "cv": {"n_splits": 3},
        "model": {"params": params, "seeds": [seed]},
    }
    return validate(Config, values, "equal_cost")


def pool(market: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """By label the per-era BMC of each seed, (seeds, eras), and the eras."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_market(MarketSpec(eras=200, rows=120, features=16, seed=market), root / "planted")
        plant(root / "planted", market)
        build(root / "planted")
        catalog, runner = Catalog(root), InProcessRunner(FitStore(root / "store"), threads=1)
        asked = [(label, seed) for label in (SCORED, *LABELS) for seed in range(SEEDS)]
        plans = [catalog.plan(f"{label}-{seed}", f"m/{label}-{seed}", config(label, seed)) for label, seed in asked]
        outcomes = runner.run(plans, lambda _: None)
    first = outcomes[plans[0].id]
    known = ~np.isnan(first.scores.bmc)
    made = {label: np.stack([outcomes[f"{label}-{s}"].scores.bmc[known] for s in range(SEEDS)])
            for label in (SCORED, *LABELS)}  # fmt: skip
    return made, np.array(first.eras)[known]


def line(pool_: dict[str, np.ndarray], eras: np.ndarray, rule: str, seeds: int, rng: np.random.Generator) -> tuple:
    """The label that a line ends on, and the fits that it used."""
    comparison, left, order, spent = Comparison(200, 4), BUDGET, list(rng.permutation(LABELS)), 0

    def scored(label: str) -> np.ndarray:
        return pool_[label][rng.choice(SEEDS, seeds, replace=False)].mean(axis=0)

    while order:
        round_, cost = order[:VARIANTS], (len(order[:VARIANTS]) + 1) * seeds
        if spent + cost > left:
            break
        order, spent = order[VARIANTS:], spent + cost
        base = scored(SCORED)
        deltas = np.stack([scored(label) - base for label in round_], axis=1)
        found = paired_deltas(deltas, eras, comparison)
        best = int(np.argmax([each.mean for each in found]))
        if found[best].mean < MARGIN:
            continue
        if rule == "significant":
            if found[best].p_value <= LEVEL:
                return round_[best], spent
            continue
        if spent + 2 * seeds > left:
            break
        spent += 2 * seeds
        again = scored(round_[best]) - scored(SCORED)
        share = float(np.clip(np.corrcoef(deltas[:, best], again)[0, 1], 0, 1))
        judged = paired_deltas(again[:, None], eras, comparison, Search((len(round_),), share=share))[0]
        if judged.mean >= MARGIN and judged.p_value <= LEVEL:
            return round_[best], spent
    return SCORED, spent


def main() -> int:
    markets = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    began = time.process_time()
    rules = {"significant, 1 seed": ("significant", 1), "significant, 3 seeds": ("significant", 3),
             "replicated": ("replicated", 1)}  # fmt: skip
    ends: dict[str, list] = {name: [] for name in rules}
    fits_s = 0.0
    for market in range(markets):
        start = time.process_time()
        made, eras = pool(market)
        fits_s += time.process_time() - start
        for name, (rule, seeds) in rules.items():
            rng = np.random.default_rng([market, seeds])
            ends[name] += [line(made, eras, rule, seeds, rng) for _ in range(lines)]
    told = {
        name: {
            "found": round(float(np.mean([label == BEST for label, _ in each])), 3),
            "false": round(float(np.mean([label not in (BEST, SCORED) for label, _ in each])), 3),
            "fits": round(float(np.mean([spent for _, spent in each])), 1),
        }
        for name, each in ends.items()
    }
    cpu_s = time.process_time() - began
    print(json.dumps({"markets": markets, "lines": lines, "budget_fits": BUDGET, "rules": told,
                      "pool_cpu_s": round(fits_s, 1), "cpu_s": round(cpu_s, 1)}))  # fmt: skip
    return int(max(each["false"] for each in told.values()) > told["significant, 1 seed"]["false"])


if __name__ == "__main__":
    sys.exit(main())
