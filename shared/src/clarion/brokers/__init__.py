"""The brokers that carry notifications, chosen by the scheme of `BROKER_URL`."""

from __future__ import annotations

from clarion.amqp_url import node_urls
from clarion.brokers.base import Broker
from clarion.brokers.tls import check_tls
from clarion.errors import SettingsError


def open_broker(url: str) -> Broker:
    """Return the broker that `url` names, not yet connected.

    `memory://` is one object within one process: the caller shares it. Raises `SettingsError`.
    """
    scheme = url.partition("://")[0]
    # imported on demand: a process on the memory broker does not load an AMQP client
    if scheme == "memory":
        from clarion.brokers.memory import MemoryBroker

        return MemoryBroker()
    if scheme in {"amqp", "amqps"}:
        from clarion.brokers.rabbitmq import RabbitMQBroker

        try:
            check_tls(url)
            return RabbitMQBroker(node_urls(url))
        except ValueError as error:
            raise SettingsError(f"BROKER_URL: {error}") from error
    raise SettingsError("BROKER_URL: must start with amqp://, amqps:// or memory://")
