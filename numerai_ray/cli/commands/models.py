"""``check-model``: the contract that every model is held to, run on one's own."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from numerai_ray.cli.options import JsonOption
from numerai_ray.config import ModelConfig, parse_yaml, validate
from numerai_ray.errors import RequestError
from numerai_ray.progress.terminal import say, tell_code

if TYPE_CHECKING:
    from numerai_ray.models.engine_check import EngineComparison


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "check-model",
        epilog="Examples: numerai-ray check-model my_model.py:MyModel --params '{alpha: 2.0}' · "
        "numerai-ray check-model xgboost · numerai-ray check-model lightgbm --params '{num_leaves: 63}' (both engines)",
    )(check)


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, module:Class or file.py:Class.")],
    params: Annotated[str, typer.Option("--params", metavar="YAML", help="As in model.params.")] = "{}",
    *,
    as_json: JsonOption = False,
) -> None:
    """Try on a small market whether rounds may believe a model: seeds, threads, what it changes and what it sees."""
    from numerai_ray.models import source_of
    from numerai_ray.models.check import check_model
    from numerai_ray.models.engine_check import compare_engines

    config = validate(ModelConfig, {"type": model, "params": parse_yaml(params, "--params")}, "MODEL")
    tell_code(*([f"MODEL {model}"] if ":" in model else []))
    findings = check_model(config, source_of(config, Path.cwd()))
    broken = [each.name for each in findings if not each.kept]
    engines = compare_engines(config) if model == "lightgbm" and not broken else None
    if as_json:
        value = {"model": model, "params": config.params, "kept": not broken, "promises": [*map(asdict, findings)]}
        if engines is not None:
            value["engines"] = {**asdict(engines), "ratio": round(engines.ratio, 2)}
        say(json.dumps(value, indent=2))
    else:
        for each in findings:
            say(f"{'ok  ' if each.kept else 'FAIL'}  {each.name}: {each.seen}")
        if engines is not None:
            say(_engine_words(engines))
    if broken and len(findings) <= 2:
        raise RequestError(f"{model}: cannot be trained: {broken[0]}; nothing else was tried")
    if broken:
        raise RequestError(f"{model}: {len(broken)} of {len(findings)} promises are not kept; a round would mislead")


def _engine_words(found: "EngineComparison") -> str:
    if not found.trees:
        return f"engine: {found.engine}"
    return (
        f"engine: {found.engine}; of {found.trees} trees {found.same_trees} are LightGBM's, predictions differ by at "
        f"most {found.difference:.1e}; {found.own_seconds:.2f} s of one core against LightGBM's "
        f"{found.lightgbm_seconds:.2f}, binning included ({found.ratio:.1f} times as fast here)"
    )
