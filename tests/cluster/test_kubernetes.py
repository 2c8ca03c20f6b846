"""The manifests of cluster/kubernetes/: valid by Kubernetes' and KubeRay's schemas, and fitting together."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from services_script import is_secret, settings, settings_of

CHECKOUT = Path(__file__).parents[2]
FILES = sorted((CHECKOUT / "cluster/kubernetes").glob("*.yaml"))
PAGE = (CHECKOUT / "docs/cluster-kubernetes.md").read_text()

Manifest = dict[str, Any]
"""Any: what YAML holds."""


def manifests() -> list[Manifest]:
    return [manifest for path in FILES for manifest in yaml.safe_load_all(path.read_text())]


def of_kind(*kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests() if manifest["kind"] in kinds]


def below(value: Any, key: str) -> Iterator[Any]:
    """Every value of that key, at any depth."""
    if isinstance(value, dict):
        if key in value:
            yield value[key]
        for one in value.values():
            yield from below(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from below(one, key)


@cache
def resource_schema(folder: Path, kind: str) -> Manifest:
    """KubeRay's schema of a resource, in which a field that it does not name is an error."""
    definition = yaml.load((folder / f"ray.io_{kind.lower()}s.yaml").read_text(), yaml.CSafeLoader)
    return closed(next(v for v in definition["spec"]["versions"] if v["name"] == "v1")["schema"]["openAPIV3Schema"])


def closed(schema: Manifest) -> Manifest:
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {name: closed(one) for name, one in schema["properties"].items()}
        schema.setdefault("additionalProperties", schema.get("x-kubernetes-preserve-unknown-fields", False))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = closed(schema[key])
    return schema


def misspelt(value: Any, key: str) -> Any:
    """A copy in which the first such key has one letter more."""
    value = copy.deepcopy(value)
    holder = next(one for one in dicts(value) if key in one)
    holder[f"{key}s"] = holder.pop(key)
    return value


def dicts(value: Any) -> Iterator[Manifest]:
    if isinstance(value, dict):
        yield value
        value = [*value.values()]
    if isinstance(value, list):
        for one in value:
            yield from dicts(one)


def containers(manifest: Manifest) -> list[Manifest]:
    return [one for key in ("containers", "initContainers") for several in below(manifest, key) for one in several]


def is_rays(manifest: Manifest) -> bool:
    return manifest["apiVersion"] == "ray.io/v1"


def test_manifests_of_kubernetes_are_valid_and_misspelt_ones_are_refused():
    own = [manifest for manifest in manifests() if not is_rays(manifest)]
    assert own
    for manifest in own:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    for manifest, key in ((of_kind("Deployment")[0], "image"), (of_kind("PersistentVolumeClaim")[0], "accessModes")):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(misspelt(manifest, key), kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("RayJob", ["shutdownAfterJobFinishes", "workerGroupSpecs", "secretName", "runAsNonRoot", "mountPath"]),
        ("RayCluster", ["enableInTreeAutoscaling", "minReplicas", "secretName", "tolerations", "limits"]),
    ],
)
def test_manifests_of_kuberay_are_valid_and_misspelt_ones_are_refused(kind: str, keys: list[str], schemas: Path):
    checker = jsonschema.Draft202012Validator(resource_schema(schemas, kind))
    (manifest,) = of_kind(kind)
    checker.validate(manifest)
    for key in keys:
        assert not checker.is_valid(misspelt(manifest, key)), key


def test_no_container_is_root_or_without_bounds():
    for manifest in manifests():
        for security in below(manifest, "securityContext"):
            assert security.get("runAsNonRoot") or security["allowPrivilegeEscalation"] is False
        for container in containers(manifest):
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), container["name"]
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), container["name"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, container["name"]
        for pod in (one for one in dicts(manifest) if "containers" in one):
            assert pod["securityContext"]["runAsNonRoot"] is True


def test_secrets_stand_there_by_reference_alone():
    assert not of_kind("Secret")
    for variable in (one for manifest in manifests() for several in below(manifest, "env") for one in several):
        if re.search("PASSWORD|TOKEN|SECRET|KEY", variable["name"]):
            assert variable.keys() == {"name", "valueFrom"}, variable["name"]
        assert not re.search(r"//[^$@/]*:[^$@/]+@", variable.get("value", "")), variable["name"]


def test_what_is_referred_to_is_there_or_made_by_a_command_of_the_page():
    made = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests()}
    commands = {"Secret": "create secret generic", "ConfigMap": "create configmap"}
    kinds = {"secretKeyRef": "Secret", "configMapRef": "ConfigMap", "configMap": "ConfigMap"}
    for manifest in manifests():
        for key, kind in kinds.items():
            for reference in below(manifest, key):
                name = reference["name"]
                assert (kind, name) in made or f"{commands[kind]} {name} " in PAGE, name
        for name in below(manifest, "claimName"):
            assert ("PersistentVolumeClaim", name) in made
        for name in below(manifest, "secretName"):
            assert f"create secret generic {name} --from-literal=auth_token=" in PAGE
        for name in re.findall(r"(?:@|http://)(posebed-[a-z]+):", yaml.safe_dump(manifest)):
            assert ("Service", name) in made
        for variables in below(manifest, "env"):
            named = {variable["name"] for variable in variables}
            assert {*re.findall(r"\$\((\w+)\)", str(variables))} <= named


def test_servers_are_given_all_settings_that_their_part_of_the_script_reads_and_no_other_secret():
    given = {
        container["command"][-1]: {variable["name"] for variable in container["env"]}
        for manifest in of_kind("Deployment", "StatefulSet")
        for container in containers(manifest)
    }
    assert given.keys() == {"postgres", "storage", "mlflow", "buckets"}
    for word, names in given.items():
        assert settings_of(word) <= names, word
        assert {*filter(is_secret, names)} <= settings_of(word), "no secret that it does not need"
    for manifest in of_kind("Deployment", "StatefulSet"):
        for container in containers(manifest):
            assert container["command"][:2] == ["sh", "/services/services.sh"]
    for reference in (one for manifest in manifests() for one in below(manifest, "secretKeyRef")):
        assert reference["name"] != "posebed-services" or reference["key"] in settings()
    files = re.findall(r"--from-file=cluster/services/(\S+)", PAGE)
    assert {*files} == {"services.sh", "databases.sql", "auth.ini"}, "what the servers read, and no file of secrets"


def clusters() -> list[Manifest]:
    return [one for manifest in of_kind("RayJob", "RayCluster") for one in dicts(manifest) if "headGroupSpec" in one]


def test_clusters_have_the_locked_version_of_ray_and_a_token():
    locked = re.search(r"^ray==(\S+)", (CHECKOUT / "requirements.lock.txt").read_text(), re.MULTILINE)
    assert locked and len(clusters()) == 2
    for cluster in clusters():
        assert cluster["rayVersion"] == locked[1]
        assert cluster["authOptions"]["mode"] == "token"


def mounted(pod: Manifest) -> dict[str, Manifest]:
    """The volumes of a pod's container, by where it finds them."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {mount["mountPath"]: volumes[mount["name"]] for mount in pod["containers"][0]["volumeMounts"]}


def test_the_head_and_the_desk_alone_have_the_project_and_all_pods_reach_the_storage():
    (claim,) = of_kind("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"], "any class offers it"
    (given,) = [one["data"] for one in of_kind("ConfigMap")]
    assert given["POSEBED_STORAGE"].startswith("s3://posebed/")
    (desk,) = of_kind("Pod")
    for cluster in clusters():
        groups = (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
        head, *workers = [group["template"]["spec"] for group in groups]
        (near,) = below(head["affinity"], "requiredDuringSchedulingIgnoredDuringExecution")
        assert near[0]["topologyKey"] == "kubernetes.io/hostname", "since the volume is for one node"
        assert near[0]["labelSelector"]["matchLabels"] == desk["metadata"]["labels"]
        for pod in (head, desk["spec"]):
            folder = mounted(pod)["/shared"]["persistentVolumeClaim"]
            assert folder["claimName"] == claim["metadata"]["name"]
            assert pod["containers"][0]["workingDir"].startswith("/shared")
        for pod in (head, desk["spec"], *workers):
            (container,) = pod["containers"]
            assert {"configMapRef": {"name": "posebed"}} in container["envFrom"]
            assert "AWS_SECRET_ACCESS_KEY" in {variable["name"] for variable in container["env"]}
        for pod in workers:
            assert not [*below(pod, "persistentVolumeClaim")]
            cache = mounted(pod)[given["POSEBED_CACHE"]]["emptyDir"]["sizeLimit"]
            assert int(given["POSEBED_CACHE_GB"]) * 10**9 < int(cache.removesuffix("Gi")) * 2**30


def test_a_pod_that_goes_tells_ray_within_its_time():
    for cluster in clusters():
        for group in cluster["workerGroupSpecs"]:
            pod = group["template"]["spec"]
            (words,) = below(pod, "command")
            told, waits = re.fullmatch(r"python -m posestages.leave --seconds (\d+) && sleep (\d+)", words[-1]).groups()
            assert 30 < int(told) == int(waits) < pod["terminationGracePeriodSeconds"]


def test_the_job_gives_one_command_without_a_shell():
    (job,) = of_kind("RayJob")
    assert not re.search(r"[;&|<>$]", job["spec"]["entrypoint"])


def test_the_page_names_every_file_and_every_word_to_fill_in():
    for path in FILES:
        assert path.name in PAGE
        plain = re.sub(r"#.*", "", path.read_text())
        for word in re.findall(r"\b[A-Z]+-[A-Z-]+\b|\bREGISTRY\b", plain):
            assert word in PAGE, word
