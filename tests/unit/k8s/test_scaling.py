"""What the components scale, and by which numbers."""

import re

from clarion.notification import LANES
from clarion_gateway.health import QueueHealth
from clarion_testing.manifests import Build


def test_an_autoscaler_s_workload_has_no_number_of_pods_of_its_own(scaled: Build) -> None:
    targets = {
        scaler["spec"]["scaleTargetRef"]["name"]
        for scaler in scaled.of("HorizontalPodAutoscaler", "ScaledObject")
    }

    assert targets == {"gateway", "email", "whatsapp", "push"}
    for name in targets:
        assert "replicas" not in scaled.named("Deployment", name)["spec"]


def test_every_lane_s_depth_scales_the_workers_of_its_channel(scaled: Build) -> None:
    asked = {
        (scaler["metadata"]["name"], trigger["metadata"]["valueLocation"])
        for scaler in scaled.of("ScaledObject")
        for trigger in scaler["spec"]["triggers"]
    }

    for lane in LANES:
        path = lane.routing_key.replace(".", r"\.")
        assert (lane.channel.value, f"queues.{path}.ready") in asked


def test_keda_asks_for_numbers_that_the_gateway_s_health_holds(scaled: Build) -> None:
    lanes = {lane.routing_key for lane in LANES}

    for scaler in scaled.of("ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            queues, lane, number = re.split(r"(?<!\\)\.", trigger["metadata"]["valueLocation"])
            assert queues == "queues"
            assert lane.replace("\\", "") in lanes
            assert number in QueueHealth.model_fields
            assert trigger["metadata"]["url"] == "http://gateway.clarion:3001/health"
