"""What every pod holds to, whatever runs in it."""

import base64
import re

from clarion_testing.manifests import Build, Manifest


def references(pod: Manifest) -> set[tuple[str, str, str | None]]:
    """Return (kind, name, key) of what a pod template mounts or takes its environment from."""
    found: set[tuple[str, str, str | None]] = set()
    for volume in pod["spec"].get("volumes", []):
        if "secret" in volume:
            name = volume["secret"]["secretName"]
            found.add(("Secret", name, None))
            found |= {("Secret", name, item["key"]) for item in volume["secret"].get("items", [])}
        if "configMap" in volume:
            found.add(("ConfigMap", volume["configMap"]["name"], None))
    for container in pod["spec"].get("initContainers", []) + pod["spec"]["containers"]:
        for source in container.get("envFrom", []):
            found.add(("ConfigMap", source["configMapRef"]["name"], None))
    return found


def test_no_container_can_become_root_or_change_its_image(every: Build) -> None:
    for where, container in every.containers():
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True, where
        assert context["allowPrivilegeEscalation"] is False, where
        assert context["capabilities"] == {"drop": ["ALL"]}, where


def test_every_pod_runs_as_a_user_without_rights(every: Build) -> None:
    for where, pod in every.pods():
        context = pod["spec"]["securityContext"]
        assert context["runAsNonRoot"] is True, where
        assert context["runAsUser"] > 0, where
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, where


def test_no_pod_holds_a_token_of_the_cluster(every: Build) -> None:
    for where, pod in every.pods():
        assert pod["spec"]["automountServiceAccountToken"] is False, where


def test_no_service_is_announced_in_variables_that_are_settings(every: Build) -> None:
    # of a Service `sandbox` Kubernetes would make SANDBOX_PORT=tcp://..., which stops the sandbox
    for where, pod in every.pods():
        assert pod["spec"]["enableServiceLinks"] is False, where


def test_every_container_has_requests_and_limits(every: Build) -> None:
    for where, container in every.containers():
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory"}, (where, bound)


def test_the_namespace_enforces_the_restricted_standard(every: Build) -> None:
    (namespace,) = every.of("Namespace")

    labels = namespace["metadata"]["labels"]

    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_everything_is_in_the_one_namespace(every: Build) -> None:
    for found in every.objects:
        if found["kind"] != "Namespace":
            assert found["metadata"]["namespace"] == "clarion", found["metadata"]["name"]


def test_every_secret_and_config_map_that_is_used_exists(every: Build) -> None:
    there = {(o["kind"], o["metadata"]["name"]): o for o in every.of("Secret", "ConfigMap")}

    for where, pod in every.pods():
        for kind, name, key in references(pod):
            assert (kind, name) in there, where
            assert key is None or key in there[kind, name]["data"], (where, key)


def test_every_mount_is_of_a_volume_that_the_pod_has(every: Build) -> None:
    for workload in every.of("Deployment", "StatefulSet", "Job"):
        spec = workload["spec"]["template"]["spec"]
        claims = workload["spec"].get("volumeClaimTemplates", [])
        volumes = {v["name"] for v in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in claims}
        for container in spec.get("initContainers", []) + spec["containers"]:
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= volumes, container["name"]


def test_every_long_running_container_says_whether_it_lives_and_is_ready(every: Build) -> None:
    for workload in every.of("Deployment", "StatefulSet"):
        for container in workload["spec"]["template"]["spec"]["containers"]:
            assert {"livenessProbe", "readinessProbe"} <= set(container), container["name"]
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                http = container.get(probe, {}).get("httpGet")
                assert http is None or http["port"] in ports, (container["name"], probe)


def test_several_pods_of_a_kind_are_spread_and_leave_one_at_a_time(every: Build) -> None:
    budgets = {
        budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]: budget["spec"]
        for budget in every.of("PodDisruptionBudget")
    }

    for workload in every.of("Deployment", "StatefulSet"):
        # without `replicas` an autoscaler decides, never on less than two
        if workload["spec"].get("replicas", 2) > 1:
            name = workload["metadata"]["name"]
            spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
            keys = {constraint["topologyKey"] for constraint in spread}
            assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, name
            assert budgets[name]["maxUnavailable"] == 1, name


def test_every_service_finds_its_pods_and_their_ports(every: Build) -> None:
    pods = [pod for _, pod in every.pods()]

    for service in every.of("Service"):
        selector = service["spec"]["selector"].items()
        chosen = [pod for pod in pods if selector <= pod["metadata"]["labels"].items()]
        ports = {p["name"] for pod in chosen for p in pod["spec"]["containers"][0]["ports"]}
        wanted = {port["targetPort"] for port in service["spec"]["ports"]}
        assert len(chosen) == 1, service["metadata"]["name"]
        assert wanted <= ports, service["metadata"]["name"]


def test_every_selector_is_of_the_labels_of_its_own_pods(every: Build) -> None:
    for workload in every.of("Deployment", "StatefulSet"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_no_password_is_in_a_manifest_outside_of_secrets(default: Build) -> None:
    (secret,) = default.of("Secret")
    values = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    text = "\n".join(str(o) for o in default.objects if o["kind"] != "Secret")

    # whom to call is for the application to say, and nobody is called at first
    assert values.pop("CALLBACKS") == ""
    for key, value in values.items():
        assert len(value) >= 24, f"{key} is empty or short"
        assert value not in text, key
    assert not re.search(r"(amqp|postgresql)://", text)
