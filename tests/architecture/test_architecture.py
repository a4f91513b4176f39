"""The house: floors point downward, no cycles, no file over 400 lines, every library on its own floor."""

import ast
from functools import cache
from pathlib import Path

import pytest
from places import ROOT

PACKAGE = ROOT / "numerai_ray"

# module or package -> floor; imports point to the same floor or below
FLOORS = {
    "errors": 0,
    "atomic_files": 0,
    "plain_files": 0,
    "storage": 0,
    "interrupts": 0,
    "start_over": 0,
    "last_words": 0,
    "outside": 0,
    "eras": 0,
    "era_columns": 0,
    "scoring": 0,
    "transforms": 0,
    "neutralization": 0,
    "unlocked_blas": 0,
    "post": 0,
    "exposure": 0,
    "importance": 0,
    "looked": 1,
    "significance": 0,
    "pruning": 0,
    "value_trees": 0,
    "json_text": 0,
    "own_files": 0,
    "yaml_text": 1,
    "validation": 1,
    "model_config": 1,
    "combine_config": 1,
    "config": 1,
    "official_config": 1,
    "official_words": 1,
    "value_range": 1,
    "search_space": 1,
    "change_words": 1,
    "plan_schema": 1,
    "plan_template": 1,
    "experiment_plan": 1,
    "experiment_lock": 1,
    "experiment_identity": 1,
    "results": 1,
    "resource_plan": 1,
    "cluster_plan": 1,
    "results_mirror": 2,
    "shipped_files": 1,
    "machine": 2,
    "column_values": 0,
    "dataset": 2,
    "era_coverage": 2,
    "fold_coverage": 2,
    "honest_folds": 2,
    "dataset_needs": 2,
    "feature_matrix": 2,
    "dataset_build": 2,
    "era_writer": 2,
    "era_slabs": 2,
    "dataset_info": 2,
    "dataset_problems": 2,
    "file_scan": 2,
    "leaks": 2,
    "network": 2,
    "numerai_api": 2,
    "transfer": 2,
    "download_check": 2,
    "put_file": 2,
    "download": 2,
    "synthetic": 2,
    "synthetic_era": 2,
    "synthetic_layout": 2,
    "synthetic_market": 2,
    "models": 3,
    "store_entry": 0,
    "fit_store": 3,
    "model_store": 3,
    "look_store": 3,
    "fit_key": 3,
    "model_check": 3,
    "engine_check": 3,
    "training_sample": 1,
    "training_data": 3,
    "linear_parts": 0,
    "assembly": 3,
    "diagnosis": 3,
    "trial_plan": 3,
    "fit_spec": 3,
    "trees": 2,
    "fold_runner": 3,
    "round_stops": 3,
    "fit_run": 3,
    "fit_claims": 3,
    "lone_retry": 3,
    "trainings": 3,
    "fold_models": 3,
    "fold_model": 3,
    "stored_first": 3,
    "store_care": 3,
    "ray_start": 4,
    "ray_watch": 4,
    "ray_needs": 1,
    "shared_dataset": 4,
    "fit_task": 4,
    "assembly_task": 4,
    "tune_trials": 4,
    "round_progress": 4,
    "tune_runner": 4,
    "monitoring": 4,
    "ray_tasks": 4,
    "placement": 4,
    "ray_jobs": 4,
    "round_policy": 5,
    "round_decision": 5,
    "round_budget": 5,
    "round_focus": 5,
    "round_candidates": 5,
    "round_records": 5,
    "round_start": 5,
    "calibration": 5,
    "calibration_rounds": 5,
    "forecast": 5,
    "proposer": 5,
    "optuna_proposer": 5,
    "optuna_studies": 5,
    "variant_output": 5,
    "variant_files": 5,
    "results_shape": 5,
    "diagnostics_output": 5,
    "baseline_store": 5,
    "evidence": 5,
    "round_scheduler": 5,
    "report": 6,
    "experiment": 6,
    "trackers": 6,
    "submission": 6,
    "cli": 7,
    "__main__": 7,
}
# library -> the only modules that may import it
HOMES = {
    "ray": {
        "ray_start",
        "ray_watch",
        "shared_dataset",
        "fit_task",
        "assembly_task",
        "tune_trials",
        "round_progress",
        "tune_runner",
        "monitoring",
        "ray_tasks",
        "placement",
        "ray_jobs",
    },
    "optuna": {"optuna_proposer", "optuna_studies"},
    "numerapi": {"numerai_api"},
    "requests": {"network", "numerai_api", "transfer", "put_file"},
    "matplotlib": {"report"},
    "numba": {"trees"},
    "llvmlite": {"trees"},
    "lightgbm": {"models", "submission"},  # submission/container/inside runs in Numerai's container
    "psutil": {"machine"},
    "tensorboardX": {"trackers"},
    "mlflow": {"trackers"},
    "mcp": {"submission"},
    "typer": {"cli"},
    "rich": {"cli"},
    "numerai_tools": set(),
}
# module -> ours that it never imports, although the floors would allow it
NEVER = {
    "models": {"scoring", "fit_store", "fold_runner", "trial_plan"},
    "fit_store": {"models", "fold_runner"},
    "eras": {"scoring"},
    "round_policy": {"dataset", "fold_runner", "atomic_files"},
    "proposer": {"dataset"},
    "report": {"models", "fold_runner", "tune_runner"},
}
PURE = {
    "value_range",
    "eras",
    "scoring",
    "significance",
    "pruning",
    "resource_plan",
    "cluster_plan",
    "round_policy",
    "round_decision",
    "round_focus",
    "search_space",
    "errors",
}
# what a pure module may not touch
IMPURE = {"os", "pathlib", "time", "datetime", "random", "pandas", "pyarrow", "tempfile", "shutil"}
BANNED = {"utils", "helpers", "common", "core", "misc", "manager"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted name below the package; a package's ``__init__`` has the package's name."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "__init__"


def unit(name: str) -> str:
    return name.split(".", 1)[0]


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that a file imports, wherever in it, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import at line {node.lineno}"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def ours(path: Path) -> set[str]:
    """Our own modules that a file imports, as dotted names below the package."""
    names = {name_of(module) for module in modules()}
    below = {name.removeprefix("numerai_ray.") for name in imports(path) if name.startswith("numerai_ray.")} & names
    # `from package import module` names the module; the package itself is only on the way to it
    return {name for name in below if not any(other.startswith(f"{name}.") for other in below)}


def test_every_module_has_a_floor() -> None:
    units = {unit(name_of(path)) for path in modules()} - {"__init__"}
    assert units == set(FLOORS)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_one_place_writes_to_the_terminal(path: Path) -> None:
    """What is printed past ``cli.terminal`` may hold whatever somebody put into a file's name."""
    if name_of(path) in ("cli.terminal", "submission.container.inside.runner", "submission.container.inside.pack"):
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [each for each in calls if isinstance(each, ast.Name) and each.id == "print"]
    assert not [each for each in calls if isinstance(each, ast.Attribute) and each.attr in ("echo", "secho")]
    assert "rich.console.Console" not in imports(path)


# What reads JSON of its own making, or where our code is not there.
OWN_JSON = {
    "json_text", "yaml_text", "monitoring", "cli.schema_command", "cli.read_commands", "cli.live_view",
}  # fmt: skip


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_json_of_others_is_read_in_one_place(path: Path) -> None:
    """Python's own reader answers deep nesting with a RecursionError, which is no ValueError."""
    if name_of(path) in OWN_JSON or name_of(path).startswith(
        ("models", "submission.container.inside", "submission.via_mcp")
    ):
        return
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [each for each in calls if isinstance(each, ast.Attribute) and ast.unparse(each) == "json.loads"]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_downward(path: Path) -> None:
    here = unit(name_of(path))
    if here == "__init__":
        return
    upward = {name for name in ours(path) if FLOORS[unit(name)] > FLOORS[here]}
    assert not upward, f"{here} (floor {FLOORS[here]}) imports from above: {sorted(upward)}"
    assert not {unit(name) for name in ours(path)} & NEVER.get(here, set())


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_libraries_stay_home(path: Path) -> None:
    here = unit(name_of(path))
    used = {name.split(".", 1)[0] for name in imports(path)}
    strangers = {library for library in used & set(HOMES) if here not in HOMES[library]}
    assert not strangers, f"{here} imports {sorted(strangers)}"
    if here in PURE:
        assert not used & IMPURE, f"{here} is pure, but imports {sorted(used & IMPURE)}"


def test_no_cycles() -> None:
    graph = {name_of(path): ours(path) - {name_of(path)} for path in modules()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import cycle: {' -> '.join((*trail, name))}"
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("path", [*modules(), *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda p: p.name)
def test_no_file_over_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_names_say_something(path: Path) -> None:
    assert not set(path.relative_to(PACKAGE).with_suffix("").parts) & BANNED
