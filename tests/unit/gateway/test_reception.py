"""Single events that arrive together share what it costs to take them in, and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from clarion.brokers.memory import MemoryBroker
from clarion.errors import StoreUnavailable
from clarion.store.base import Store
from clarion.templates import TemplateRepository
from clarion_gateway.intake import Acceptor
from clarion_gateway.problems import Problem
from clarion_gateway.publisher import Publisher
from clarion_gateway.reception import Reception
from clarion_testing.system import event


@pytest.fixture
def acceptor(store: Store, templates: TemplateRepository) -> Acceptor:
    return Acceptor(store, templates, Publisher(store, MemoryBroker()), seconds=5.0)


def body(**changes: Any) -> bytes:
    return json.dumps(event("email") | changes).encode()


async def together(reception: Reception, *sent: tuple[str, bytes]) -> list[Any]:
    return await asyncio.gather(
        *(reception.take_in(producer, each) for producer, each in sent), return_exceptions=True
    )


async def test_each_has_an_answer_of_its_own(acceptor: Acceptor, store: Store) -> None:
    reception = Reception(acceptor)
    await reception.take_in("shop", body(message_id="known"))

    answers = await together(
        reception,
        ("shop", body(message_id="new")),
        ("shop", b"{"),
        ("shop", body(message_id="known")),
        ("shop", body(message_id="known", target_user_id="u2")),
        ("shop", body(message_id="wrong", template_id="nothing")),
        ("shop", body(message_id="late", expires_at="2020-01-01T00:00:00Z")),
        ("news", body(message_id="new")),
    )

    new, malformed, known, conflict, wrong, late, other = answers
    assert [one.duplicate for one in (*new, *known, *other)] == [False, True, False]
    refused = (malformed, conflict, wrong, late)
    assert [problem.status for problem in refused] == [400, 409, 422, 422]
    for (accepted,), producer in ((new, "shop"), (other, "news")):
        history = await store.get(accepted.notification_id)
        assert history is not None
        assert history.record.producer == producer


async def test_one_that_gave_up_holds_no_other_back(acceptor: Acceptor) -> None:
    reception = Reception(acceptor)
    impatient = asyncio.create_task(reception.take_in("shop", body(message_id="m1")))
    patient = asyncio.create_task(reception.take_in("shop", body(message_id="m2")))
    await asyncio.sleep(0)

    impatient.cancel()
    [accepted] = await patient

    assert not accepted.duplicate
    with pytest.raises(asyncio.CancelledError):
        await impatient


@pytest.mark.parametrize(
    ("fault", "raised"), [(StoreUnavailable("gone"), Problem), (ZeroDivisionError(), None)]
)
async def test_what_fails_for_all_is_told_to_each(
    acceptor: Acceptor,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    raised: type[Exception] | None,
) -> None:
    async def fail(_: object) -> object:
        raise fault

    monkeypatch.setattr(store, "accept_all", fail)

    answers = await together(Reception(acceptor), ("shop", body()), ("news", body()))

    assert [type(answer) for answer in answers] == [raised or type(fault)] * 2
