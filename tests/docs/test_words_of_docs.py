"""Every key and every word in backticks of the docs is one that the program, its files or its tests know."""

import re
from functools import cache
from typing import Any

import pytest
from places import PACKAGE, ROOT, TEXTS

from numerai_ray.config.json_schema import KINDS, file_schema

# Others' words: programs, parameters and boosters of libraries, columns of Numerai's files, keys of its own configs.
FOREIGN = {"boto3", "gcloud", "sbatch", "scancel", "sudo", "memfd"}
FOREIGN |= {"dart", "lossguide", "enable_bundle", "subsample_freq"}
FOREIGN |= {"v53_lgbm_ender60", "data.target.target_ender_60", "model.benchmark"}
FILE_ENDS = ("html", "json", "md", "parquet", "pkl", "py", "sh", "toml", "yaml")
SCHEMAS = [file_schema(kind) for kind in KINDS]
TOPS = {key for schema in SCHEMAS for key in schema["properties"]}


@cache
def vocabulary() -> set[str]:
    """Words of code, schemas and plans; files and tests by their names."""
    yamls = [each for folder in ("cluster", "experiments", "search_spaces") for each in (ROOT / folder).rglob("*.yaml")]
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.json"), *yamls, ROOT / "pyproject.toml", ROOT / "justfile"]
    known = {word for file in files for word in re.findall(r"[A-Za-z_]\w*", file.read_text(encoding="utf-8"))}
    for file in (ROOT / "tests").rglob("*.py"):
        known |= {file.stem, *re.findall(r"^ *def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}
    return known


def is_key(schema: Any, node: Any, path: list[str]) -> bool:
    """Whether a schema has a place of this path."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    if not path:
        return True
    either = [each for word in ("anyOf", "oneOf", "allOf") for each in node.get(word, ())]
    below = node.get("properties", {}).get(path[0], node.get("additionalProperties"))
    either_way = any(is_key(schema, each, path) for each in either)
    return either_way or below is True or (isinstance(below, dict) and is_key(schema, below, path[1:]))


def unknown(text: str) -> set[str]:
    """Words in backticks, outside of blocks of code, that nothing knows."""
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    found = set()
    for span in re.findall(r"`([^`\n]+)`", prose):
        for word in re.findall(r"(?<![\w./-])([a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*)(?![\w/(-])", span):
            parts = word.split(".")
            if word in FOREIGN or (parts[-1] in FILE_ENDS and len(parts) > 1):
                continue
            if len(parts) > 1 and parts[0] in TOPS:
                known = any(is_key(schema, schema, parts) for schema in SCHEMAS)
            else:
                known = set(parts) <= vocabulary()
            if not known:
                found.add(word)
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_every_key_and_word_is_known(name: str) -> None:
    assert unknown(TEXTS[name]) == set()


def test_a_key_that_is_not_there_is_found() -> None:
    text = "`rounds.sedes` and `data.last_era: 3`, `run --until plateu`\n```yaml\nmodel.typo: 1\n```\n`earliest_erra`"
    assert unknown(text) == {"rounds.sedes", "plateu", "earliest_erra"}
