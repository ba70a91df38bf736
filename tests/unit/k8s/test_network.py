"""Who may talk to whom: the arrows of the design, and no other."""

from collections.abc import Iterator

import pytest

from clarion_testing.manifests import Build, Manifest

WORKERS = ("email", "whatsapp", "push")
SERVICES = ("gateway", *WORKERS)
Arrow = tuple[str, str, int]

ARROWS: set[Arrow] = {
    *((service, "rabbitmq", 5672) for service in SERVICES),
    *((service, "postgres", 5432) for service in (*SERVICES, "migrate")),
    *(("gateway", worker, 3002) for worker in WORKERS),
    *((worker, "sandbox", 8025) for worker in WORKERS),
    ("sandbox", "gateway", 3001),
    # between the nodes
    ("rabbitmq", "rabbitmq", 4369),
    ("rabbitmq", "rabbitmq", 25672),
}


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Return whether a label selector chooses these labels."""
    wanted = selector.get("matchLabels", {}).items()
    return wanted <= labels.items() and all(
        expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
        for expression in selector.get("matchExpressions", [])
    )


def chosen(build: Build, selector: Manifest) -> list[str]:
    """Return the names of the pods that a selector chooses."""
    return [name for name, pod in build.pods() if matches(selector, pod["metadata"]["labels"])]


def arrows(build: Build, direction: str) -> Iterator[Arrow]:
    """Yield (from, to, port) of what the policies of one direction allow between our pods."""
    side = "to" if direction == "egress" else "from"
    for policy in build.of("NetworkPolicy"):
        for rule in policy["spec"].get(direction, []):
            # no list of peers is everyone
            peers = rule.get(side, [{"podSelector": {}}])
            for peer in peers:
                others = chosen(build, peer["podSelector"]) if "podSelector" in peer else []
                for own in chosen(build, policy["spec"]["podSelector"]):
                    for other in others:
                        for port in rule["ports"]:
                            ends = (own, other) if side == "to" else (other, own)
                            yield (*ends, port["port"])


def test_without_a_policy_nothing_may_talk(every: Build) -> None:
    deny = every.named("NetworkPolicy", "deny-all")["spec"]

    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_what_goes_out_is_what_the_design_draws(default: Build) -> None:
    assert set(arrows(default, "egress")) == ARROWS


def test_what_comes_in_is_what_the_design_draws_and_applications_to_the_gateway(
    default: Build,
) -> None:
    everyone = {(name, "gateway", 3001) for name, _ in default.pods()}

    assert set(arrows(default, "ingress")) == ARROWS | everyone


def test_every_policy_chooses_pods_that_exist(every: Build) -> None:
    for policy in every.of("NetworkPolicy"):
        assert chosen(every, policy["spec"]["podSelector"]), policy["metadata"]["name"]


def test_only_names_are_asked_for_outside_of_the_namespace(default: Build) -> None:
    outside = {
        port["port"]
        for policy in default.of("NetworkPolicy")
        for rule in policy["spec"].get("egress", [])
        for port in rule["ports"]
        if any("podSelector" not in peer for peer in rule.get("to", [{}]))
    }

    assert outside == {53}


@pytest.mark.parametrize("worker", WORKERS)
def test_in_production_a_worker_reaches_its_provider_but_no_private_address(
    production: Build, worker: str
) -> None:
    policy = production.named("NetworkPolicy", "workers-to-providers")["spec"]

    (rule,) = policy["egress"]

    assert worker in chosen(production, policy["podSelector"])
    assert [port["port"] for port in rule["ports"]] == [443]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(
        rule["to"][0]["ipBlock"]["except"]
    )


def test_in_production_the_gateway_reaches_applications_but_no_private_address(
    production: Build,
) -> None:
    policy = production.named("NetworkPolicy", "gateway-to-applications")["spec"]

    (rule,) = policy["egress"]

    assert chosen(production, policy["podSelector"]) == ["gateway"]
    assert [port["port"] for port in rule["ports"]] == [443]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} <= set(
        rule["to"][0]["ipBlock"]["except"]
    )
