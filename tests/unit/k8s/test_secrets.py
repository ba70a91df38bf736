"""The script that gives an installation its passwords and its first API key."""

import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from clarion.brokers.definitions import passwords_from
from clarion.brokers.topology import SERVICES, USERS
from clarion_gateway.auth import parse_keys

ROOT = Path(__file__).parents[3]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "k8s" / "make-secrets", tmp_path))


def run(script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([script], capture_output=True, text=True)


def written(script: Path) -> dict[str, str]:
    lines = script.with_name("secrets.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_key_that_is_printed_opens_the_gateway_and_is_not_kept(script: Path) -> None:
    key = run(script).stdout.split()[-1]

    keys = parse_keys(written(script)["API_KEYS"])

    assert keys.identify(f"Bearer {key}").name == "first"
    assert key not in script.with_name("secrets.env").read_text()


def test_each_url_holds_the_password_that_its_server_is_given(script: Path) -> None:
    run(script)

    values = written(script)
    passwords = passwords_from(values)

    for user in SERVICES:
        url = urlsplit(values[f"{user.name.upper()}_BROKER_URL"])
        assert (url.username, url.password) == (user.name, passwords[user.name])
    assert urlsplit(values["DATABASE_URL"]).password == values["POSTGRES_PASSWORD"]


def test_every_password_is_another(script: Path) -> None:
    run(script)

    passwords = passwords_from(written(script))

    assert len(set(passwords.values())) == len(USERS)


def test_only_its_owner_can_read_what_is_written(script: Path) -> None:
    run(script)

    assert script.with_name("secrets.env").stat().st_mode & 0o077 == 0


def test_secrets_that_exist_are_kept(script: Path) -> None:
    run(script)
    before = written(script)

    again = run(script)

    assert again.returncode == 1
    assert "exists and is kept" in again.stderr
    assert written(script) == before


def test_git_ignores_what_holds_secrets() -> None:
    ignored = (ROOT / "k8s" / ".gitignore").read_text().splitlines()

    assert {"secrets.env", "fcm-service-account.json"} <= set(ignored)
