"""What Prometheus is told to scrape, and the alerts that it computes of that."""

import re

from prometheus_client import REGISTRY

from clarion import metrics
from clarion_testing.manifests import Build


def exported() -> set[str]:
    """Return the name of every sample that our metrics may have."""
    assert metrics.SENT  # importing it is what registers them
    return {name for family in REGISTRY.collect() for name in names(family.name, family.type)}


def names(name: str, kind: str) -> set[str]:
    """Return the samples' names of a metric (prometheus_client cuts `_total` off a counter)."""
    return {f"{name}_total"} if kind == "counter" else {name, f"{name}_bucket"}


def test_every_alert_is_of_metrics_that_are_exported(scaled: Build) -> None:
    (rules,) = scaled.of("PrometheusRule")
    alerts = rules["spec"]["groups"][0]["rules"]

    for alert in alerts:
        used = re.findall(r"\b(?:notifications?|store)_\w+", alert["expr"])
        assert used or "up{" in alert["expr"], alert["alert"]
        assert set(used) <= exported(), alert["alert"]


def test_every_monitor_finds_a_service_and_its_port(scaled: Build) -> None:
    for monitor in scaled.of("ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (endpoint,) = monitor["spec"]["endpoints"]
        found = [s for s in scaled.of("Service") if wanted <= s["metadata"]["labels"].items()]
        assert found, monitor["metadata"]["name"]
        for service in found:
            assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_the_nodes_of_rabbitmq_are_scraped_where_their_plugin_answers(scaled: Build) -> None:
    (endpoint,) = scaled.named("PodMonitor", "rabbitmq")["spec"]["podMetricsEndpoints"]
    (container,) = dict(scaled.pods())["rabbitmq"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert ports[endpoint["port"]] == 15692
    plugins = scaled.named("ConfigMap", "rabbitmq")["data"]["enabled_plugins"]
    assert "rabbitmq_prometheus" in plugins
