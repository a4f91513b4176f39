"""``check-model``: the contract that every model is held to, run on one's own."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from numerai_ray.cli.options import JsonOption
from numerai_ray.config import ModelConfig, parse_yaml, validate
from numerai_ray.errors import RequestError
from numerai_ray.progress.terminal import say, tell_code


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
    from numerai_ray.session.checking import check_with_engines

    config = validate(ModelConfig, {"type": model, "params": parse_yaml(params, "--params")}, "MODEL")
    tell_code(*([f"MODEL {model}"] if ":" in model else []))
    findings, engines = check_with_engines(config)
    broken = [each.name for each in findings if not each.kept]
    if as_json:
        value = {"model": model, "params": config.params, "kept": not broken, "promises": [*map(asdict, findings)]}
        if engines is not None:
            value["engines"] = {**asdict(engines), "ratio": round(engines.ratio, 2)}
        say(json.dumps(value, indent=2))
    else:
        for each in findings:
            say(f"{'ok  ' if each.kept else 'FAIL'}  {each.name}: {each.seen}")
        if engines is not None:
            say(str(engines))
    if broken and len(findings) <= 2:
        raise RequestError(f"{model}: cannot be trained: {broken[0]}; nothing else was tried")
    if broken:
        raise RequestError(f"{model}: {len(broken)} of {len(findings)} promises are not kept; a round would mislead")
