"""``ensemble.md`` and ``ensemble.html``: an ensemble as a short paper, made of its results file alone."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from numerai_ray.ensembles.costs import Cost
from numerai_ray.ensembles.outcome import delta_of, read_outcome
from numerai_ray.experiment.own_ensemble import FIRST_RULE
from numerai_ray.experiment.paths import EnsemblePaths
from numerai_ray.metrics.significance import INTERVAL_PERCENT, PairedDelta, Verdict, delta_text, e4, verdict
from numerai_ray.report.html import with_pictures
from numerai_ray.report.markdown import Picture
from numerai_ray.report.plots.compare import compare_info, draw_compare
from numerai_ray.report.plots.correlation import draw_matrix
from numerai_ray.report.plots.cumulative import Line
from numerai_ray.report.plots.drawing import THEMES, write_pictures
from numerai_ray.report.plots.ensemble import draw_gain, draw_members, gain_info, members_info
from numerai_ray.report.tables import cell, number
from numerai_ray.system.files import write_text

Value = Mapping[str, Any]
TITLES = {
    "cumulative": "Cumulative scores on later eras",
    "gain": "What the ensemble gains, era by era",
    "members": "Which members carry it",
    "correlation": "Correlation of the members' predictions",
}
_ANSWERS: Mapping[Verdict, str] = {
    "clear gain": "**Yes:** the gain is clear of the noise.",
    "clear loss": "**No:** it is clearly worse.",
    "inside the noise": "**Not settled:** the difference is inside the noise.",
    "no difference": "**No:** there is no difference.",
    "unknown": "**Not known:** there are too few later eras.",
}
# As many strategies and reasons are listed.
MOST_ROWS = 8


def write_ensemble_report(paths: EnsemblePaths) -> None:
    """Draw the plots, then write Markdown and page, each whole or not at all.

    Raises:
        RequestError: the results are missing or damaged.
        EnvironmentFault: the folder cannot be written.

    """
    value = read_outcome(paths)["ensemble"]
    for name, draw in _drawings(value).items():
        write_pictures({theme: paths.plot(f"{name}-{theme.name}") for theme in THEMES}, draw)
    text, page = with_pictures(partial(ensemble_text, value), paths.name, paths.plot)
    write_text(paths.report, text)
    write_text(paths.html, page)


def ensemble_text(value: Value, picture: Picture) -> str:
    """The report, with ``picture`` for what shows one."""

    def figure(name: str, caption: str) -> list[str]:
        return picture(name, TITLES[name], caption)

    gain = delta_of(value["gain"])
    alone = len(value["members"]) == 1
    pictures = [] if alone else figure("members", _members_caption())
    parts = [
        f"# {value['name']}",
        "## Abstract",
        *_abstract(value, gain),
        *figure("cumulative", "Each block's eras by what was chosen before it; the benchmark's own BMC is 0."),
        *figure("gain", "Rising lines: the ensemble is ahead. Grey lines begin a block, for which it is chosen anew."),
        "## Members",
        *_members(value),
        *pictures,
        *([] if alone else figure("correlation", "Gaussianized ranks, an era at a time, mean over all common eras.")),
        "## When in time",
        *_blocks(value),
        "## What is luck in it",
        *_luck(value),
        "## How it was chosen",
        *_method(value),
        "## Use it",
        container_text(value),
        *_use(value),
    ]
    return "\n\n".join(parts) + "\n"


def _abstract(value: Value, gain: PairedDelta) -> list[str]:
    data, eras, members, last = value["data"], value["eras"], value["members"], value["blocks"][-1]
    shares = ", ".join(f"{cell(member['name'])} {member['weight']:.2f}" for member in members)
    later = sum(block["reported"]["count"] for block in value["blocks"])
    question = (
        f"**Question.** Does a blend of {value['candidates']} models that were trained already, in "
        f"{_count(len(value['experiments']), 'experiment')}, have a higher BMC ({data['target']} beyond "
        f"{data['benchmark']}, {data['version']}) than the best of them?"
    )
    answer = (
        f"**Answer.** {_ANSWERS[verdict(gain)]} On {later} later eras, in blocks that were each chosen for on earlier "
        f"ones, it differs from the single model that was best until then by {e4(gain.mean)} ({delta_text(gain)})."
    )
    made = (
        f"**The ensemble.** {_count(len(members), 'member')} ({shares}), {_post(value)}, chosen on eras "
        f"{_range(last['chosen'])}. On the last block, {_range(last['reported'])}, in which nothing was chosen, it "
        f"differs from the best single model by {e4(value['gain_last_block']['mean'])}."
    )
    corr, single_corr = (_later_mean(value, name) for name in ("chosen_before_corr", "single_corr"))
    corrs = (
        f"**CORR** on the same later eras: {number(corr, 4)}, that of the single models {number(single_corr, 4)}. BMC "
        f"was searched for; being neutral to the benchmark, or leaning away from it, costs CORR."
    )
    rows = f"Common rows: {value['rows']:,} in {eras['count']} eras, {_range(eras)}."
    return [question, answer, made, corrs, rows]


def _later_mean(value: Value, name: str) -> float:
    """Mean over the eras that are reported on."""
    return float(np.nanmean(np.array(value["per_era"][name], np.float64)))


def _members(value: Value) -> list[str]:
    rows = [
        [
            cell(member["name"]),
            f"{member['weight']:.4f}",
            cell(member["model"]),
            cell(", ".join(member["feature_set"])),
            cell(", ".join(member["targets"])),
            number(member["bmc_where_chosen"], 5),
            number(member["bmc_last_block"], 5),
            _e4(member["loss_where_chosen"]),
            _e4(member["loss_last_block"]),
            number(alike, 2),
        ]
        for member, alike in zip(value["members"], value["correlation"]["benchmark"], strict=True)
    ]
    heads = [
        "member", "weight", "model", "features", "trained on", "BMC, eras of choice", "BMC, last block",
        "lost without, eras of choice", "lost without, last block", "correlation with benchmark",
    ]  # fmt: skip
    lead = (
        "What is lost is the mean BMC of the ensemble less that of the others with weights in proportion; below 0, the "
        "ensemble is better without it. Losses are of the approximation described below."
    )
    return [lead, _table(heads, rows)]


def _blocks(value: Value) -> list[str]:
    rows = [
        [
            _range(block["reported"]),
            f"{_range(block['chosen'])} ({block['chosen']['count']})",
            cell(block["strategy"]),
            cell("; ".join(f"{name} {weight:.2f}" for name, weight in block["weights"].items()), 200),
            cell(block["single"]),
            number(block["bmc"], 5),
            number(block["bmc_single"], 5),
            number(block["bmc_equal"], 5),
            e4(block["bmc"] - block["bmc_single"]),
            number(block["corr"], 4),
            number(block["corr_single"], 4),
        ]
        for block in value["blocks"]
    ]
    heads = [
        "reported on", "chosen on (eras)", "strategy", "members", "best single", "BMC", "of the single",
        "of equal weights", "gain", "CORR", "of the single",
    ]  # fmt: skip
    lead = (
        f"Strategy, members, weights and the single model of a block are chosen on eras that end "
        f"{value['eras']['embargo']} eras before it: labels of nearer ones overlap its own. The ensemble delivered is "
        f"that of the last block."
    )
    return [lead, _table(heads, rows)]


def _luck(value: Value) -> list[str]:
    compared = {
        "the best single model": "gain",
        "the best single model, post-processed as it was best until then": "gain_over_single_with_post",
        "equal weights of all candidates": "gain_over_equal",
        "the best single model, last block alone": "gain_last_block",
        "the best single model, on the eras of choice": "gain_where_chosen",
    }
    rows = []
    for name, key in compared.items():
        delta = delta_of(value[key])
        shown = "–" if math.isnan(delta.low) else f"{e4(delta.low)} to {e4(delta.high)}"
        thirds = " / ".join("–" if math.isnan(each) else f"{100 * each:.0f} %" for each in delta.thirds)
        words = "not honest: chosen there" if key == "gain_where_chosen" else verdict(delta)
        rows.append([name, e4(delta.mean), shown, number(delta.p_value, 4), str(delta.eras), thirds, words])
    heads = [
        "against",
        "gain",
        f"{INTERVAL_PERCENT} % interval",
        "p-value",
        "eras",
        "eras improved, by thirds",
        "verdict",
    ]
    survives = value["survives"]
    share = "nothing can be said of a share" if survives is None else f"{100 * survives:.0f} % of it survive"
    chosen, later = _e4(value["mean_gain_where_chosen"]), _e4(value["mean_gain_later"])
    survival = (
        f"On the eras that they were chosen on, the ensembles gain {chosen} over the best single model, on later eras "
        f"{later}: {share}."
    )
    looks = (
        f"On later eras there is one comparison, so its p-value is that of one. On the eras of choice it is that of "
        f"the best of {value['candidates']} candidates, and still flatters: weights were fitted there too."
    )
    return [survival, _table(heads, rows), looks]


def _method(value: Value) -> list[str]:
    off = value["approximation"]
    rows = [[cell(each["strategy"]), number(each["bmc"], 5)] for each in value["strategies"][:MOST_ROWS]]
    reasons = Counter(each["why"] for each in value["left_out"]).most_common(MOST_ROWS)
    left_out = [f"- {count} left out: {cell(why, 200)}" for why, count in reasons]
    search = (
        "Forward selection with replacement, non-negative least squares and equal weights of the best and least "
        "correlated, each as it is, half way and all the way to equal weights, with the mixture as it is, neutral to "
        "the benchmark, or with a share of it. A block's strategy is the one that scored best in the blocks before it."
    )
    sums = (
        "The search reads sums over each era's rows: BMC is linear in gaussianized predictions, and a mixture of them "
        "is taken to be normal again. All scores in this report, but losses without a member and the table below, are "
        f"exact; the approximation was off by {e4(off['largest_mean'], sign=False)} at most in a mean over all eras, "
        f"and by {e4(off['largest_in_an_era'], sign=False)} in a single era."
    )
    table = _table(["strategy", "BMC in the blocks before the last"], rows)
    rule = f"Decided by rule {value.get('rule', FIRST_RULE)}: what a later one would choose does not change it."
    return [search, sums, table, rule, *(["\n".join(left_out)] if left_out else [])]


def container_text(value: Value) -> str:
    """What it takes of Numerai's container, and what was refused because it takes too much."""
    of = value["container"]
    most = f"the limit is {of['limit']['memory_bytes'] / 1e9:g} GB and {of['limit']['seconds']:g} s on one core"
    text = f"In Numerai's container it takes {Cost(**of['estimate'])}, by its trees and leaves; {most}. "
    if (refused := of["refused"]) is not None:
        cost = Cost(refused["memory_bytes"], refused["seconds"])
        bmc = number(refused["bmc_where_chosen"], 5)
        text += (
            f"Refused as too much for it: the {_count(len(refused['members']), 'member')} that would have been chosen "
            f"({cost}; BMC on the eras of choice {bmc}). What is offered here is the best that fits. "
        )
    return f"{text}`export` measures the pickle itself."


def _use(value: Value) -> list[str]:
    name, folder, alone = value["name"], value["folder"], value["without_model"]
    part = ""
    lead: list[str] = []
    if alone:
        told = f"Of {', '.join(map(cell, alone))} there are predictions alone, and no model"
        rest = "`ensemble.yaml` has the other members, weights in proportion"
        lead = [f"{told}: the ensemble as it is cannot be trained or exported. {rest}."]
        if not value["parts"]:
            return lead
        part = f" --variant best-{len(value['parts'][0]['members'])}"
    lines = [
        "# refits each member once: one pickle, proved",
        f"numerai-ray export {folder} --out {name}.pkl{part}",
        "# the same with its folds",
        f"numerai-ray train --config {folder}/ensemble.yaml --output-dir out",
    ]
    return [*lead, "```\n" + "\n".join(lines) + "\n```"]


def _drawings(value: Value) -> dict[str, Callable[[Any], Any]]:
    """What draws each plot in a theme."""
    eras = np.array([int(era) for era in value["per_era"]["era"]])
    later = np.array([each is not None for each in value["per_era"]["chosen_before"]])
    labels = {"chosen_before": "ensemble", "single": "best single", "equal": "equal weights"}

    def column(name: str) -> Any:
        scores = np.array(value["per_era"][name], np.float64)[later]
        return np.where(np.isnan(scores), np.nan, np.nancumsum(scores))

    lines = [Line(label, tuple(eras[later].tolist()), column(f"{k}_corr"), column(k)) for k, label in labels.items()]
    compared = compare_info("Chosen on earlier eras", lines, value["data"]["benchmark"])
    drawings: dict[str, Callable[[Any], Any]] = {
        "cumulative": lambda theme: draw_compare(compared, theme) if compared else None,
        "gain": lambda theme: draw_gain(gain_info(value), theme),
    }
    if len(value["members"]) > 1:
        names = [member["name"] for member in value["members"]]
        matrix = np.array(value["correlation"]["matrix"])
        drawings["members"] = lambda theme: draw_members(members_info(value), theme)
        drawings["correlation"] = lambda theme: draw_matrix(names, matrix, "Correlation of gaussianized ranks", theme)
    return drawings


def _members_caption() -> str:
    return "Left the weights, right what the ensemble loses in BMC without a member; a bar to the left is a gain."


def _post(value: Value) -> str:
    post = value["post"]
    if post["neutral"]:
        how = "wholly" if post["neutral"] == 1 else f"by {post['neutral']:g}"
        return f"made {how} neutral to the benchmark"
    return f"with a benchmark share of {post['share']:g}" if post["share"] else "mixed as they are"


def _e4(value: float | None) -> str:
    return "–" if value is None else e4(value)


def _range(span: Value) -> str:
    return f"{span['first']}–{span['last']}"


def _count(number_: int, noun: str) -> str:
    return f"{number_} {noun}{'' if number_ == 1 else 's'}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
