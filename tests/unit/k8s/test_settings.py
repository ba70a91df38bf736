"""What the manifests tell each service: settings that it knows, ports that it listens on."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

from clarion.brokers.topology import SERVICES, USERS
from clarion.settings import load
from clarion.store.__main__ import MigrateSettings
from clarion_email.settings import EmailSettings
from clarion_gateway.settings import GatewaySettings
from clarion_push.settings import PushSettings
from clarion_sandbox.settings import SandboxSettings
from clarion_testing.manifests import Build, Manifest
from clarion_whatsapp.settings import WhatsAppSettings

ROOT = Path(__file__).parents[3]
CLASSES: dict[str, type[BaseSettings]] = {
    "gateway": GatewaySettings,
    "email": EmailSettings,
    "whatsapp": WhatsAppSettings,
    "push": PushSettings,
    "sandbox": SandboxSettings,
    "migrate": MigrateSettings,
}
WORKERS = {"email": EmailSettings, "whatsapp": WhatsAppSettings, "push": PushSettings}


def known(settings: type[BaseSettings]) -> set[str]:
    """Return the names of a class's settings, in lower case."""
    names = set()
    for name, field in settings.model_fields.items():
        alias = field.validation_alias
        names |= {str(c) for c in alias.choices} if isinstance(alias, AliasChoices) else {name}
    return {name.lower() for name in names}


def secrets_of(pod: Manifest) -> dict[str, str]:
    """Return the setting and the key of each file in /run/secrets."""
    volumes = [v for v in pod["spec"].get("volumes", []) if v["name"] == "secrets"]
    return {item["path"]: item["key"] for v in volumes for item in v["secret"]["items"]}


def test_every_variable_is_a_setting_of_the_service_that_is_told(every: Build) -> None:
    for name, pod in every.pods():
        if name in CLASSES:
            variables = every.variables(pod["spec"]["containers"][0])
            told = {variable.lower() for variable in variables}
            assert told | set(secrets_of(pod)) <= known(CLASSES[name]), name


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_a_variable_that_is_empty_is_one_that_is_not_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # away from a developer's .env
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    # Compose hands every setting on, those that nobody set as nothing
    for setting in known(CLASSES[name]):
        monkeypatch.setenv(setting.upper(), "")
    monkeypatch.setenv("SANDBOX_URL", "http://sandbox:8025")

    settings = load(CLASSES[name])

    assert settings.model_config["hide_input_in_errors"] is True


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"sandbox"}))
def test_a_service_starts_with_what_it_is_told(
    every: Build, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = dict(every.pods())[name]
    given = {
        "broker_url": "amqp://someone:something@rabbitmq:5672/",
        "database_url": "postgresql://clarion:something@postgres:5432/clarion",
        "twilio_account_sid": "AC" + "1" * 32,
        "sandbox_secret": "longer than 16 characters",
        "unsubscribe_secret": "longer than 16 characters",
    }
    secrets = secrets_of(pod)
    for setting in secrets:
        (tmp_path / setting).write_text(given.get(setting, "something"))
    told = every.variables(pod["spec"]["containers"][0])
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)  # away from a developer's .env

    settings = load(CLASSES[name])

    assert settings.model_fields_set >= {variable.lower() for variable in told} | set(secrets)


def test_each_service_logs_in_to_the_broker_as_itself(every: Build) -> None:
    pods = dict(every.pods())

    for user in SERVICES:
        files = secrets_of(pods[user.name])
        assert files["broker_url"] == f"{user.name.upper()}_BROKER_URL"
        others = {f"{other.name.upper()}_BROKER_URL" for other in SERVICES if other != user}
        assert not others & set(files.values())


def test_the_migrations_get_the_database_and_nothing_else(every: Build) -> None:
    assert secrets_of(dict(every.pods())["migrate"]) == {"database_url": "DATABASE_URL"}


@pytest.mark.parametrize("name", ["gateway", "email", "whatsapp", "push", "sandbox"])
def test_a_service_is_asked_on_the_port_that_it_listens_on(default: Build, name: str) -> None:
    (container,) = dict(default.pods())[name]["spec"]["containers"]
    port = CLASSES[name].model_fields["port"].default

    (service,) = default.named("Service", name)["spec"]["ports"]

    assert [p["containerPort"] for p in container["ports"]] == [port]
    assert service["port"] == port
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_has_the_time_to_finish_what_is_in_flight(every: Build, name: str) -> None:
    pod = dict(every.pods())[name]
    drain = float(every.variables(pod["spec"]["containers"][0])["DRAIN_SECONDS"])

    assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + 10


def test_the_gateway_finds_every_pod_of_every_worker(every: Build) -> None:
    gateway = dict(every.pods())["gateway"]["spec"]["containers"][0]
    workers = dict(pair.split("=") for pair in every.variables(gateway)["WORKERS"].split(","))

    for name, url in workers.items():
        service = every.named("Service", name)["spec"]
        assert service["clusterIP"] == "None"
        assert service["publishNotReadyAddresses"] is True
        assert url == f"http://{name}:{service['ports'][0]['port']}"


def test_the_images_are_those_that_compose_builds_and_runs(every: Build) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    composed = {service["image"] for service in services.values()}

    assert {container["image"] for _, container in every.containers()} <= composed


def test_production_sends_for_real_and_runs_nothing_of_the_default_s_own(production: Build) -> None:
    names = {name for name, _ in production.pods()}
    settings = [config["data"] for config in production.of("ConfigMap")]

    assert names == {"gateway", "email", "whatsapp", "push", "migrate"}
    assert all(data["ENVIRONMENT"] == "production" for data in settings)
    assert not re.search("sandbox", str(production.objects))


def test_the_example_of_the_secrets_names_what_the_script_writes(checkout: Path) -> None:
    def keys(file: Path) -> set[str]:
        lines = file.read_text().splitlines()
        return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}

    assert keys(checkout / "secrets.env") == keys(checkout / "secrets.env.example")


def test_every_user_of_the_broker_gets_a_password(default: Build) -> None:
    pod = dict(default.pods())["rabbitmq"]
    (definitions,) = (c for c in pod["spec"]["initContainers"] if c["name"] == "definitions")
    (passwords,) = (v for v in pod["spec"]["volumes"] if v["name"] == "passwords")

    variables = default.variables(definitions)

    items = passwords["secret"]["items"]
    files = {f"/run/passwords/{item['path']}": item["key"] for item in items}
    for user in USERS:
        variable = f"RABBITMQ_{user.name.upper()}_PASSWORD"
        assert files[variables[f"{variable}_FILE"]] == variable
