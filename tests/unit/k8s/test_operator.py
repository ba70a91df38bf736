"""RabbitMQ by the operator: the same nodes, under the same names, with the same configuration."""

from pathlib import Path
from typing import Any

import pytest

from clarion_testing.manifests import Build


@pytest.fixture
def cluster(operated: Build) -> Any:
    return operated.named("RabbitmqCluster", "rabbitmq")["spec"]


@pytest.fixture
def pod(cluster: Any) -> Any:
    return cluster["override"]["statefulSet"]["spec"]["template"]["spec"]


def test_the_operator_s_cluster_takes_the_place_of_the_plain_one(
    operated: Build, default: Build
) -> None:
    def names(build: Build) -> set[tuple[str, str]]:
        kinds = ("StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment")
        return {(found["kind"], found["metadata"]["name"]) for found in build.of(*kinds)}

    assert names(default) - names(operated) == {
        ("StatefulSet", "rabbitmq"),
        ("Service", "rabbitmq"),
        ("Service", "rabbitmq-nodes"),
    }
    assert names(operated) <= names(default)


def test_it_has_the_size_of_the_plain_one(cluster: Any, default: Build) -> None:
    plain = default.named("StatefulSet", "rabbitmq")["spec"]
    (container,) = plain["template"]["spec"]["containers"]
    (claim,) = plain["volumeClaimTemplates"]

    assert cluster["replicas"] == plain["replicas"]
    assert cluster["image"] == container["image"]
    assert cluster["resources"] == container["resources"]
    storage = claim["spec"]["resources"]["requests"]["storage"]
    assert cluster["persistence"]["storage"] == storage


def test_its_definitions_and_users_are_those_of_the_plain_one(pod: Any, default: Build) -> None:
    plain = default.named("StatefulSet", "rabbitmq")["spec"]["template"]["spec"]

    def definitions(spec: Any) -> Any:
        (found,) = (c for c in spec["initContainers"] if c["name"] == "definitions")
        return found

    def volume(spec: Any, name: str) -> Any:
        (found,) = (v for v in spec["volumes"] if v["name"] == name)
        return found

    assert definitions(pod) == definitions(plain)
    for name in ("config", "passwords", "definitions"):
        assert volume(pod, name) == volume(plain, name)


def test_every_file_of_the_configuration_is_mounted_but_the_operator_s_own(
    pod: Any, operated: Build
) -> None:
    (rabbitmq,) = pod["containers"]
    mounts = {
        m["subPath"]: Path(m["mountPath"]) for m in rabbitmq["volumeMounts"] if "subPath" in m
    }

    files = set(operated.named("ConfigMap", "rabbitmq")["data"])
    assert set(mounts) == files - {"enabled_plugins"}
    assert mounts["rabbitmq.conf"].parent == Path("/etc/rabbitmq/conf.d")
    assert mounts["advanced.config"] == Path("/etc/rabbitmq/advanced.config")


def test_what_kustomize_names_is_what_the_cluster_refers_to(pod: Any, operated: Build) -> None:
    made = {found["metadata"]["name"] for found in operated.of("ConfigMap", "Secret")}
    used = {v["configMap"]["name"] for v in pod["volumes"] if "configMap" in v}
    used |= {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}

    assert len(used) == 2
    assert used <= made


def test_its_containers_have_no_rights(pod: Any) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["initContainers"] + pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
