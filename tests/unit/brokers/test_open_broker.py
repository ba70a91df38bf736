"""`BROKER_URL` chooses the broker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clarion.brokers import open_broker
from clarion.brokers.memory import MemoryBroker
from clarion.brokers.rabbitmq import RabbitMQBroker
from clarion.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryBroker),
        ("amqp://user:secret@rabbitmq:5672/", RabbitMQBroker),
        ("amqps://rabbitmq/", RabbitMQBroker),
        ("amqp://user:secret@one:5672,two:5672/", RabbitMQBroker),
    ],
)
def test_the_scheme_chooses(url: str, kind: type) -> None:
    assert type(open_broker(url)) is kind


@pytest.mark.parametrize("url", ["redis://localhost", "localhost:5672", "", "amqp://one,,two"])
def test_an_unknown_scheme_names_the_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="BROKER_URL"):
        open_broker(url)


def test_a_process_on_the_memory_broker_loads_no_amqp_client() -> None:
    code = (
        "import sys; from clarion.brokers import open_broker; open_broker('memory://'); "
        "sys.exit('aio_pika' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
