"""Chapters of a report: what later stages, joint rounds, failures, ranges and estimates are told as."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from builders import Market, experiment
from report_text import head, section, text

from numerai_ray.config.search_space import merged_changes
from numerai_ray.experiment.records import RoundRecord
from numerai_ray.experiment.scores import ScoreReader, with_evidence
from numerai_ray.metrics.significance import Comparison
from numerai_ray.report.markdown import report_text
from numerai_ray.report.reading import Reading
from numerai_ray.report.sections.plan import Promise, estimate_section, in_all, promises
from numerai_ray.report.tables import change_text


def test_the_same_difference_may_be_clear_in_its_round_and_noise_as_the_best_of_many(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0035))
    values = {value: 0.0037 + (0.0010 if value == 63 else 0.0) for value in (7, 15, 63, 127)}
    history.scout("num_leaves", values)
    history.scout("max_depth", {3: 0.0040, 8: 0.0040})
    confirm = history.confirm(0.0050)
    history.final(0.0047)
    base, challenger, *rest = confirm.variants
    judged = with_evidence(base, [challenger], ScoreReader(history.paths), Comparison(200, 4))
    records = (*history.records[:2], replace(confirm, variants=(base, *judged, *rest)), *history.records[3:])
    shown = Reading(history.loaded, history.paths, records)
    report = report_text(shown, {})
    assert "clear gain" in section(report, "## Confirm")
    overall = re.search(r"^Over all scored eras against the experiment's base: .*", section(report, "## Confirm"), re.M)
    assert overall is not None
    assert "interval), inside the noise (p = " in overall[0]
    final = section(report, "## Final")
    assert "The winner is the experiment's base with num_leaves=63." in final
    assert "Over all scored eras against the baseline: +" in final
    # Eras that chose nothing judge the winner as the one variant that it is there.
    kept = Reading(history.loaded, history.paths, (*records, replace(records[2], number=5, stage="holdout")))
    headline = kept.headline("holdout")
    assert headline is not None
    assert headline.paired is not None
    assert headline.paired.judged == 1
    assert re.search(r"On 231 eras kept out of the search: \+.*, the gain is there", head(report_text(kept, {})))


def test_many_failures_and_doubts_are_told_together(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0002))
    history.scout("num_leaves", dict.fromkeys((2, 3, 4, 5, 6, 7), "fold 1: refused\n.") | {63: 0.0041})
    doubts = {value: f"weak: corr_mean 0.00{value:02d} is below 0.005" for value in (3, 8)}
    history.scout("max_depth", {3: 0.0040, 8: 0.0043}, flags=doubts)
    report = text(history)
    named = ", ".join(f"r01-num_leaves={value}" for value in (2, 3, 4, 5))
    assert f"- Failed, so untried and not bad: {named} and 2 more: fold 1: refused." in section(
        report, "## Threats to the result"
    )
    doubtful = "- Sanity: r02-max_depth=3: weak: corr_mean 0.0003 is below 0.005; the same of r02-max_depth=8."
    assert doubtful in section(report, "## Threats to the result")
    assert section(report, "## Scout rounds").count("- Failed: ") == 1


def test_ranges_and_joint_rounds_are_told(tmp_path: Path) -> None:
    span = {"low": 3, "high": 63, "scale": "log", "integer": True}
    space = {"leaves": {"path": "model.params.num_leaves", "range": span, "why": "size"}}
    space["depth"] = {"path": "model.params.max_depth", "values": [3], "range": {"low": 2, "high": 9}, "why": "depth"}
    history = experiment(tmp_path / "demo", changes={"search_space": {"dimensions": space}})
    record = history.scout("leaves", {7: 0.0041})
    joint = replace(record, kind="joint", dimension="joint")
    report = report_text(Reading(history.loaded, history.paths, (joint,)), {})
    assert "| leaves | `model.params.num_leaves` | 3 to 63 (log, whole) | size |" in report
    assert "| depth | `model.params.max_depth` | 3; 2 to 9 | depth |" in report
    ended = (joint, replace(history.confirm(0.004), number=2), replace(history.final(0.004), number=3))
    assert "no round varied depth" in head(report_text(Reading(history.loaded, history.paths, ended), {}))


# --- further chapters of the method ------------------------------------------------------------------------------


def test_every_stage_and_mark_of_the_method_is_told(tmp_path: Path) -> None:
    """Interpretations, focus and joint rounds, edits, pruning, importances, scale and holdout."""
    changes = {
        "holdout_eras": 52,
        "interpretations": {"plain": {}, "deep": {"model": {"params": {"max_depth": 8}}}},
        "stages": {"scale": {"data": "downsampled", "feature_set": "all"}},
    }
    history = experiment(tmp_path / "demo", changes=changes, market=Market(noise=0.0002))
    first = history.scout("num_leaves", {63: 0.0047, 127: 0.0041})
    second = history.scout("max_depth", {3: 0.0040})
    confirm = history.confirm(0.0046)
    final = history.final(0.0042)
    pruned = replace(first.variants[2], metrics=None, pruned="stopped after fold 2: hopeless")
    story = [
        replace(first, number=1, stage="interpret", dimension=None, choice="deep", variants=first.variants[:2]),
        replace(first, number=2, variants=(*first.variants[:2], pruned), edits=("values of num_leaves: 127 added",)),
        replace(second, number=3, kind="focus", why="the best value is the last one listed"),
        replace(second, number=4, kind="joint", dimension=None, importances={"num_leaves": 0.8, "max_depth": 0.2}),
        replace(confirm, number=5, estimated_s=80.0),
        replace(confirm, number=6, stage="scale"),
        replace(final, number=7),
        replace(
            confirm,
            number=8,
            stage="holdout",
            decision=replace(confirm.decision, reason="on the kept eras 71% of the gain survived"),
        ),
    ]
    report = report_text(Reading(history.loaded, history.paths, tuple(story)), {})
    titles = re.findall(r"^## (.*)$", report, re.MULTILINE)
    assert titles[3:10] == [
        "Interpretations", "Scout rounds", "Confirm", "Scale", "Final", "Holdout", "Leaderboard",
    ]  # fmt: skip
    assert "Not finished" not in report
    assert "### Round 3: max_depth (focus)" in report
    assert "The best value is the last one listed." in report
    assert "### Round 4: several dimensions at once" in report
    assert "values of num_leaves: 127 added" in report
    assert "stopped after fold 2: hopeless" in report
    assert "num_leaves 80%, max_depth 20%" in report
    read = report_text(Reading(history.loaded.interpreted("deep"), history.paths, ()), {})
    assert "the baseline with `model.params.max_depth` = 8 (the interpretation deep)" in section(read, "## Plan")
    assert "(estimated 80 s)" in report
    threats = section(report, "## Threats to the result")
    assert "Holdout: on the kept eras 71% of the gain survived." in threats
    apart = "Leaks: training and validation are at least 19 eras apart where it is tightest, and the labels trained and"
    assert f"{apart} scored there need 5; no result looked like one." in threats
    assert "**Holdout:** the last 52 weeks are kept out" in section(report, "## Plan")
    assert re.search(
        r"^\| holdout \| .* \| the best configuration against the experiment's base \|$", head(report), re.M
    )
    without = report_text(Reading(history.loaded, history.paths, tuple(story[:-1])), {})
    assert "kept out and not scored yet" in without
    assert "Not finished" in without


# --- estimate against fact ---------------------------------------------------------------------------------------


def test_estimates_are_held_against_facts(tmp_path: Path) -> None:
    history = experiment(tmp_path / "demo", market=Market(noise=0.0002))
    assert "Estimate against fact" not in text(history)
    first = history.scout("num_leaves", {63: 0.0047})
    assert history.records[0].estimated_s is None
    assert "Estimate against fact" not in text(history), "a round without an estimate has nothing to hold"
    second = history.scout("max_depth", {3: 0.0040})
    again = history.scout("max_depth", {3: 0.0040, 8: 0.0041})

    def told(record: RoundRecord, **changes: Any) -> RoundRecord:
        own = f"r{record.number:02d}-"
        trained = tuple(replace(each, fits_new=5 * each.id.startswith(own)) for each in record.variants)
        return replace(record, variants=trained, **changes)

    memory = {"peak_bytes": 2_400_000_000, "planned_bytes": 2_000_000_000}
    story = [
        told(first, estimated_s=100.0, wall_s=110.0, cost=memory),
        told(second, estimated_s=50.0, wall_s=40.0, cost={"nodes": 4, "core_hours": 1.0}),
        replace(told(again, estimated_s=3.0, wall_s=0.1), variants=second.variants),
    ]
    assert [(each.number, each.seconds, each.memory) for each in promises(story)] == [
        (1, Promise(100.0, 110.0), Promise(2e9, 2.4e9)),
        (2, Promise(50.0, 40.0), None),
    ], "a round that trains nothing is no test of an estimate, and of a cluster the memory is unknown"
    assert in_all(promises(story)) == (Promise(150.0, 150.0), Promise(2e9, 2.4e9))
    told_so = "\n".join(estimate_section(Reading(history.loaded, history.paths, tuple(story))))
    assert "| Time of 2 rounds | 150 s | 150 s | +0% |" in told_so
    assert "| Highest memory | 2.00 GB | 2.40 GB | +20% |" in told_so
    alone = "\n".join(estimate_section(Reading(history.loaded, history.paths, (replace(story[0], cost={}),))))
    assert "| Time of 1 round | 100 s | 110 s | +10% |" in alone
    assert "memory" not in alone, "what was not estimated has no line"


def test_changes_read_as_in_a_plan_and_stand_together() -> None:
    changes = {
        "post.neutralize": {"to": ["small", "benchmark"], "proportion": 0.5},
        "data.target": "a",
        "post.neutralize.proportion": 0.62,
    }
    together = {"post.neutralize": {"to": ["small", "benchmark"], "proportion": 0.62}, "data.target": "a"}
    assert merged_changes(changes) == together
    told = "neutralize {to: [small, benchmark], proportion: 0.62}, target b → a"
    assert change_text(together, {"data.target": "b"}) == told
