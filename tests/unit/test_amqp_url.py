"""`BROKER_URL` names one node of RabbitMQ, or the several of a cluster."""

from __future__ import annotations

import pytest

from clarion.amqp_url import node_urls


@pytest.mark.parametrize(
    ("url", "nodes"),
    [
        ("amqp://localhost", ["amqp://localhost"]),
        ("amqps://u:p@h:1/v?cafile=a,b", ["amqps://u:p@h:1/v?cafile=a,b"]),
        ("amqp://u:p@a:1,b:2,c/v", ["amqp://u:p@a:1/v", "amqp://u:p@b:2/v", "amqp://u:p@c/v"]),
        ("amqp://a,b?heartbeat=5", ["amqp://a?heartbeat=5", "amqp://b?heartbeat=5"]),
        ("amqp://u:p,q@a/", ["amqp://u:p,q@a/"]),
        ("amqp://[::1]:5672,[::2]/", ["amqp://[::1]:5672/", "amqp://[::2]/"]),
    ],
)
def test_each_node_has_a_url_of_its_own(url: str, nodes: list[str]) -> None:
    assert list(node_urls(url)) == nodes


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://localhost", "must start with amqp:// or amqps://"),
        ("amqp:localhost", "must start with amqp:// or amqps://"),
        ("amqp://", "the host is missing"),
        ("amqp://u:hush@/v", "the host is missing"),
        ("amqp://u:hush@a:1,/v", "host 2 is missing"),
        ("amqp://u:hush@a:1,,b/v", "host 2 is missing"),
        ("amqp://u:hush@a:1, b:2/v", "host 2 is missing or malformed"),
        ("amqp://u:hush@a:1,b:0/v", "host 2 is missing or malformed"),
        ("amqp://u:hush@a:1,b:65536/v", "host 2 has a port that is none"),
        ("amqp://u:hush@a:one/v", "the host has a port that is none"),
        ("amqp://u:hush/hush@a:1/v", "the host has a port that is none"),
        ("amqp://u:hush@[::1/v", "the host has a port that is none"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        node_urls(url)

    assert "hush" not in str(caught.value)
    assert "amqp://user:password@host:5672" in str(caught.value)
