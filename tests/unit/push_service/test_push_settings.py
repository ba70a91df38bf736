"""What the push worker refuses to start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from clarion.errors import SettingsError
from clarion.provider import HttpTransport
from clarion.settings import load
from clarion.store import open_store
from clarion_push.providers import open_provider
from clarion_push.settings import PushSettings

PRODUCTION = {
    "ENVIRONMENT": "production",
    "FCM_PROJECT_ID": "clarion-1",
    "FCM_SERVICE_ACCOUNT_FILE": "/run/secrets/key.json",
}
SANDBOX = {
    "FCM_SERVICE_ACCOUNT_FILE": "http://127.0.0.1:8025/service-account.json",
    "FCM_BASE_URL": "http://127.0.0.1:8025",
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "none"))
    for field in PushSettings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


def start(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> PushSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(PushSettings)


def test_the_sandbox_needs_its_key_and_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    assert start(monkeypatch, SANDBOX).key_is_remote


def test_production_starts_with_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = start(monkeypatch, PRODUCTION)

    assert settings.fcm_base_url == "https://fcm.googleapis.com"
    assert not settings.key_is_remote


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        (PRODUCTION | {"FCM_PROJECT_ID": ""}, "FCM_PROJECT_ID"),
        (PRODUCTION | {"FCM_SERVICE_ACCOUNT_FILE": ""}, "FCM_SERVICE_ACCOUNT_FILE"),
        (PRODUCTION | SANDBOX, "FCM_SERVICE_ACCOUNT_FILE"),
        (PRODUCTION | {"FCM_PROJECT_ID": "a/b"}, "FCM_PROJECT_ID"),
        ({}, "FCM_SERVICE_ACCOUNT_FILE"),
        (SANDBOX | {"FCM_BASE_URL": ""}, "FCM_BASE_URL"),
        (SANDBOX | {"FCM_BASE_URL": "sandbox:8025"}, "FCM_BASE_URL"),
        (SANDBOX | {"FCM_SERVICE_ACCOUNT_FILE": "key.json"}, "FCM_PROJECT_ID"),
    ],
)
def test_what_is_missing_or_wrong_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as raised:
        start(monkeypatch, environment)

    assert "\n" not in str(raised.value)


async def test_a_key_that_is_not_there_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = start(monkeypatch, PRODUCTION | {"FCM_SERVICE_ACCOUNT_FILE": "none.json"})
    transport = HttpTransport()

    with pytest.raises(SettingsError, match="FCM_SERVICE_ACCOUNT_FILE"):
        open_provider(settings, transport, open_store(f"sqlite:///{tmp_path}/clarion.db"))

    await transport.close()
