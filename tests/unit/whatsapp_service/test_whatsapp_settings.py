"""What the WhatsApp worker refuses to start with, and which form it prefers."""

from __future__ import annotations

from pathlib import Path

import pytest

from clarion.errors import SettingsError
from clarion.settings import load
from clarion_whatsapp.content import Form
from clarion_whatsapp.settings import WhatsAppSettings

PRODUCTION = {
    "ENVIRONMENT": "production",
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_AUTH_TOKEN": "a-token",
    "TWILIO_WHATSAPP_FROM": "whatsapp:+14155550199",
}
SANDBOX = {"TWILIO_BASE_URL": "http://127.0.0.1:8025"}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "none"))
    for field in WhatsAppSettings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


def start(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> WhatsAppSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(WhatsAppSettings)


@pytest.mark.parametrize(
    "name", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_WHATSAPP_FROM"]
)
def test_production_needs_each_credential(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as raised:
        start(monkeypatch, PRODUCTION | {name: ""})

    assert "\n" not in str(raised.value)


def test_a_messaging_service_needs_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    service = {"TWILIO_WHATSAPP_FROM": "", "TWILIO_MESSAGING_SERVICE_SID": "MG" + "b" * 32}

    assert start(monkeypatch, PRODUCTION | service).twilio_messaging_service_sid == "MG" + "b" * 32


def test_development_without_credentials_must_name_the_sandbox(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SettingsError, match="TWILIO_BASE_URL"):
        start(monkeypatch, {})

    assert start(monkeypatch, SANDBOX).twilio_base_url == SANDBOX["TWILIO_BASE_URL"]


def test_a_senders_number_may_lack_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = start(monkeypatch, SANDBOX | {"TWILIO_WHATSAPP_FROM": "+14155550199"})

    assert settings.twilio_whatsapp_from == "whatsapp:+14155550199"


@pytest.mark.parametrize(
    ("environment", "form"),
    [
        (SANDBOX, Form.TEXT),
        (PRODUCTION, Form.CONTENT),
        (PRODUCTION | {"WHATSAPP_PREFER": "text"}, Form.TEXT),
        (SANDBOX | {"WHATSAPP_PREFER": "content"}, Form.CONTENT),
    ],
)
def test_production_prefers_the_approved_template(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], form: Form
) -> None:
    assert start(monkeypatch, environment).preferred_form is form


@pytest.mark.parametrize(
    ("environment", "enforced"),
    [
        (SANDBOX, False),
        (PRODUCTION, True),
        (PRODUCTION | {"WHATSAPP_WINDOW": "off"}, False),
        (SANDBOX | {"WHATSAPP_WINDOW": "enforce"}, True),
    ],
)
def test_production_enforces_the_window(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], enforced: bool
) -> None:
    assert start(monkeypatch, environment).enforces_window is enforced


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_ACCOUNT_SID", "SK" + "a" * 32),
        ("TWILIO_WHATSAPP_FROM", "4155550199"),
        ("TWILIO_MESSAGING_SERVICE_SID", "MG1"),
        ("TWILIO_AUTH_TOKEN", "tok\u00e9n"),
        ("PUBLIC_URL", "clarion.test"),
        ("WHATSAPP_PREFER", "both"),
        ("WHATSAPP_WINDOW", "ajar"),
        ("RECONCILE_AFTER_SECONDS", "-1"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as raised:
        start(monkeypatch, PRODUCTION | {name: value})

    assert value not in str(raised.value).replace("'text' or 'content'", "")
