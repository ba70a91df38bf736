"""Settings: what is wrong with one is told in one line that names it."""

from pathlib import Path

import pytest

from clarion.errors import SettingsError
from clarion.retry import RetryPolicy
from clarion.settings import WorkerSettings, load


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_retry_policy_comes_from_the_known_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "5")
    monkeypatch.setenv("RETRY_DELAY_MS", "500")

    policy = load(WorkerSettings).retry_policy()

    assert policy == RetryPolicy(attempts=5, delay=0.5)


def test_by_default_a_retry_waits_two_seconds_and_there_are_three() -> None:
    assert load(WorkerSettings).retry_policy() == RetryPolicy(attempts=3, delay=2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("RETRY_ATTEMPTS", "-1"),
        ("ENVIRONMENT", "staging"),
        ("BROKER_URL", "redis://localhost"),
        ("DATABASE_URL", "mysql://localhost/clarion"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=f"^{name}: "):
        load(WorkerSettings)


def test_a_wrong_url_is_not_repeated_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_URL", "redis://user:hunter2@localhost")

    with pytest.raises(SettingsError) as refused:
        load(WorkerSettings)

    assert "hunter2" not in str(refused.value)


def test_a_secret_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broker_url").write_text("amqp://email:secret@rabbitmq:5672/\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))

    settings = load(WorkerSettings)

    assert settings.broker_url.get_secret_value() == "amqp://email:secret@rabbitmq:5672/"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRY_ATTEMPTS", "")

    assert load(WorkerSettings).retry_attempts == 3


@pytest.mark.parametrize("lease", ["15", "5"])
def test_a_lease_that_a_call_may_outlast_is_refused_with_both_names(
    monkeypatch: pytest.MonkeyPatch, lease: str
) -> None:
    monkeypatch.setenv("LEASE_SECONDS", lease)

    with pytest.raises(SettingsError, match=r"LEASE_SECONDS.*PROVIDER_TIMEOUT_SECONDS \(15\)"):
        load(WorkerSettings)


@pytest.mark.parametrize(
    ("name", "value"), [("PROVIDER_RATE", "0"), ("CIRCUIT_FAULTS", "0"), ("CIRCUIT_SECONDS", "0")]
)
def test_a_limit_that_lets_nothing_through_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=name):
        load(WorkerSettings)
