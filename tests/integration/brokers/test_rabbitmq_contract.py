"""RabbitMQ keeps the contract of every broker."""

from clarion_testing.broker_contract import BrokerContract
from clarion_testing.dead_letter_contract import DeadLetterContract


class TestRabbitMQ(BrokerContract, DeadLetterContract):
    """With the fixture `harness` of this folder."""
