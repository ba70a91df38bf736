"""The passwords that an installation makes for itself."""

import json
from pathlib import Path

from clarion import credentials


def text(folder: Path, *parts: str) -> str:
    return folder.joinpath(*parts).read_text()


def test_each_service_gets_its_own_url_and_rabbitmq_hashes_alone(tmp_path: Path) -> None:
    credentials.write(tmp_path, {})

    passwords = {path.name: path.read_text() for path in (tmp_path / "passwords").iterdir()}
    assert len(set(passwords.values())) == 11
    for service in ("gateway", "email", "whatsapp", "push"):
        expected = f"amqp://{service}:{passwords[service]}@rabbitmq:5672/"
        assert text(tmp_path, service, "broker_url") == expected
    definitions = text(tmp_path, "rabbitmq", "definitions.json")
    assert {user["name"] for user in json.loads(definitions)["users"]} == {
        "gateway",
        "email",
        "whatsapp",
        "push",
        "admin",
        "monitor",
    }
    assert not any(password in definitions for password in passwords.values())


def test_a_second_run_keeps_what_the_first_made(tmp_path: Path) -> None:
    credentials.write(tmp_path, {})
    before = text(tmp_path, "email", "broker_url")

    credentials.write(tmp_path, {})

    assert text(tmp_path, "email", "broker_url") == before


def test_a_password_from_the_environment_is_used_and_escaped(tmp_path: Path) -> None:
    credentials.write(tmp_path, {"POSTGRES_PASSWORD": "p@ss/word", "POSTGRES_HOST": "db"})

    assert text(tmp_path, "postgres", "password") == "p@ss/word"
    assert text(tmp_path, "push", "database_url") == (
        "postgresql://clarion:p%40ss%2Fword@db:5432/clarion"
    )


def test_the_gateways_keys_are_what_the_environment_says(tmp_path: Path) -> None:
    keys = tmp_path / "gateway" / "api_keys"

    credentials.write(tmp_path, {"API_KEYS": "shop:0"})
    assert keys.read_text() == "shop:0"

    credentials.write(tmp_path, {})
    assert not keys.exists()


def test_where_applications_are_called_is_what_the_environment_says(tmp_path: Path) -> None:
    callbacks = tmp_path / "gateway" / "callbacks"

    credentials.write(tmp_path, {"CALLBACKS": "shop https://shop.example whsec_0"})
    assert callbacks.read_text() == "shop https://shop.example whsec_0"

    credentials.write(tmp_path, {})
    assert not callbacks.exists()


def test_who_signs_and_who_checks_receipts_share_a_secret_that_others_lack(tmp_path: Path) -> None:
    credentials.write(tmp_path, {})

    shared = {path.parent.name: path.read_text() for path in tmp_path.glob("*/sandbox_secret")}
    assert set(shared) == {"gateway", "whatsapp", "sandbox"}
    assert len(set(shared.values())) == 1
    assert len(shared["sandbox"]) >= 16
