"""What the profile `observability` is told: targets that exist, metrics that are exported."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from clarion import metrics
from clarion.settings import WorkerSettings
from clarion_gateway.settings import GatewaySettings

ROOT = Path(__file__).parents[3]
PROMETHEUS = ROOT / "observability" / "prometheus"
GRAFANA = ROOT / "observability" / "grafana"
PORTS = {
    "gateway": GatewaySettings.model_fields["port"].default,
    "rabbitmq": 15692,  # of RabbitMQ's own plugin
}

_INSTALL = "install Prometheus, whose promtool checks rules: https://prometheus.io/download/"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return Prometheus's own checker, and install it where that can be done."""
    if not shutil.which("promtool") and os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "prometheus"]
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, capture_output=True)
        subprocess.run(command, check=False, capture_output=True, env=environment)
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(_INSTALL, pytrace=False)
        pytest.skip(_INSTALL)
    return found


def check(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration(promtool: str) -> None:
    check(promtool, "check", "config", PROMETHEUS / "prometheus.yml")


def test_each_alert_is_raised_by_what_it_is_for_and_by_nothing_else(
    promtool: str, tmp_path: Path
) -> None:
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).with_name("alerts_test.yml"), tmp_path)

    check(promtool, "test", "rules", tmp_path / "alerts_test.yml")


def test_every_alert_is_tried() -> None:
    tried = load(Path(__file__).with_name("alerts_test.yml"))["tests"]
    raised = {
        case["alertname"]
        for test in tried
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }

    assert raised == set(alerts(load(PROMETHEUS / "alerts.yml")))


def alerts(rules: Any) -> dict[str, Any]:
    (group,) = rules["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def test_kubernetes_has_the_same_alerts() -> None:
    manifest = load(ROOT / "k8s" / "components" / "monitoring" / "rules.yaml")
    there = alerts(manifest["spec"])
    for rule in there.values():
        rule["expr"] = rule["expr"].replace('namespace="clarion", ', "")

    assert there == alerts(load(PROMETHEUS / "alerts.yml"))


def test_operators_are_told_what_each_alert_means() -> None:
    told = (ROOT / "docs" / "operations.md").read_text()

    for alert in alerts(load(PROMETHEUS / "alerts.yml")):
        assert f"`{alert}`" in told


def exported() -> set[str]:
    """Return the name of every sample that our processes may export."""
    assert metrics.SENT  # importing it is what registers them
    names = {"up"}
    for family in REGISTRY.collect():
        suffixes = {
            "counter": ["_total"],
            "histogram": ["_bucket", "_sum", "_count"],
        }.get(family.type, [""])
        names |= {family.name + suffix for suffix in suffixes}
    return names


def expressions() -> list[tuple[str, str]]:
    dashboard = json.loads((GRAFANA / "dashboards" / "clarion.json").read_text())
    return [
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    ] + [(name, rule["expr"]) for name, rule in alerts(load(PROMETHEUS / "alerts.yml")).items()]


@pytest.mark.parametrize(("title", "expression"), expressions())
def test_every_panel_and_alert_is_of_metrics_that_are_exported(title: str, expression: str) -> None:
    used = set(re.findall(r"[a-z_]+(?=\{|\[|\)| )(?<!by)", expression))
    used = {name for name in used if re.match(r"(up|store_|notifications?_)", name)}

    assert used, title
    assert used <= exported(), title


def test_prometheus_can_read_every_expression(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel_{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, (_, expression) in enumerate(expressions())
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    check(promtool, "check", "rules", file)


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = json.loads((GRAFANA / "dashboards" / "clarion.json").read_text())["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_prometheus_scrapes_what_compose_runs() -> None:
    services = load(ROOT / "docker-compose.yml")["services"]
    aliases = services["rabbitmq"]["networks"]["default"]["aliases"]
    for job in load(PROMETHEUS / "prometheus.yml")["scrape_configs"]:
        (found,) = job["dns_sd_configs"]
        (name,) = found["names"]

        assert name in {*services, *aliases}
        port = PORTS.get(job["job_name"], WorkerSettings.model_fields["port"].default)
        assert found["port"] == port


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    compose = load(ROOT / "docker-compose.yml")["services"]
    (source,) = load(GRAFANA / "datasources" / "prometheus.yml")["datasources"]
    (provider,) = load(GRAFANA / "dashboards" / "provider.yml")["providers"]
    dashboard = json.loads((GRAFANA / "dashboards" / "clarion.json").read_text())

    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
    mounted = compose["grafana"]["environment"]["GF_PATHS_PROVISIONING"]
    assert provider["options"]["path"] == f"{mounted}/dashboards"
    assert f"./observability/grafana:{mounted}:ro" in compose["grafana"]["volumes"]
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == source["uid"]
