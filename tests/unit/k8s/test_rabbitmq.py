"""RabbitMQ in the cluster: the repository's own configuration, and what three nodes add to it."""

import re
from pathlib import Path

import pytest

from clarion_testing.manifests import Build, Manifest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pod(default: Build) -> Manifest:
    return dict(default.pods())["rabbitmq"]


@pytest.mark.parametrize("name", ["rabbitmq.conf", "advanced.config"])
def test_the_configuration_is_that_of_the_repository(default: Build, name: str) -> None:
    data = default.named("ConfigMap", "rabbitmq")["data"]

    assert data[name] == (ROOT / "rabbitmq" / name).read_text()


def test_the_plugins_are_those_of_the_repository_and_discovery(default: Build) -> None:
    def plugins(text: str) -> set[str]:
        return set(re.findall(r"\w+", text))

    data = default.named("ConfigMap", "rabbitmq")["data"]
    own = plugins((ROOT / "rabbitmq" / "enabled_plugins").read_text())

    assert plugins(data["enabled_plugins"]) == own | {"rabbitmq_peer_discovery_k8s"}


def test_every_file_of_the_configuration_is_where_the_node_looks(
    default: Build, pod: Manifest
) -> None:
    mounts = {
        m["subPath"]: m["mountPath"] for m in container(pod)["volumeMounts"] if "subPath" in m
    }

    assert mounts == {
        "rabbitmq.conf": "/etc/rabbitmq/rabbitmq.conf",
        "advanced.config": "/etc/rabbitmq/advanced.config",
        "enabled_plugins": "/etc/rabbitmq/enabled_plugins",
        "cluster.conf": "/etc/rabbitmq/conf.d/90-cluster.conf",
    }
    assert set(mounts) == set(default.named("ConfigMap", "rabbitmq")["data"])


def test_the_definitions_are_written_where_the_configuration_loads_them(
    default: Build, pod: Manifest
) -> None:
    config = default.named("ConfigMap", "rabbitmq")["data"]["rabbitmq.conf"]
    (loaded,) = re.findall(r"^load_definitions = (.+)$", config, re.MULTILINE)
    (writer,) = (c for c in pod["spec"]["initContainers"] if c["name"] == "definitions")

    written = Path(writer["command"][-1])

    volume = next(
        m["name"] for m in writer["volumeMounts"] if m["mountPath"] == str(written.parent)
    )
    read = next(m["mountPath"] for m in container(pod)["volumeMounts"] if m["name"] == volume)
    assert Path(read) / written.name == Path(loaded)


def test_queues_gain_a_member_on_every_node(default: Build) -> None:
    stateful = default.named("StatefulSet", "rabbitmq")["spec"]
    config = default.named("ConfigMap", "rabbitmq")["data"]["cluster.conf"]

    target = re.search(r"reconciliation\.target_group_size = (\d+)", config)

    assert target is not None
    assert int(target[1]) == stateful["replicas"] == 3
    assert "reconciliation.enabled = true" in config


def test_a_node_is_named_as_the_headless_service_resolves_it(default: Build, pod: Manifest) -> None:
    stateful = default.named("StatefulSet", "rabbitmq")["spec"]
    service = default.named("Service", stateful["serviceName"])["spec"]

    name = default.variables(container(pod))["RABBITMQ_NODENAME"]

    assert name == f"rabbit@$(POD_NAME).{stateful['serviceName']}.$(POD_NAMESPACE)"
    assert service["clusterIP"] == "None"
    assert service["publishNotReadyAddresses"] is True


def test_a_node_is_ready_when_its_ports_answer(pod: Manifest) -> None:
    probe = container(pod)["readinessProbe"]["exec"]["command"]

    assert probe == ["rabbitmq-diagnostics", "-q", "check_port_connectivity"]


def test_a_node_has_the_time_to_hand_over_what_it_leads(pod: Manifest) -> None:
    command = container(pod)["lifecycle"]["preStop"]["exec"]["command"][-1]

    waits = [int(seconds) for seconds in re.findall(r"-t (\d+)", command)]

    assert len(waits) == 2
    assert pod["spec"]["terminationGracePeriodSeconds"] >= sum(waits) + 60


def container(pod: Manifest) -> Manifest:
    (found,) = pod["spec"]["containers"]
    assert isinstance(found, dict)
    return found
