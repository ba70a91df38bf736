"""The manifests against the schemas of the Kubernetes API, oldest and newest that is promised."""

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from clarion_testing.manifests import Build

CUSTOM = {"ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule", "RabbitmqCluster"}


@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_every_object_is_what_the_api_accepts(every: Build, version: str) -> None:
    for found in every.objects:
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_what_the_operator_is_told_of_its_pods_is_a_pod(operated: Build, version: str) -> None:
    cluster = operated.named("RabbitmqCluster", "rabbitmq")
    template = cluster["spec"]["override"]["statefulSet"]["spec"]["template"]
    # the operator merges these with its own, whose images they do not repeat
    for container in template["spec"]["initContainers"] + template["spec"]["containers"]:
        container.setdefault("image", "rabbitmq")

    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "rabbitmq"}} | template

    kubernetes_validate.validate(pod, version, strict=True)


def test_only_a_component_needs_resources_that_are_not_of_kubernetes(
    default: Build, production: Build
) -> None:
    kinds = {found["kind"] for build in (default, production) for found in build.objects}

    assert not kinds & CUSTOM
