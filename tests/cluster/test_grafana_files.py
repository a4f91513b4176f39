"""Grafana's files, without Grafana: its dashboard read with Grafana's own types, its provisioning as the page says."""

import configparser
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import ROOT

MONITORING = ROOT / "cluster" / "monitoring"
GRAFANA = MONITORING / "grafana"


def dashboard() -> dict[str, Any]:
    value: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "numerai-ray.json").read_text())
    return value


def provisioned(what: str, name: str) -> list[dict[str, Any]]:
    """What Grafana is told to load when it starts."""
    (file,) = GRAFANA.glob(f"provisioning/*/{name}.yaml")
    value: list[dict[str, Any]] = yaml.safe_load(file.read_text())[what]
    return value


def test_the_grafana_dashboard_is_one_to_grafanas_own_types() -> None:
    """Read with the types that Grafana publishes and written again, nothing is lost and nothing is changed."""
    pytest.importorskip("grafana_foundation_sdk")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415
    from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: PLC0415
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415

    register_default_plugins()
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard())))
    assert not list(differences(dashboard(), written, "$"))
    assert list(differences({**dashboard(), "panel": []}, written, "$")) == ["$.panel"]


def differences(ours: Any, theirs: Any, place: str) -> Iterator[str]:
    """Places of ``ours`` that are not in ``theirs`` as they are."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            yield from differences(value, theirs.get(key), f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(*pair, f"{place}[{number}]")
    elif ours != theirs:
        yield place


def test_the_panels_have_a_place_a_number_and_a_source_each() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(taken)) == len(taken), "panels lie over each other"
    assert max(x for x, _ in taken) < 24
    (source,) = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}


def test_the_provisioning_is_what_the_readme_starts() -> None:
    readme = (MONITORING / "README.md").read_text()
    (provider,) = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "numerai-ray.yaml").read_text())[
        "providers"
    ]
    assert provider["type"] == "file"
    folder = provider["options"]["path"].replace("${NUMERAI_RAY_MONITORING}", str(MONITORING))
    assert Path(folder, "numerai-ray.json").is_file()
    variables = set(re.findall(r"\$\{(\w+)\}", " ".join(p.read_text() for p in GRAFANA.glob("provisioning/*/*.yaml"))))
    assert variables == {"NUMERAI_RAY_MONITORING", "RAY_PROMETHEUS_HOST"}
    assert all(f"{name}=" in readme for name in variables)
    settings = configparser.ConfigParser()
    settings.read(GRAFANA / "grafana.ini")
    assert settings["server"]["http_addr"] == "127.0.0.1"
