"""Whole experiments that nobody watches, on a market whose answer is known: do they find it, stop, and say so?"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from planted import LEAVES, TARGET, experiment, make_root

from numerai_ray import Experiment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("planted"))


def test_the_planted_answer_is_found_and_the_report_says_so(root: Path) -> None:
    folder, rounds = experiment(root, "unattended")
    answer = {"model.params.num_leaves": LEAVES, "data.target": TARGET}
    assert rounds[-1]["stage"] == "final"
    assert rounds[-1]["decision"]["changes"] == answer
    confirm = next(record for record in rounds if record["stage"] == "confirm")
    assert confirm["why"] == "plateau: 2 rounds in a row without a gain of 0.0005", "it stopped by itself, in time"
    assert len(rounds) <= 8
    report = (folder / "experiment.md").read_text()
    answer = next(line for line in report.splitlines() if line.startswith("**"))
    assert f"num_leaves={LEAVES}, target={TARGET}" in answer
    assert "clear gain" in report


# --- eras that are kept out ---------------------------------------------------------------------------------------


def results_of(folder: Path, record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results files of a round's own trials and its benchmark, by role."""
    return {
        each["role"]: json.loads((folder / "results" / f"{each['id']}.json").read_text()) for each in record["variants"]
    }


def test_kept_eras_are_in_no_fit_and_no_decision_and_are_scored_once(root: Path) -> None:
    kept, embargo = 30, 16
    folder, rounds = experiment(root, "kept", holdout_eras=kept)
    *search, last = rounds
    assert [record["stage"] for record in rounds].count("holdout") == 1
    assert last["stage"] == "holdout"
    best = Experiment.load(folder).best
    assert best == rounds[-2]["decision"]["winner"], "a holdout decides nothing"
    assert best in {variant["id"] for variant in rounds[-2]["variants"]}
    scored = results_of(folder, last)
    assert set(scored) == {"base", "variant", "baseline", "benchmark"} - ({"baseline"} - set(scored))
    eras = {role: [int(era) for era in found["per_era"]["era"]] for role, found in scored.items()}
    first = min(eras["base"])
    assert all(found == list(range(first, first + kept)) for found in eras.values())

    def last_era_used(found: dict[str, Any]) -> int:
        folds = found.get("cv", {}).get("folds", [])
        spans = [int(fold[key][1]) for fold in folds for key in ("train_era_range", "val_era_range")]
        return max([*spans, *(int(era) for era in found["per_era"]["era"])])

    for record in search:
        for found in results_of(folder, record).values():
            assert last_era_used(found) < first - embargo
    for role in ("base", "variant"):
        (fold,) = scored[role]["cv"]["folds"]
        assert int(fold["train_era_range"][1]) < first - embargo

    reason = last["decision"]["reason"]
    told = re.search(
        r"by \+(\S+) BMC \(90 % interval (\S+) to (\S+)\), in the search by \+\S+: (the gain is there|which neither)",
        reason,
    )
    assert told is not None, reason
    gain, low, high = (float(told[place]) for place in (1, 2, 3))
    means = {role: each["metrics"]["bmc_last_200_eras"]["mean"] for role, each in scored.items()}
    assert gain == pytest.approx(means["variant"] - means["base"], abs=6e-6)
    assert low < gain < high
    assert (low > 0) == (told[4] == "the gain is there")
    assert last["decision"]["changes"] == search[-1]["decision"]["changes"], "nothing is decided by them"
    report = (folder / "experiment.md").read_text()
    assert f"- Holdout: {reason[:60]}" in report
    assert f"the last {kept} weeks are kept out of every fit and decision" in report
