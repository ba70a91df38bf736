"""RabbitMQ keeps the contract of every broker."""

from clarion_testing.broker_contract import BrokerContract


class TestRabbitMQ(BrokerContract):
    """With the fixture `harness` of this folder."""
