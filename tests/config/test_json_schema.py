"""Schemas of files that users write: complete, shipped as they are made, and of one mind with the loader."""

import json
import random
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from bad_requests import PLAN
from jsonschema import Draft202012Validator
from pydantic import BaseModel, TypeAdapter
from support.fuzz_plans import KEYS, _dimension
from support.fuzz_values import fields, mutated

from numerai_ray.cli.main import run
from numerai_ray.config import parse_yaml
from numerai_ray.config.json_schema import KINDS, file_schema, schema_file, schema_text
from numerai_ray.config.plan import load_plan
from numerai_ray.config.shipped import find_shipped
from numerai_ray.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
VALIDATORS = {name: Draft202012Validator(file_schema(name)) for name in KINDS}
SHIPPED = [
    *(("plan", file) for file in sorted(ROOT.glob("experiments/*/experiment.yaml"))),
    *(("config", file) for file in sorted(ROOT.glob("experiments/baselines/*.yaml"))),
    *(("search-space", file) for file in sorted(ROOT.glob("search_spaces/*.yaml"))),
]
# What only the loader can know: it compares values with each other, lays files over each other, or reads bytes.
LOADERS_OWN = (
    r"`offset < every` must hold",
    r"`low < high` must hold",
    r"`high - low` must be finite",
    r"ends must differ in their logarithm",
    r"must lie in the range",
    r"weights must name every member",
    r"blended shares must leave some",
    r"needs window_eras, and only it takes one",  # the baseline may have the other half
    r"needs half_life_eras, and 'equal' takes none",
    r"cannot be coupled to itself|is also the path of",
    r"must hold one value for each of the",
    r"have one name, .* as files|must give names of at most|at most 16 parts",
    r"a coupling scales it|goes beyond what a number holds",
    r"no (baseline|search_space) named",
    r"sets .*, which (the dimension|the interpretation)",
    r" at \$\.\S+: ",  # a value of a dimension that gives no valid config
    r"required key is missing @ \$\.(base|interpretations|stages)",  # the baseline may have it
    r"must be a finite number",  # JSON has none other
    r"keys must be text",
    r"must be a valid integer, but is [\d.e+]+ @",  # to JSON Schema 1.0 is an integer
    r"surrogates|not valid (YAML|JSON)|nested too deep",
    r"Number out of range|must be a (valid|finite) (number|integer).*, but is \d{19,}",
)


def problems_of_loader(tmp_path: Path, plan: Any) -> list[str]:
    folder = tmp_path / "experiments" / "x"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "experiment.yaml").write_text(json.dumps(plan), encoding="utf-8", errors="surrogatepass")
    try:
        load_plan(folder / "experiment.yaml", lambda kind, name: find_shipped(kind, name, folder))
    except ConfigError as error:
        return [str(each) for each in error.problems]
    return []


@pytest.mark.parametrize("name", KINDS)
def test_schemas_are_shipped_as_they_are_made(name: str, capsys: Any) -> None:
    assert schema_file(name).read_text(encoding="utf-8") == schema_text(name), (
        f"numerai-ray schema --file {name} > numerai_ray/docs/schemas/{name}.schema.json"
    )
    Draft202012Validator.check_schema(file_schema(name))
    assert run(["schema", "--file", name]) == 0
    assert json.loads(capsys.readouterr().out) == file_schema(name)


@pytest.mark.parametrize(
    ("kind", "file"), SHIPPED, ids=[f"{kind}-{file.parent.name}-{file.stem}" for kind, file in SHIPPED]
)
def test_shipped_files_are_valid(kind: str, file: Path) -> None:
    value = parse_yaml(file.read_text(encoding="utf-8"), str(file))
    assert not [f"{each.json_path}: {each.message}" for each in VALIDATORS[kind].iter_errors(value)]


def sections() -> Iterator[tuple[str, Any]]:
    for kind, _ in KINDS.values():
        yield from ((f"{kind.__name__}.{'.'.join(path)}", field) for path, field in fields(kind))


@pytest.mark.parametrize(("place", "field"), dict(sections()).items())
def test_every_key_is_described_with_an_example_that_fits(place: str, field: Any) -> None:
    assert field.description
    assert field.examples
    for example in field.examples:
        read = TypeAdapter(field.annotation).validate_json(json.dumps(example))
        assert not isinstance(read, BaseModel) or read.model_fields_set == set(example)


def test_schema_and_loader_agree_about_changed_plans(tmp_path: Path) -> None:
    draw = random.Random(26)
    (tmp_path / "experiments" / "baselines").mkdir(parents=True)
    start = {**PLAN, "baseline": "small_lgbm_ender20"}
    counts = {"both take": 0, "both refuse": 0, "only the loader refuses": 0}
    for _ in range(400):
        plan = deepcopy(start)
        if draw.random() < 0.5:
            plan["search_space"]["dimensions"]["drawn"] = _dimension(draw)
        plan = mutated(plan, KEYS, draw)
        refused = [f"{each.json_path}: {each.message:.200}" for each in VALIDATORS["plan"].iter_errors(plan)]
        problems = problems_of_loader(tmp_path, plan)
        if refused:
            assert problems, f"only the schema refuses: {refused}\n{yaml.safe_dump(plan)[:3000]}"
            counts["both refuse"] += 1
        elif problems:
            unknown = [each for each in problems if not any(re.search(rule, each) for rule in LOADERS_OWN)]
            assert not unknown, f"only the loader refuses: {unknown}\n{yaml.safe_dump(plan)[:3000]}"
            counts["only the loader refuses"] += 1
        else:
            counts["both take"] += 1
    assert counts["both refuse"] > 100
    assert counts["both take"] > 50
    assert counts["only the loader refuses"] < 100, counts
