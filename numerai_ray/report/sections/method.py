"""How numbers of a report come about, and the table of everything that ran."""

from numerai_ray.config.search_space import merged_changes
from numerai_ray.metrics.significance import INTERVAL_PERCENT, LEVEL, PairedDelta, e4_interval
from numerai_ray.report.reading import Reading
from numerai_ray.report.tables import UNKNOWN, cell, change_text, leaderboard, number

# The best of a stage; `numerai-ray leaderboard` lists the rest.
MOST_ROWS = 20


def method(reading: Reading) -> list[str]:
    """Training, scores, intervals and decisions, in the words of a paper's methods."""
    rounds, score = reading.loaded.plan.rounds, reading.score_config.score
    overlap = reading.comparison.overlap_eras
    significant = (
        f" The plan asks for more: the gain must also be clear of the noise as the best of its round (p ≤ {LEVEL:g})."
        if rounds.accept == "significant"
        else " Whether that gain is noise is told beside it, and does not decide."
    )
    training = (
        f"**Training.** A round trains its base and up to {rounds.variants} variants, each of which differs from the "
        f"base in exactly one variable (with what is coupled to it). Every fold is one fit, parted from the eras that "
        f"it predicts by an embargo at least as long as labels overlap. Predictions are out-of-fold and do not depend "
        f"on threads, workers or order."
    )
    scores = (
        f"**Scores.** Per era against `{score.target}`: CORR is Numerai's (ranked, gaussianized, tails raised to 1.5), "
        f"BMC the contribution after `{score.benchmark}` is taken out, as numerai-tools computes both. Unknown labels "
        f"and benchmarks are left out, never filled. Sharpe is their mean by their standard deviation; drawdown "
        f"is the largest fall of the cumulative sum."
    )
    intervals = (
        f"**Intervals.** Two configurations are compared by their per-era differences over the last {score.last_eras} "
        f"scored eras. Labels overlap for {overlap} eras, so the standard error is estimated over the slow cosines of "
        f"the differences; intervals are {INTERVAL_PERCENT} %, p-values count all variants of a round (studentized "
        f"stationary bootstrap)."
    )
    decision = (
        f"**Decision.** The variant with the highest primary metric becomes the next base when it beats the round's "
        f"base by {rounds.margin:g}.{significant} A result that looks like a leak is never promoted by itself."
    )
    return [training, scores, intervals, decision]


def leaderboard_section(reading: Reading) -> list[str]:
    """Every configuration once a stage, best first; stages do not compare with each other."""
    entries = leaderboard(reading.history, reading.reader, reading.comparison)
    if not entries:
        return ["Nothing has run yet."]
    header = (
        "| # | Stage | Round | Configuration | Changes to the experiment's base "
        f"| BMC last {reading.comparison.last} | Δ to the round's base ({INTERVAL_PERCENT} % interval) | BMC "
        "| BMC Sharpe | BMC max drawdown | CORR | CORR with benchmark | Fits new / stored | Fit time |"
    )
    lines = [header, "|--:|:--|--:|:--|:--|" + "--:|" * 9]
    shown: dict[str, int] = {}
    for entry in entries:
        stage = str(entry["stage"])
        shown[stage] = shown.get(stage, 0) + 1
        if shown[stage] > MOST_ROWS:
            continue
        # A benchmark is no run: it is known by its own name.
        name = cell(entry["name"] if entry["role"] == "benchmark" else entry["id"])
        evidence = entry["evidence"]
        cells = [
            str(shown[stage]),
            stage,
            str(entry["round"]),
            f"**{name}**" if entry["winner"] else name,
            cell(change_text(merged_changes(entry["all_changes"]), {}), 160) or UNKNOWN,
            number(entry["primary"], 5),
            e4_interval(entry["delta"], None if evidence is None else PairedDelta(**evidence["to_base"])),
            number(entry["bmc_mean"], 5),
            number(entry["bmc_sharpe"], 2),
            number(entry["bmc_max_drawdown"], 3),
            number(entry["corr_mean"], 4),
            number(entry["corr_with_benchmark"], 3),
            f"{entry['fits_new']} / {entry['fits_stored']}" if entry["fits_new"] + entry["fits_stored"] else UNKNOWN,
            f"{entry['fit_seconds']:.1f} s" if entry["fits_new"] else UNKNOWN,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    hidden = sum(max(0, count - MOST_ROWS) for count in shown.values())
    more = [f"{hidden} more: `numerai-ray leaderboard {reading.paths.root.name}`."] if hidden else []
    return ["\n".join(lines), *more]
