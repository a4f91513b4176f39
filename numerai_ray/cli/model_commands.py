"""``check-model``: the contract that every model is held to, run on one's own."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from numerai_ray.cli.options import JsonOption
from numerai_ray.cli.terminal import say, tell_code
from numerai_ray.config import ModelConfig, parse_yaml, validate
from numerai_ray.errors import RequestError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command(
        "check-model",
        epilog="Examples: numerai-ray check-model my_model.py:MyModel --params '{alpha: 2.0}' · "
        "numerai-ray check-model xgboost",
    )(check)


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, module:Class or file.py:Class.")],
    params: Annotated[str, typer.Option("--params", metavar="YAML", help="As in model.params.")] = "{}",
    *,
    as_json: JsonOption = False,
) -> None:
    """Try on a small market whether rounds may believe a model: seeds, threads, what it changes and what it sees."""
    from numerai_ray.model_check import check_model
    from numerai_ray.models import source_of

    config = validate(ModelConfig, {"type": model, "params": parse_yaml(params, "--params")}, "MODEL")
    tell_code(*([f"MODEL {model}"] if ":" in model else []))
    findings = check_model(config, source_of(config, Path.cwd()))
    broken = [each.name for each in findings if not each.kept]
    if as_json:
        value = {"model": model, "params": config.params, "kept": not broken, "promises": [*map(asdict, findings)]}
        say(json.dumps(value, indent=2))
    else:
        for each in findings:
            say(f"{'ok  ' if each.kept else 'FAIL'}  {each.name}: {each.seen}")
    if broken and len(findings) <= 2:
        raise RequestError(f"{model}: cannot be trained: {broken[0]}; nothing else was tried")
    if broken:
        raise RequestError(f"{model}: {len(broken)} of {len(findings)} promises are not kept; a round would mislead")
