"""How often a blend of candidates that know nothing is called a clear gain over the best single one.

    python tests/benchmarks/ensemble_noise.py [runs]

1,000 markets of 200 candidates without skill and 300 eras, simulated at the level of eras (their labels overlap), go
through the same search, blocks and test as `numerai-ray ensemble`: a claim is false. Beside it the share of the same
markets in which choosing and reporting on the same eras would claim one; and of both, how often a BMC above 0 would be
claimed for the blend itself, which has none. 20 markets are made of rows (200 candidates x 120 eras x 200 rows) and
scored exactly. Prints one line of JSON; exits with 1 above 6.5 %.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))
from support.ensemble_markets import OVERLAP, PlantedSpec, noise_statistics, planted

from numerai_ray.ensembles.confirmation import confirm, judge_gain
from numerai_ray.ensembles.evaluation import walk_forward
from numerai_ray.ensembles.search import Limits, best_single, found_blends
from numerai_ray.ensembles.statistics import EraStatistics, statistics_of
from numerai_ray.metrics.significance import Comparison, paired_deltas, verdict

RUNS, CANDIDATES, ERAS, OF_ROWS = 1000, 200, 300, 20
LARGEST_SHARE = 0.065
COMPARISON = Comparison(last=ERAS, overlap_eras=OVERLAP)
LIMITS = Limits()


def claims(delta: np.ndarray, eras: np.ndarray) -> bool:
    return verdict(paired_deltas(delta[:, np.newaxis], eras, COMPARISON)[0]) == "clear gain"


def honest(stats: EraStatistics) -> tuple[bool, bool]:
    """Whether a gain over the best single is claimed on later eras, and whether a BMC above 0 is."""
    found = walk_forward(stats, LIMITS, OVERLAP + 1)
    later = [(choice, stats.of(choice.block.reported)) for choice in found.choices]
    ours = np.concatenate([part.per_era(choice.blend) for choice, part in later])
    single = np.concatenate([part.per_era(choice.single) for choice, part in later])
    eras = stats.eras[found.reported]
    return claims(ours - single, eras), claims(ours, eras)


def in_sample(stats: EraStatistics) -> tuple[bool, bool]:
    """The same, chosen and reported on all eras."""
    blend = max(found_blends(stats, LIMITS).values(), key=stats.mean)
    ours = stats.per_era(blend)
    return claims(ours - stats.gain[:, best_single(stats)], stats.eras), claims(ours, stats.eras)


def of_rows(seed: int) -> bool:
    panel, _ = planted(PlantedSpec(eras=120, rows=200, candidates=CANDIDATES, shares=(), strength=0.0, seed=seed))
    stats = statistics_of(panel.scaled, panel.target, panel.benchmark, panel.eras, panel.era_starts)
    found = walk_forward(stats, LIMITS, OVERLAP + 1)
    judged = judge_gain(panel, found, confirm(panel, stats, found), OVERLAP, CANDIDATES)
    return verdict(judged.to_single) == "clear gain"


def main(runs: int = RUNS) -> int:
    began = time.perf_counter()
    claimed = np.zeros((2, 2))
    for seed in range(runs):
        stats = noise_statistics(ERAS, CANDIDATES, seed)
        claimed += [honest(stats), in_sample(stats)]
    (share, above), (chosen, chosen_above) = np.round(claimed / runs, 4).tolist()
    measured = {
        "runs": runs,
        "candidates": CANDIDATES,
        "eras": ERAS,
        "false_share": share,
        "false_limit": LARGEST_SHARE,
        "in_sample_share": chosen,
        "false_share_above_0": above,
        "in_sample_share_above_0": chosen_above,
        "of_rows": OF_ROWS,
        "false_of_rows": sum(of_rows(seed) for seed in range(OF_ROWS)),
        "seconds": round(time.perf_counter() - began, 1),
        "passed": share <= LARGEST_SHARE,
    }
    print(json.dumps(measured))
    return 0 if measured["passed"] else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
