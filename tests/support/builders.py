"""Histories of experiments, made of synthetic per-era scores; nothing is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from numerai_ray.config import Config
from numerai_ray.config.plan import LoadedPlan, load_plan
from numerai_ray.config.plan_schema import Stage
from numerai_ray.config.search_space import changes_for, variant_name
from numerai_ray.data.eras import era_label
from numerai_ray.experiment.decision import PolicySettings, decide, sanity_flags
from numerai_ray.experiment.ledger import append_ledger
from numerai_ray.experiment.paths import ExperimentPaths
from numerai_ray.experiment.records import Role, RoundRecord, VariantRecord
from numerai_ray.experiment.score_values import official_metrics, per_era_json
from numerai_ray.metrics.scoring import EraScores, metrics_of
from numerai_ray.metrics.significance import RULE
from numerai_ray.system.json_text import write_json

BASELINE = {
    "data": {"version": "v5.2", "feature_set": "medium", "target": "target_ender_20"},
    "model": {"params": {"n_estimators": 2000, "learning_rate": 0.01, "num_leaves": 31, "max_depth": 5}},
}
PLAN = {
    "idea": "Wider trees at a lower learning rate carry benchmark-independent signal.",
    "novelty": "The official baseline fixes num_leaves; nobody has mapped it against BMC at fixed compute.",
    "search_space": {
        "dimensions": {
            "num_leaves": {
                "path": "model.params.num_leaves",
                "values": [7, 15, 63, 127],
                "why": "the number of regions a tree tells apart",
            },
            "learning_rate": {
                "path": "model.params.learning_rate",
                "values": [0.005, 0.02],
                "coupled": {"model.params.n_estimators": "inverse"},
                "why": "smaller steps, more of them",
            },
            "max_depth": {"path": "model.params.max_depth", "values": [3, 8]},
        }
    },
    "rounds": {"variants": 4, "margin": 2.0e-4, "patience": 2},
}

DIAGNOSTICS = {
    "eras": {"looked_at": 240, "of": 240, "first": "0161", "last": "1117"},
    "feature_exposure": {"max": 0.31, "mean": 0.08, "top": ["feature_a"], "by_group": {"rain": 0.1, "faith": 0.2}},
    "feature_neutral_corr": {
        "neutral_to": "fncv3_features",
        "features": 400,
        "mean": 0.017,
        "corr_mean_same_eras": 0.025,
    },
    "churn": {"mean": None, "n_eras": 0, "common_ids": 0},
    "correlation_with": {"r01-base": 0.91, "r01-num_leaves=7": 0.88},
    "importance": {
        "top": ["feature_b", "feature_a"],
        "per_feature": {"feature_a": 0.4, "feature_b": 0.6},
        "by_group": {"faith": 0.4, "rain": 0.6},
    },
}


def loaded_plan(root: Path, changes: Mapping[str, Any] | None = None) -> LoadedPlan:
    """``PLAN`` with ``changes`` at its top level, written to ``root`` and loaded."""
    root.mkdir(parents=True, exist_ok=True)
    baseline = root.parent / "baseline.yaml"
    baseline.write_text(yaml.safe_dump(BASELINE))
    path = root / "experiment.yaml"
    path.write_text(yaml.safe_dump({**PLAN, **(changes or {})}, sort_keys=False))
    return load_plan(path, lambda _kind, _name: baseline)


@dataclass
class Market:
    """Eras and the noise of scores: ``noise`` is the std of a variant's per-era difference to the base."""

    eras: tuple[int, ...] = tuple(range(161, 1125, 4))
    first_benchmark_era: int = 200
    noise: float = 0.005
    seed: int = 7

    def scores(self, bmc: float, trial: str) -> EraScores:
        """Scores around ``bmc`` that share one market with all others of this seed."""
        n = len(self.eras)
        shared = np.random.default_rng(self.seed).normal(0, 0.014, n)
        own = np.random.default_rng([self.seed, *trial.encode()]).normal(0, self.noise, n)
        bmc_scores = bmc + shared + own - own.mean()
        bmc_scores[np.array(self.eras) < self.first_benchmark_era] = np.nan
        corr = 0.022 + bmc + shared + np.random.default_rng(self.seed + 1).normal(0, 0.008, n)
        level = np.where(np.isnan(bmc_scores), np.nan, 0.56)
        return EraScores(corr, bmc_scores, level)


@dataclass
class History:
    """Adds rounds to an experiment as the scheduler would; ``records`` is the history."""

    loaded: LoadedPlan
    paths: ExperimentPaths
    market: Market = field(default_factory=Market)
    records: list[RoundRecord] = field(default_factory=list)
    changes: dict[str, Any] = field(default_factory=dict)

    def scout(
        self,
        dimension: str,
        bmc: Mapping[Any, float | str],
        base_bmc: float | str = 0.0037,
        flags: Mapping[Any, str] | None = None,
    ) -> RoundRecord:
        """A scout round; ``bmc`` has each value's mean BMC, or the message it fails with."""
        prefix = f"r{len(self.records) + 1:02d}"
        base_config = self.loaded.config("scout", self.changes)
        variants = [self._known(base_config) or self.variant(f"{prefix}-base", "base", "base", base_config, base_bmc)]
        space = self.loaded.space.dimensions[dimension]
        for value, level in bmc.items():
            changes = changes_for(space, value, base_config.to_json())
            name = variant_name(dimension, value)
            config = self.loaded.config("scout", {**self.changes, **changes})
            made = self.variant(f"{prefix}-{name}", name, "variant", config, level)
            extra = (flags or {}).get(value)
            made = replace(made, changes=changes, flags=sanity_flags(made, variants[0]) + ((extra,) if extra else ()))
            variants.append(made)
        return self._decided("scout", dimension, dict(self.changes), variants)

    def confirm(self, challenger: float, base: float = 0.004) -> RoundRecord:
        prefix = f"r{len(self.records) + 1:02d}"
        variants = [self.variant(f"{prefix}-base", "base", "base", self.loaded.config("confirm", {}), base)]
        if self.changes:
            config = self.loaded.config("confirm", self.changes)
            made = self.variant(f"{prefix}-challenger", "challenger", "variant", config, challenger)
            variants.append(replace(made, changes=dict(self.changes)))
        own = self.loaded.baseline_config("confirm")
        if own != self.loaded.config("confirm", {}):
            variants.append(self.variant(f"{prefix}-baseline", "baseline", "baseline", own, 0.003))
        return self._decided("confirm", None, {}, variants)

    def final(self, winner: float, baseline: float = 0.0031) -> RoundRecord:
        prefix = f"r{len(self.records) + 1:02d}"
        config = self.loaded.config("final", self.changes)
        variants = [self.variant(f"{prefix}-winner", "winner", "base", config, winner)]
        own = self.loaded.baseline_config("final")
        if own != config:
            variants.append(self.variant(f"{prefix}-baseline", "baseline", "baseline", own, baseline))
        return self._decided("final", None, dict(self.changes), variants)

    def variant(self, trial: str, name: str, role: Role, config: Config, bmc: float | str) -> VariantRecord:
        """One trial, its results file written; a text is the message it fails with."""
        if isinstance(bmc, str):
            return VariantRecord(trial, name, role, config.fingerprint(), {}, None, error=bmc)
        scores = self.market.scores(bmc, trial)
        metrics = metrics_of(scores, config.score.last_eras)
        cv = {
            "n_splits": 5,
            "embargo": 16,
            "folds_used": 4,
            "smallest_gap_eras": 19,
            "untrained_eras": [[era_label(1), era_label(self.market.eras[0] - 4)]],
        }
        value = {
            "metrics": official_metrics(metrics),
            "cv": cv,
            "per_era": per_era_json(self.market.eras, scores),
            "diagnostics": DIAGNOSTICS,
        }
        write_json(self.paths.results(trial), value)
        return VariantRecord(
            trial, name, role, config.fingerprint(), {}, metrics, fits_new=3, fits_stored=1, fit_seconds=61.5
        )

    def _known(self, config: Config) -> VariantRecord | None:
        found = (v for r in self.records for v in r.variants if v.fingerprint == config.fingerprint() and v.metrics)
        known = next(found, None)
        return None if known is None else replace(known, name="base", role="base", changes={}, flags=())

    def _decided(
        self, stage: Stage, dimension: str | None, base_changes: dict[str, Any], variants: list[VariantRecord]
    ) -> RoundRecord:
        settings = PolicySettings(self.loaded.plan.rounds.margin, self.loaded.plan.rounds.patience, 12)
        rest = [each for each in variants if each.role == "variant"]
        decision = replace(decide(variants[0], rest, base_changes, settings), rule=f"margin/{RULE}")
        if stage == "final" and decision.winner is not None:
            decision = replace(decision, reason="recorded: full-data metrics of the winner")
        record = RoundRecord(
            number=len(self.records) + 1,
            stage=stage,
            dimension=dimension,
            base_changes=base_changes,
            variants=(*variants, self._benchmark(stage)),
            decision=decision,
            origin={
                "the base config": "0123456789ab",
                "the data file": "ba9876543210",
                "holdout_eras": str(self.loaded.plan.holdout_eras),
            },
            started=f"2026-11-23T10:{len(self.records):02d}:00+00:00",
            wall_s=83.25,
            notes=("validation eras 0001-0157 have no training eras before them and are not predicted",),
        )
        self.changes = dict(decision.changes)
        self.records.append(record)
        append_ledger(self.paths.ledger, record)
        return record

    def _benchmark(self, stage: Stage) -> VariantRecord:
        scores = self.market.scores(0.0, "benchmark")
        rounding = np.where(np.isnan(scores.bmc), np.nan, 1e-18)
        rounding[-1] = -1e-18
        scores = EraScores(scores.corr + 0.012, rounding, np.where(np.isnan(scores.bmc), np.nan, 1.0))
        name = f"benchmark-{stage}"
        write_json(self.paths.results(name), {"per_era": per_era_json(self.market.eras, scores)})
        return VariantRecord(name, "v52_lgbm_ender20", "benchmark", f"mark-{stage}", {}, metrics_of(scores, 200))


def experiment(root: Path, changes: Mapping[str, Any] | None = None, market: Market | None = None) -> History:
    """An experiment in ``root`` without rounds."""
    return History(loaded_plan(root, changes), ExperimentPaths(root), market or Market())


def finished_experiment(root: Path) -> History:
    """Three scout rounds (one gain, one failed trial), confirm and final."""
    history = experiment(root)
    history.scout("num_leaves", {7: 0.0029, 15: 0.0035, 63: 0.0044, 127: 0.0041})
    history.scout("learning_rate", {0.005: 0.0045, 0.02: "fold 2: lightgbm refuses learning_rate | 0.02\nbadly"})
    history.scout("max_depth", {3: 0.0040, 8: 0.0043}, flags={8: "drift: CORR rises while BMC falls"})
    history.confirm(0.0046)
    history.final(0.0042)
    return history
