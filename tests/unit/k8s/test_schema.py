"""The manifests against the schemas of the Kubernetes API, oldest and newest that is promised."""

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from clarion_testing.manifests import Build

CUSTOM = {"ScaledObject", "ServiceMonitor", "PodMonitor", "PrometheusRule"}


@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_every_object_is_what_the_api_accepts(every: Build, version: str) -> None:
    for found in every.objects:
        if found["kind"] not in CUSTOM:
            kubernetes_validate.validate(found, version, strict=True)


def test_only_a_component_needs_resources_that_are_not_of_kubernetes(
    default: Build, production: Build
) -> None:
    kinds = {found["kind"] for build in (default, production) for found in build.objects}

    assert not kinds & CUSTOM
