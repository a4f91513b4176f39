"""The text of a new ``experiment.yaml``: what was answered, and a comment where something can be decided later."""

import json
from dataclasses import dataclass
from typing import Literal

Kind = Literal["hyperparameters", "targets", "data", "models", "ensembles"]

# kind of research -> the search spaces that suit it, the first by default
SPACES: dict[Kind, tuple[str, ...]] = {
    "hyperparameters": ("lightgbm_capacity", "lightgbm_regularization", "learning_schedule"),
    "targets": ("targets", "target_transforms", "target_ensembles"),
    "data": ("feature_sets", "era_sampling", "era_weights", "missing"),
    "models": ("xgboost", "catboost", "mlp"),
    "ensembles": ("neutralization", "blends", "stacking"),
}
# Search spaces whose values no stage may set.
VARIES_FEATURE_SET = {"feature_sets"}


@dataclass(frozen=True)
class Answers:
    """What a new experiment is asked for. ``space`` is a file of ``search_spaces/``; ``dimensions`` go inline."""

    name: str
    idea: str
    novelty: str
    baseline: str
    kind: Kind
    space: str
    feature_set: str
    data_version: str | None = None
    dimensions: tuple[tuple[str, str, tuple[object, ...]], ...] = ()
    target: str | None = None
    # The comment by which an editor finds the plan's schema.
    editor: str = ""


def plan_text(answers: Answers) -> str:
    """A commented plan that loads as it stands."""
    scout = "null" if answers.space in VARIES_FEATURE_SET and not answers.dimensions else answers.feature_set
    later = "null" if scout == "null" else "all"
    version = f"data_version: {answers.data_version}\n" if answers.data_version else ""
    head = f"{answers.editor}\n" if answers.editor else ""
    base = f"{{data: {{target: {answers.target}}}}}" if answers.target else "{}"
    return f"""\
{head}# One line of inquiry. `numerai-ray plan EXP` shows what it will do, `numerai-ray run EXP` does it.
name: {answers.name}
idea: {_text(answers.idea)}
novelty: {_text(answers.novelty)}
# experiments/baselines/; every round's table shows it. `numerai-ray baseline NAME` runs it once for all experiments.
baseline: {answers.baseline}
{version}metric: bmc_last_200_eras.mean     # what rounds are decided by; ties go to bmc.mean

base: {base}     # what differs from the baseline before any search, e.g. {{model: {{params: {{learning_rate: 0.01}}}}}}

# Can the idea be meant in two to four ways? They are scouted side by side, and the best becomes the base.
# interpretations:
#   narrow: {{data: {{target: target_ender_20}}}}
#   wide: {{data: {{target: target_ender_60}}}}

{_space(answers)}
rounds:
  variants: 4          # so many configurations beside the base in a round
  proposer: listed     # listed | refine (goes on around the best) | optuna
  margin: 2.0e-4       # the smallest gain that counts
  patience: 2          # so many rounds without one are a plateau
  accept: margin       # significant: a gain must also be clear of the noise; pareto: it must cost nothing;
                       # replicated: fresh seeds must show it again

stages:
  scout: {{data: downsampled, feature_set: {scout}}}     # small and fast
  confirm: {{data: downsampled, feature_set: {later}}}   # is the gain there at the larger scale?
  # scale: {{overrides: {{model: {{params: {{n_estimators: 30000, learning_rate: 0.001}}}}}}}}   # as the deep baseline
  final: {{data: full, feature_set: {later}}}            # the numbers to report

budget: {{rounds: 12}}     # also fits, hours, core_hours
# holdout_eras: 52         # the last weeks, kept out of everything and scored once at the end
# tags: [trees]            # to find it by on the dashboard; may be edited at any time
# keep_models: true        # every fold's trained model too, for Experiment.load(EXP).model(VARIANT, FOLD)
"""


def _space(answers: Answers) -> str:
    if not answers.dimensions:
        others = ", ".join(name for name in SPACES[answers.kind] if name != answers.space)
        return f"search_space: {answers.space}     # search_spaces/; for this kind of research also {others}\n"
    lines = ["search_space:", "  dimensions:"]
    for name, path, values in answers.dimensions:
        lines += [f"    {name}:", f"      path: {path}", f"      values: {json.dumps(list(values))}"]
        lines += ['      why: ""           # what this variable may bring', ""]
    return "\n".join(lines)


def _text(value: str) -> str:
    """YAML of one line of text."""
    return json.dumps(value, ensure_ascii=False)
