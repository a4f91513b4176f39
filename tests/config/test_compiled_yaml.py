"""YAML read by libyaml: the same values as PyYAML's own, and its own words for every fault."""

import pytest
import yaml
from places import ROOT

from numerai_ray.config import parse_yaml, yaml_files
from numerai_ray.errors import ConfigError

FILES = sorted(path for folder in ("experiments", "search_spaces") for path in (ROOT / folder).rglob("*.yaml"))
ODD = ["a: 010\nb: 1e-3\nc: 1:30\nd: 2020-01-01", "a: [b:c, {d:1}]", "a: ?x", "k: \U0001f600", "a: &x [1]\nb: *x"]
FAULTS = ["a:\tb", "a: [1", "a: 1\na: 2", "a: !!python/object:os.x 1", "? [a]\n: b", "a: " + "[" * 3000]


@pytest.mark.parametrize("text", [*(path.read_text() for path in FILES), *ODD])
def test_values_are_the_same(text: str) -> None:
    assert yaml_files._Compiled is not None
    assert yaml.load(text, yaml_files._Compiled) == yaml.load(text, yaml_files._Loader)


@pytest.mark.parametrize("text", FAULTS)
def test_faults_are_told_in_the_same_words(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as told:
        parse_yaml(text, "plan.yaml")
    monkeypatch.setattr(yaml_files, "_Compiled", None)
    with pytest.raises(ConfigError) as plain:
        parse_yaml(text, "plan.yaml")
    assert str(told.value) == str(plain.value)
