"""The users' passwords get into the definitions from the environment or from files."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

from clarion.brokers.definitions import definitions, main, password_hash
from clarion.errors import SettingsError

SERVICES = {
    f"RABBITMQ_{name}_PASSWORD": f"secret of {name}"
    for name in ("GATEWAY", "EMAIL", "WHATSAPP", "PUSH")
}


def _fits(password: str, stored: str) -> bool:
    raw = base64.b64decode(stored)
    return raw[4:] == hashlib.sha256(raw[:4] + password.encode()).digest()


def test_a_hash_is_salted_and_fits_its_password() -> None:
    first, second = password_hash("open sesame"), password_hash("open sesame")

    assert first != second
    assert _fits("open sesame", first)
    assert not _fits("open barley", first)


def test_the_file_holds_every_user_and_the_topology(tmp_path: Path) -> None:
    target = tmp_path / "definitions.json"

    main([str(target)], SERVICES | {"RABBITMQ_ADMIN_PASSWORD": "root"})

    written = json.loads(target.read_text())
    users = {user["name"]: user for user in written.pop("users")}
    assert written == definitions()
    assert _fits("secret of EMAIL", users["email"]["password_hash"])
    assert _fits("root", users["admin"]["password_hash"])
    assert users["admin"]["tags"] == "administrator"
    assert list(tmp_path.iterdir()) == [target]


def test_a_person_without_a_password_cannot_log_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "definitions.json"

    main([str(target)], SERVICES)

    users = {user["name"]: user for user in json.loads(target.read_text())["users"]}
    assert users["monitor"]["password_hash"] == ""
    assert "shut out: admin, monitor" in capsys.readouterr().out


def test_a_password_may_come_from_a_file(tmp_path: Path) -> None:
    secret, target = tmp_path / "secret", tmp_path / "definitions.json"
    secret.write_text("from a file\n")
    environment = SERVICES | {"RABBITMQ_PUSH_PASSWORD_FILE": str(secret)}

    main([str(target)], environment)

    users = {user["name"]: user for user in json.loads(target.read_text())["users"]}
    assert _fits("from a file", users["push"]["password_hash"])


def test_a_missing_password_is_named(tmp_path: Path) -> None:
    target = tmp_path / "definitions.json"
    environment = {key: value for key, value in SERVICES.items() if "PUSH" not in key}

    with pytest.raises(SettingsError, match="RABBITMQ_PUSH_PASSWORD") as caught:
        main([str(target)], environment)

    assert "EMAIL" not in str(caught.value)
    assert not target.exists()


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    environment = SERVICES | {"RABBITMQ_EMAIL_PASSWORD_FILE": str(tmp_path / "nothing")}

    with pytest.raises(SettingsError, match=r"RABBITMQ_EMAIL_PASSWORD_FILE: cannot read"):
        main([str(tmp_path / "definitions.json")], environment)


def test_the_target_must_be_named() -> None:
    with pytest.raises(SettingsError, match="usage"):
        main([], SERVICES)
