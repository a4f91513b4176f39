"""How often a known best is found at equal core-seconds: one seed, several seeds, or a second run of the best.

    python tests/benchmarks/equal_cost.py [markets] [lines]

Real fits on synthetic markets in which one label holds more of the signal than the base's, and the others hold as much:
a round varies ``data.target``. Every configuration is fitted with a pool of seeds once; lines of inquiry then draw
seeds from it, and orders of the values, so that hundreds cost nothing more. All fits are alike, so a budget of fits is
one of core-seconds; what the pool took is printed too. Each line may spend :data:`BUDGET` fits (the base is fitted
once, as a store of fits does it), on a *short* list of labels, which every rule can try whole, or on a *long* one,
where whoever fits a label three times tries a third of them. Rules, each by the code of a run:

- ``significant, 1 seed`` and ``significant, 3 seeds`` (per-era scores of the seeds averaged, which stands for scores of
  averaged predictions; both sides alike);
- ``replicated``: the best by margin runs again, and is judged as far as both runs share their noise.

What wins is the base of the next round. Prints, and after every market as far as it is to stderr, one line of JSON:
the share of lines that ended on the planted best, that ended on another label, and the fits a line used. A label's own
noise lasts over its market, so another one can be better there for good: ``error`` is the standard error of ``found``
over markets, and few of them say little. 60 markets of 25 lines took ten minutes of a core.

Exits with 1 where the docs' recommendation does not hold, ``rounds: {accept: significant, seeds: 3}``: three seeds must
find the best of the short list more often than each other rule by two standard errors, and end on another label no more
often than one seed, in either list.
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
from numerai_ray.data.synthetic.layout import NOISE_CORRELATION
from numerai_ray.data.synthetic.market import MarketSpec
from numerai_ray.metrics.selection import LEVEL, Search
from numerai_ray.metrics.significance import Comparison, paired_deltas
from numerai_ray.runners.in_process import InProcessRunner
from numerai_ray.training.catalog import Catalog
from numerai_ray.training.store.fits import FitStore

SCORED, BEST = "target_ender_20", "target_teager2b_20"
OTHERS = [f"target_{name}_20" for name in NOISE_CORRELATION if f"target_{name}_20" not in (SCORED, BEST)][:8]
LABELS = (BEST, *OTHERS)
# How many labels a line may choose from, the best always among them.
LISTS = {"short": 3, "long": len(LABELS)}
STRENGTH, BETTER = 0.05, 0.075
SEEDS, VARIANTS, BUDGET, MARGIN = 6, 3, 12, 2e-4
RULES = {"significant, 1 seed": ("significant", 1), "significant, 3 seeds": ("significant", 3),
         "replicated": ("replicated", 1)}  # fmt: skip
RECOMMENDED = "significant, 3 seeds"


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


def line(
    pool_: dict[str, np.ndarray], eras: np.ndarray, listed: int, rule: str, seeds: int, rng: np.random.Generator
) -> tuple[str, int]:
    """The label that a line ends on, and the fits that it used."""
    order = list(rng.permutation([BEST, *rng.choice(OTHERS, listed - 1, replace=False)]))
    # The plan's seeds are those of every configuration; a second run takes the next that nothing used.
    shuffled = rng.permutation(SEEDS)
    own, fresh = shuffled[:seeds], iter(shuffled[seeds:])
    comparison, base, spent = Comparison(200, 4), SCORED, seeds
    while order and spent + len(order[:VARIANTS]) * seeds <= BUDGET:
        round_, order = order[:VARIANTS], order[VARIANTS:]
        spent += len(round_) * seeds
        deltas = np.stack([pool_[label][own].mean(axis=0) for label in round_], axis=1)
        deltas -= pool_[base][own].mean(axis=0)[:, None]
        found = paired_deltas(deltas, eras, comparison)
        if rule == "significant":
            clear = [k for k, each in enumerate(found) if each.p_value <= LEVEL and each.mean >= MARGIN]
            base = round_[max(clear, key=lambda k: found[k].mean)] if clear else base
            continue
        best = max(range(len(round_)), key=lambda k: found[k].mean)
        if found[best].mean < MARGIN or spent + 2 > BUDGET:
            continue
        spent += 2
        seed = next(fresh)
        again = pool_[round_[best]][seed] - pool_[base][seed]
        share = float(np.clip(np.corrcoef(deltas[:, best], again)[0, 1], 0, 1))
        judged = paired_deltas(again[:, None], eras, comparison, Search((len(round_),), share=share))[0]
        base = round_[best] if judged.mean >= MARGIN and judged.p_value <= LEVEL else base
    return base, spent


def told(ends: dict[tuple[str, str], list[list[tuple[str, int]]]]) -> dict[str, dict[str, dict[str, float]]]:
    """By list and rule what its lines, a list a market, ended on."""
    made: dict[str, dict[str, dict[str, float]]] = {name: {} for name in LISTS}
    for (list_, rule), markets in ends.items():
        found = np.array([np.mean([label == BEST for label, _ in market]) for market in markets])
        wrong = np.mean([label not in (BEST, SCORED) for market in markets for label, _ in market])
        fits = np.mean([spent for market in markets for _, spent in market])
        error = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else np.nan
        values = {"found": found.mean(), "error": error, "false": wrong, "fits": fits}
        made[list_][rule] = {name: round(float(value), 3) for name, value in values.items()}
    return made


def missed(lists: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """What of the docs' recommendation does not hold."""
    short, found = lists["short"], []
    best = short[RECOMMENDED]
    for name, each in short.items():
        if name != RECOMMENDED and not best["found"] - 2 * best["error"] > each["found"]:
            found.append(f"short list: {RECOMMENDED} does not clearly find more than {name}")
    for name, rules in lists.items():
        if rules[RECOMMENDED]["false"] > rules["significant, 1 seed"]["false"]:
            found.append(f"{name} list: {RECOMMENDED} is wrong more often than one seed")
    return found


def main() -> int:
    markets = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 25
    began, fits_s = time.process_time(), 0.0
    ends: dict[tuple[str, str], list[list[tuple[str, int]]]] = {(each, rule): [] for each in LISTS for rule in RULES}
    for market in range(markets):
        start = time.process_time()
        made, eras = pool(market)
        fits_s += time.process_time() - start
        for (list_, name), ended in ends.items():
            rng = np.random.default_rng([market, LISTS[list_]])
            rule, seeds = RULES[name]
            ended.append([line(made, eras, LISTS[list_], rule, seeds, rng) for _ in range(lines)])
        print(json.dumps({"markets": market + 1, "lists": told(ends)}), file=sys.stderr, flush=True)
    lists = told(ends)
    spent = {"pool_cpu_s": round(fits_s, 1), "cpu_s": round(time.process_time() - began, 1)}
    asked = {"markets": markets, "lines": lines, "budget_fits": BUDGET}
    print(json.dumps({**asked, "lists": lists, "missed": missed(lists), **spent}))
    return int(bool(missed(lists)))


if __name__ == "__main__":
    sys.exit(main())
