"""What the email worker refuses to start with."""

from __future__ import annotations

from pathlib import Path

import pytest

from clarion.errors import SettingsError
from clarion.settings import load
from clarion_email.settings import EmailSettings


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env here
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "none"))
    for field in EmailSettings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)


def start(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> EmailSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(EmailSettings)


PRODUCTION = {
    "ENVIRONMENT": "production",
    "SENDGRID_API_KEY": "SG.key",
    "EMAIL_FROM": "a@example.com",
}


@pytest.mark.parametrize("name", ["SENDGRID_API_KEY", "EMAIL_FROM"])
def test_production_needs_each_credential(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        start(monkeypatch, PRODUCTION | {name: ""})

    assert "\n" not in str(raised.value)


def test_production_starts_with_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = start(monkeypatch, PRODUCTION | {"SENDGRID_API_KEY": "SG.key\n"})

    assert settings.sendgrid_api_key.get_secret_value() == "SG.key"
    assert settings.sendgrid_base_url == "https://api.sendgrid.com"


def test_development_without_a_key_must_name_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="SENDGRID_BASE_URL"):
        start(monkeypatch, {})

    settings = start(monkeypatch, {"SENDGRID_BASE_URL": "http://127.0.0.1:8025"})

    assert settings.sendgrid_api_key.get_secret_value()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EMAIL_FROM", "nobody"),
        ("EMAIL_REPLY_TO", "nobody"),
        ("EMAIL_FROM_NAME", "Clarion\nBcc: eve@example.com"),
        ("SENDGRID_BASE_URL", "ftp://example.com"),
        ("SENDGRID_API_KEY", "SG.k\u00e9y"),
        ("SENDGRID_API_KEY", "SG.\nkey"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{name}: ") as raised:
        start(monkeypatch, PRODUCTION | {name: value})

    assert value not in str(raised.value)
