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
        for pods in below(manifest, "containers"):
            for container in pods:
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
    kinds = {"secretKeyRef": "Secret", "configMapRef": "ConfigMap", "configMap": "ConfigMap"}
    for manifest in manifests():
        for key, kind in kinds.items():
            for reference in below(manifest, key):
                name = reference["name"]
                assert (kind, name) in made or (kind == "Secret" and f"create secret generic {name} " in PAGE), name
        for name in below(manifest, "claimName"):
            assert ("PersistentVolumeClaim", name) in made
        for name in below(manifest, "secretName"):
            assert f"create secret generic {name} --from-literal=auth_token=" in PAGE
        for name in re.findall(r"(?:@|http://)(posebed-[a-z]+):", yaml.safe_dump(manifest)):
            assert ("Service", name) in made


def test_every_pod_of_ray_has_the_shared_folder_the_settings_and_the_locked_version():
    locked = re.search(r"^ray==(\S+)", (CHECKOUT / "requirements.lock.txt").read_text(), re.MULTILINE)
    assert locked
    settings = next(one for one in of_kind("ConfigMap") if one["metadata"]["name"] == "posebed")["data"]
    (claim,) = of_kind("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for manifest in of_kind("RayJob", "RayCluster"):
        (cluster,) = [one for one in dicts(manifest) if "headGroupSpec" in one]
        assert cluster["rayVersion"] == locked[1]
        assert cluster["authOptions"]["mode"] == "token"
        pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        for pod in (group["template"]["spec"] for group in pods):
            (container,) = pod["containers"]
            assert {"configMapRef": {"name": "posebed"}} in container["envFrom"]
            assert "POSEBED_STUDIES" in {variable["name"] for variable in container["env"]}
            (mount,) = [one for one in container["volumeMounts"] if one["name"] == "shared"]
            assert settings["POSEBED_STORAGE"].startswith(mount["mountPath"] + "/")
            assert container["workingDir"].startswith(mount["mountPath"] + "/")


def test_the_job_gives_one_command_without_a_shell():
    (job,) = of_kind("RayJob")
    assert not re.search(r"[;&|<>$]", job["spec"]["entrypoint"])


def test_the_page_names_every_file_and_every_word_to_fill_in():
    for path in FILES:
        assert path.name in PAGE
        plain = re.sub(r"#.*", "", path.read_text())
        for word in re.findall(r"\b[A-Z]+-[A-Z-]+\b|\bREGISTRY\b", plain):
            assert word in PAGE, word
