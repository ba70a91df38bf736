"""RabbitMQ and PostgreSQL die, stay away, and lose connections in the middle of a frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from clarion_testing.chaos.proxy import CuttingProxy
from clarion_testing.chaos.scenario import COUNT, Scenario
from clarion_testing.rabbitmq_cluster import RabbitMQCluster


@asynccontextmanager
async def sending(scenario: Scenario, over: float) -> AsyncIterator[None]:
    """Send while the block runs, and until everything is accepted."""
    async with asyncio.TaskGroup() as group:
        group.create_task(scenario.send(over=over))
        yield


async def test_a_broker_that_is_killed(scenario: Scenario) -> None:
    await scenario.start()

    async with sending(scenario, over=12):
        await scenario.traffic.reached(COUNT // 4)
        await asyncio.to_thread(scenario.node.kill)
        await asyncio.to_thread(scenario.node.start)
        scenario.kills += 1

    await scenario.end()
    assert scenario.traffic.answers == {202: COUNT}


async def test_a_database_that_is_killed(scenario: Scenario) -> None:
    await scenario.start()

    async with sending(scenario, over=12):
        await scenario.traffic.reached(COUNT // 4)
        await asyncio.to_thread(scenario.database.kill)
        await scenario.traffic.answered(503)
        await asyncio.to_thread(scenario.database.start)
        scenario.kills += 1

    await scenario.end()


@pytest.mark.chaos
async def test_a_database_that_stands_still(scenario: Scenario) -> None:
    # a live worker's call must not outlive its lease here: nobody dies, so nothing is in doubt
    await scenario.start(LEASE_SECONDS="20", PROVIDER_TIMEOUT_SECONDS="15")

    async with sending(scenario, over=15):
        for part in (1, 2, 3):
            await scenario.traffic.reached(part * COUNT // 4)
            refused = scenario.traffic.answers[503]
            await asyncio.to_thread(scenario.database.freeze)
            # whoever waited for it has given up by then, and has written all the same
            await scenario.traffic.answered(503, more_than=refused)
            await asyncio.to_thread(scenario.database.thaw)

    await scenario.end()
    assert scenario.row is not None
    assert not scenario.row.verdict.announced
    assert not scenario.row.verdict.held


@pytest.mark.chaos
async def test_a_broker_that_is_gone_for_20_s_during_intake(scenario: Scenario) -> None:
    await scenario.start()
    await scenario.healthy("ok")

    async with sending(scenario, over=25):
        await scenario.traffic.reached(COUNT // 10)
        await asyncio.to_thread(scenario.node.kill)
        scenario.kills += 1
        await scenario.healthy("degraded")
        # the outage is what is tested: 20 s in which nothing is awaited
        await asyncio.sleep(20)
        assert (await scenario.health())["checks"]["broker"]["status"] == "down"
        await asyncio.to_thread(scenario.node.start)

    await scenario.healthy("ok")
    await scenario.end()
    assert scenario.traffic.answers == {202: COUNT}


@pytest.mark.chaos
async def test_connections_cut_in_the_middle_of_a_publish(
    scenario: Scenario, proxy: CuttingProxy
) -> None:
    scenario.broker_port = proxy.port
    await scenario.start()

    async with sending(scenario, over=15):
        for cut in range(1, 9):
            await scenario.traffic.reached(cut * COUNT // 10)
            proxy.cut(mute=cut % 2 == 0)

    scenario.kills += proxy.cuts
    await scenario.end()
    assert scenario.traffic.answers == {202: COUNT}


@pytest.mark.chaos
async def test_one_of_three_broker_nodes_killed_then_another(
    clustered: Scenario, rabbitmq_cluster: RabbitMQCluster
) -> None:
    await clustered.start()

    async with sending(clustered, over=25):
        for number, node in enumerate(rabbitmq_cluster.nodes[:2]):
            await clustered.traffic.reached(COUNT // 8 + number * COUNT // 2)
            await asyncio.to_thread(node.kill)
            await asyncio.to_thread(node.start)
            clustered.kills += 1

    await clustered.end()
    assert clustered.traffic.answers == {202: COUNT}
