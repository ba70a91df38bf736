"""The images: pinned to the last byte, without root, and without a shell to run them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "services" / "Dockerfile").read_text().replace("\\\n", " ")
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
OURS = ("gateway", "email", "whatsapp", "push", "sandbox", "credentials", "migrate")


def instructions(name: str) -> list[str]:
    """Return what follows each instruction of that name."""
    return re.findall(rf"^{name}\s+(.*)$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("name", ["CMD", "HEALTHCHECK"])
def test_what_runs_in_the_container_needs_no_shell(name: str) -> None:
    (found,) = instructions(name)

    words: list[str] = json.loads(found[found.index("[") :])
    assert words[0] in {"python", "clarion-service"}


def test_the_user_is_a_number_that_is_not_root() -> None:
    assert instructions("USER") == ["10001:10001"]


def test_everything_from_an_index_is_checked_against_its_hash() -> None:
    installs = re.findall(r"pip install [^&\n]*", DOCKERFILE)

    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-deps --no-index" in install


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_with_its_hash_and_names_no_index(lock: Path) -> None:
    requirements = re.split(r"\n(?=\S)", lock.read_text().strip())

    for requirement in requirements:
        assert re.match(r"[A-Za-z0-9._\[\],-]+==\S+", requirement), requirement
        assert "--hash=sha256:" in requirement
    assert "://" not in lock.read_text()


def test_the_labels_say_what_the_image_is() -> None:
    (labels,) = instructions("LABEL")

    for name in ("title", "description", "version", "revision", "base.name"):
        assert f'org.opencontainers.image.{name}="' in labels


@pytest.mark.parametrize("name", OURS)
def test_compose_runs_our_images_read_only_and_without_new_rights(name: str) -> None:
    service: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][
        name
    ]

    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    # it alone writes into fresh volumes, which belong to root
    assert ("user" in service) == (name == "credentials")
    assert service.get("cap_drop") == (None if name == "credentials" else ["ALL"])


def test_published_ports_are_on_loopback() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]

    assert len(ports) >= 7
    assert all(port.startswith("127.0.0.1:") for port in ports)
