"""RabbitMQ over AMQP 0-9-1. Nothing is declared here: the broker's own definitions do that."""

from __future__ import annotations

from clarion.brokers.rabbitmq.broker import RabbitMQBroker

__all__ = ["RabbitMQBroker"]
