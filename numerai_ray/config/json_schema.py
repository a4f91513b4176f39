"""JSON Schemas of the files that users write, made from the models that read them.

They are shipped below ``numerai_ray/docs/schemas/``, so that editors complete and check a plan while it is written.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from numerai_ray.config.plan_schema import ExperimentPlan
from numerai_ray.config.queue_plan import QueuePlan
from numerai_ray.config.schema import MEMBER_KEYS, Config
from numerai_ray.config.schema_rules import CHANGES, OF_THE_WHOLE
from numerai_ray.config.search_space import SearchSpace
from numerai_ray.config.validation import Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# name -> the model, and what the file is called
KINDS: dict[str, tuple[type[BaseModel], str]] = {
    "plan": (ExperimentPlan, "experiment.yaml"),
    "config": (Config, "a configuration: experiments/baselines/NAME.yaml, configs/ID.yaml, or --config FILE"),
    "search-space": (SearchSpace, "search_spaces/NAME.yaml"),
    "queue": (QueuePlan, "experiments/queue.yaml"),
}
_ROLE = re.compile(r":\w+:(?=`)|; see :\w+:`[^`]*`")  # of a docstring: what it refers to is not here
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"


def schema_file(name: str) -> Path:
    """The shipped file of a schema."""
    return FOLDER / f"{name}.schema.json"


def editor_line(name: str, folder: Path) -> str:
    """The comment by which an editor finds the schema of a file in ``folder``: relative within a clone, else whole."""
    file, clone = schema_file(name), FOLDER.parent.parent.parent
    if folder.resolve().is_relative_to(clone):
        shown = Path(os.path.relpath(file, folder.resolve())).as_posix()
    else:
        shown = file.as_uri()
    return f"# yaml-language-server: $schema={shown}"


def file_schema(name: str) -> Json:
    """The schema of one kind of file, complete in itself; ``name`` is one of :data:`KINDS`."""
    kind, title = KINDS[name]
    schema = kind.model_json_schema()
    definitions = schema.pop("$defs", {}) | _changes()
    found = {"$schema": DIALECT, **_plain(schema), "title": title}
    used: Json = {}
    wanted: Json = found
    while wanted:  # what is laid over a config is defined only where something refers to it
        names = _references(wanted) - used.keys()
        wanted = {each: _plain(definitions[each]) for each in sorted(names)}
        used |= wanted
    return {**found, "$defs": used} if used else found


def _changes() -> Json:
    """Definitions of what is laid over a config: its keys with their types, none of them required."""
    whole = Config.model_json_schema()
    definitions = {"Config": whole, **whole.pop("$defs")}
    found = {f"{name}Changes": _part(each) for name, each in definitions.items()}
    data = found["DataConfigChanges"]["properties"]
    found["MemberChanges"] = {
        "type": "object",
        "description": "What a member of an ensemble does differently.",
        "additionalProperties": False,
        "properties": {
            "data": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {key: data[key] for key in MEMBER_KEYS["data"] or ()},
            },
            "model": {"$ref": "#/$defs/ModelConfigChanges"},
            "post": {"$ref": "#/$defs/PostConfigChanges"},
            "ensemble": {"$ref": "#/$defs/EnsembleConfigChanges"},
        },
    }
    return found


def _part(node: Any) -> Any:
    """``node`` without what holds for the whole only, and with references to parts."""
    if isinstance(node, list):
        return [_part(each) for each in node]
    if not isinstance(node, dict):
        return node
    left_out = OF_THE_WHOLE if "properties" in node and node.get("type") == "object" else ("default",)
    found: Json = {}
    for key, value in node.items():
        if key == "properties":
            found[key] = {name: _part(each) for name, each in value.items()}
        elif key == "$ref":
            found[key] = f"{value}Changes"
        elif key == "allOf":  # rules of keys that are given: they hold for a part, too
            found[key] = value
        elif key not in left_out:
            found[key] = _part(value)
    return found


def _plain(node: Any, *, named: bool = False) -> Any:
    """``node`` without the titles that pydantic makes, and with the marked mappings as references."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {
        key: _plain(value, named=key in ("properties", "$defs")) if key not in ("examples", "default") else value
        for key, value in node.items()
        if named or key not in ("title", CHANGES)
    }
    if isinstance(found.get("description"), str):
        found["description"] = " ".join(_ROLE.sub("", found["description"]).replace("``", "`").split())
    if not named and "patternProperties" in found:  # a name that does not fit is refused
        found["additionalProperties"] = False
    if not named and CHANGES in node:
        kept = {key: value for key, value in found.items() if key not in ("type", "additionalProperties")}
        return {"$ref": f"#/$defs/{node[CHANGES]}", **kept}
    return found


def _references(node: Any) -> set[str]:
    """Names of definitions that are referred to."""
    if isinstance(node, list):
        return {name for each in node for name in _references(each)}
    if not isinstance(node, dict):
        return set()
    own = {node["$ref"].rsplit("/", 1)[-1]} if isinstance(node.get("$ref"), str) else set()
    return own | {
        name for key, each in node.items() if key not in ("examples", "default") for name in _references(each)
    }


def schema_text(name: str) -> str:
    """The text of a shipped schema file."""
    return json.dumps(file_schema(name), indent=1, ensure_ascii=False) + "\n"
