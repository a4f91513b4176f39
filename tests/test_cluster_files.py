"""The files of ``cluster/``, checked by Ray's cluster-config code, KubeRay's field names, shell and Docker rules."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import moto
import pytest
import yaml
from ray.autoscaler._private.aws import config as aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.aws.utils import resource_cache
from ray.autoscaler._private.util import prepare_config, validate_config

CLUSTER = Path(__file__).resolve().parent.parent / "cluster"
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
        "headServiceAnnotations", "suspend",
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
    assert all(
        "--head" in line or "--address" in line or line == "ray stop"
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
        for line in config[key]
    )


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


def instructions() -> Iterator[tuple[str, str]]:
    text = re.sub(r"\\\n", " ", (CLUSTER / "Dockerfile").read_text())
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            yield word, rest


def test_the_dockerfile_follows_the_rules() -> None:
    """The rules of hadolint that matter here, by their numbers."""
    found = list(instructions())
    words = [word for word, _ in found]
    assert words[0] == "FROM"
    assert re.search(r":\d+\.\d+\.\d+", found[0][1]), "DL3006/DL3007: a version, not latest"
    assert set(words) <= {"FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "CMD", "SHELL"}, "DL3020: COPY, not ADD"
    users = [rest for word, rest in found if word == "USER"]
    assert users and users[-1] != "root", "DL3002"
    assert words.count("CMD") == 1, "DL4003"
    assert all(rest.startswith("/") for word, rest in found if word == "WORKDIR"), "DL3000"
    for rest in (rest for word, rest in found if word == "RUN"):
        assert "sudo" not in rest, "DL3004"
        if "apt-get install" in rest:
            assert "--no-install-recommends" in rest, "DL3015"
            assert "apt-get update" in rest and "rm -rf /var/lib/apt/lists" in rest, "DL3009"
            assert " -y " in rest, "DL3014"
        if "pip install" in rest:
            assert "--no-cache-dir" in rest, "DL3042"
            assert "-r " in rest or "--no-deps" in rest, "DL3013: pinned"
    root = CLUSTER.parent
    for rest in (rest for word, rest in found if word == "COPY"):
        assert all((root / source).exists() for source in rest.split()[:-1])


def test_every_pin_is_exact() -> None:
    lines = [line for line in (CLUSTER / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) > 40
    assert all(re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==[0-9][^\s]*", line) for line in lines)


def test_the_slurm_script_is_sound() -> None:
    script = CLUSTER / "slurm.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed (Debian: shellcheck)")
    done = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
