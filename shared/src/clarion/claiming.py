"""From a message to its row: found or stored, and claimed for one attempt."""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from clarion.errors import StoreUnavailable
from clarion.messages import decode
from clarion.notification import Channel, Notification, OnDoubt, Status
from clarion.patience import patiently
from clarion.store.base import Claim, Intake, Store, Verdict
from clarion.templates import TemplateRepository

ResultT = TypeVar("ResultT")


async def with_patience(write: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Return what a write to the store returns, waiting for a database that is away.

    The message stays unsettled meanwhile: a provider's answer is never thrown away.
    """
    return await patiently(write, StoreUnavailable, "writing to the store")


async def adopt(
    store: Store, notification: Notification, producer: str, digest: str
) -> Notification:
    """Return a notification that came by the queue alone, stored now or before.

    Raises `MessageIdConflict` or `RowRefused`.
    """
    intake = Intake(
        producer=producer,
        message_id=notification.message_id,
        body_hash=digest,
        notifications=(notification,),
        # the publisher brings a scheduled one back when its time has come
        status=Status.QUEUED if notification.send_at is None else Status.SCHEDULED,
    )
    accepted = await with_patience(lambda: store.accept(intake))
    return notification.model_copy(update={"notification_id": accepted[0].notification_id})


class Claimant:
    """Claims a channel's notifications for one worker; `lease` and `grace` are seconds.

    `on_doubt` is for an event of another producer that leaves it open, as its template does.
    """

    def __init__(
        self,
        store: Store,
        templates: TemplateRepository,
        channel: Channel,
        worker: str,
        *,
        lease: float,
        grace: float,
        on_doubt: OnDoubt,
    ) -> None:
        self._store = store
        self._templates = templates
        self._channel = channel
        # a container that starts again has its old name and its old process id
        self._worker = f"{worker}:{os.urandom(4).hex()}"
        self._claims = itertools.count(1)
        self._lease = lease
        self._grace = grace
        self._on_doubt = on_doubt

    async def identify(self, body: bytes) -> Notification:
        """Return a message's notification, stored: another producer's event gets its row here.

        Raises `InvalidEvent`, `MessageIdConflict` or `RowRefused`.
        """
        decoded = decode(body, self._channel)
        if decoded.digest is None:
            return decoded.notification
        return await adopt(
            self._store,
            self._decided(decoded.notification),
            f"broker/{self._channel}",
            decoded.digest,
        )

    async def claim(self, notification: Notification) -> Claim:
        """Return the store's answer to a claim."""
        claim = await self._ask(notification)
        if claim.verdict is not Verdict.UNKNOWN:
            return claim
        # the database was restored to a time before this notification: it is still to be sent
        identifier = notification.notification_id
        await adopt(self._store, notification, f"broker/{identifier}", identifier)
        return await self._ask(notification)

    def _decided(self, notification: Notification) -> Notification:
        if notification.on_doubt is not None:
            return notification
        on_doubt = self._templates.on_doubt(notification.template_id, self._on_doubt)
        return notification.model_copy(update={"on_doubt": on_doubt})

    async def _ask(self, notification: Notification) -> Claim:
        policy = self._templates.policy(notification.template_id)
        # one name for all tries: a claim whose answer was lost is found again, and no other is
        claim = f"{self._worker}:{next(self._claims)}"
        return await with_patience(
            lambda: self._store.claim(
                notification.notification_id,
                worker=claim,
                lease=self._lease,
                grace=self._grace,
                replay_no=notification.replay_no,
                transactional=policy.transactional,
            )
        )
