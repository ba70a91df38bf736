"""RabbitMQ's definitions file, with the users' passwords at boot and without them in git.

    python -m clarion.brokers.definitions /etc/rabbitmq/definitions.d/definitions.json

writes the file that `rabbitmq.conf` loads. Passwords come from `RABBITMQ_<USER>_PASSWORD` or, as a
file, `RABBITMQ_<USER>_PASSWORD_FILE`; those of the services must be there, `admin` and `monitor`
cannot log in without one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from clarion.brokers.topology import EXCHANGES, PEOPLE, POLICIES, QUEUES, SERVICES, USERS, User
from clarion.errors import SettingsError

VHOST = "/"
Definitions = dict[str, list[dict[str, object]]]


def definitions() -> Definitions:
    """Return all of the topology but the users themselves, as RabbitMQ imports it."""
    return {
        "vhosts": [{"name": VHOST}],
        "permissions": [_permission(user) for user in USERS],
        "topic_permissions": [
            _topic_permission(user, exchange, write)
            for user in USERS
            for exchange, write in user.topics.items()
        ],
        "policies": [
            {
                "vhost": VHOST,
                "name": policy.name,
                "pattern": policy.pattern,
                "apply-to": "queues",
                "priority": 0,
                "definition": policy.definition,
            }
            for policy in POLICIES
        ],
        "exchanges": [_exchange(name) for name in EXCHANGES],
        "queues": [
            {
                "vhost": VHOST,
                "name": queue.name,
                "durable": True,
                "auto_delete": False,
                "arguments": queue.arguments,
            }
            for queue in QUEUES
        ],
        "bindings": [
            {
                "vhost": VHOST,
                "source": queue.exchange,
                "destination": queue.name,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for queue in QUEUES
            for key in queue.keys
        ],
    }


def with_users(passwords: Mapping[str, str]) -> Definitions:
    """Return the definitions with every user; one without a password cannot log in."""
    users: list[dict[str, object]] = [
        {
            "name": user.name,
            "password_hash": password_hash(passwords[user.name]) if user.name in passwords else "",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ",".join(user.tags),
        }
        for user in USERS
    ]
    return {"users": users} | definitions()


def password_hash(password: str) -> str:
    """Return a salted hash (https://www.rabbitmq.com/docs/passwords#computing-password-hash)."""
    salt = os.urandom(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def passwords_from(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the passwords by user. Raises `SettingsError` naming each that is missing."""
    found = {user.name: _password(user, environment) for user in USERS}
    missing = [user.name for user in SERVICES if not found[user.name]]
    if missing:
        names = ", ".join(f"{_variable(name)} (or {_variable(name)}_FILE)" for name in missing)
        raise SettingsError(f"set {names}: RabbitMQ would not let the service in")
    return {name: password for name, password in found.items() if password}


def dump(content: Definitions) -> str:
    """Return the file's text, stable so that a change is a readable diff."""
    return json.dumps(content, indent=2) + "\n"


def main(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Write the definitions with the users' passwords to the file named by the argument."""
    if len(arguments) != 1:
        raise SettingsError("usage: python -m clarion.brokers.definitions FILE")
    passwords = passwords_from(environment)
    target = Path(arguments[0])
    # a node that starts meanwhile reads the old file or the new one, never half of one
    draft = target.with_name(f".{target.name}.draft")
    draft.write_text(dump(with_users(passwords)))
    # RabbitMQ runs as another user than this; the file holds hashes, no passwords
    draft.chmod(0o644)
    draft.replace(target)
    without = [user.name for user in PEOPLE if user.name not in passwords]
    note = f"; without a password, hence shut out: {', '.join(without)}" if without else ""
    sys.stdout.write(f"wrote {target}{note}\n")


def _permission(user: User) -> dict[str, object]:
    return {
        "user": user.name,
        "vhost": VHOST,
        "configure": user.configure,
        "write": user.write,
        "read": user.read,
    }


def _topic_permission(user: User, exchange: str, write: str) -> dict[str, object]:
    return {"user": user.name, "vhost": VHOST, "exchange": exchange, "write": write, "read": "^$"}


def _exchange(name: str) -> dict[str, object]:
    return {
        "vhost": VHOST,
        "name": name,
        "type": "topic",
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _variable(name: str) -> str:
    return f"RABBITMQ_{name.upper()}_PASSWORD"


def _password(user: User, environment: Mapping[str, str]) -> str:
    variable = _variable(user.name)
    file = environment.get(f"{variable}_FILE")
    if not file:
        return environment.get(variable, "")
    try:
        return Path(file).read_text().rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{variable}_FILE: cannot read {file}: {error.strerror}") from error


if __name__ == "__main__":
    try:
        main(sys.argv[1:], os.environ)
    except SettingsError as problem:
        sys.exit(str(problem))
