"""A vendor's endpoint: read, count, fail on request, check, accept, answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from clarion_sandbox.answer import JSON, Answer
from clarion_sandbox.calls import Call
from clarion_sandbox.clock import iso, now
from clarion_sandbox.connection import drop, hold, read_body
from clarion_sandbox.faults import (
    AcceptThenDropAction,
    Action,
    DelayAction,
    DropAction,
    HangAction,
    StatusAction,
)
from clarion_sandbox.inbox import Message, RawRequest
from clarion_sandbox.state import Sandbox
from clarion_sandbox.vendor import (
    MAX_BODY_BYTES,
    Recipient,
    Unreadable,
    Vendor,
    VendorRequest,
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One provider call under way."""

    at: float
    raw: RawRequest
    request: VendorRequest
    recipients: list[Recipient] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


class VendorEndpoint:
    """The ASGI application behind one vendor's URL."""

    def __init__(self, vendor: Vendor, sandbox: Sandbox) -> None:
        self._vendor = vendor
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, or misbehave as a fault rule says."""
        at = now()
        if scope["method"] != "POST":
            await self._vendor.error(405).send(send)
            return
        body = await read_body(receive, MAX_BODY_BYTES)
        if body is None:
            # the rest of the body is still on its way: this connection is of no more use
            too_large = self._vendor.error(413)
            headers = {**too_large.headers, "Connection": "close"}
            await Answer(413, too_large.body, headers).send(send)
            return
        try:
            exchange = self._begin(scope, at, body)
        except Unreadable as error:
            calls = self._sandbox.calls.begin(at, self._vendor.channel, [])
            self._sandbox.calls.finished(calls, error.answer.status, None)
            await error.answer.send(send)
            return
        await self._carry_out(exchange, scope, receive, send)

    def _begin(self, scope: Scope, at: float, body: bytes) -> Exchange:
        document = self._vendor.read(body)
        headers = dict(Headers(scope=scope).items())
        recipients = self._vendor.recipients(document)
        return Exchange(
            at,
            RawRequest(scope["method"], scope["path"], headers, body),
            VendorRequest(scope.get("path_params", {}), headers, document),
            recipients,
            self._sandbox.calls.begin(at, self._vendor.channel, recipients),
        )

    async def _carry_out(
        self, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        answer = self._vendor.unauthorised(exchange.request)
        if answer is not None:
            return await self._answer(exchange, answer, None, send)
        fault = self._sandbox.faults.pick(self._vendor.channel, exchange.recipients)
        if isinstance(fault, HangAction | DropAction):
            return await self._leave(exchange, fault, scope, receive)
        if isinstance(fault, StatusAction):
            return await self._answer(exchange, self._faulty(fault), fault, send)
        answer = self._process(exchange)
        if isinstance(fault, AcceptThenDropAction):
            return await self._leave(exchange, fault, scope, receive)
        if isinstance(fault, DelayAction):
            await hold(scope, receive, fault.seconds)
        return await self._answer(exchange, answer, fault, send)

    def _process(self, exchange: Exchange) -> Answer:
        answer = self._vendor.refusal(exchange.request)
        violations: list[str] = []
        if self._sandbox.contracts is not None:
            violations = self._sandbox.contracts.violations(
                self._vendor.name, exchange.request.document
            )
        if answer is None and violations:
            answer = self._vendor.broken_contract(violations)
        if answer is not None:
            self._reject(exchange, answer, violations)
            return answer
        accepted = self._vendor.accept(exchange.request)
        for recipient, content in accepted.messages:
            message = Message(
                self._sandbox.inbox.next_id(),
                self._vendor.channel,
                recipient,
                exchange.at,
                accepted.provider_message_id,
                content,
                exchange.raw,
            )
            self._sandbox.inbox.add(message)
            self._sandbox.teller.accepted(message)
        if accepted.messages:
            self._sandbox.calls.accepted(self._vendor.channel, exchange.recipients, exchange.calls)
        return accepted.answer

    def _reject(self, exchange: Exchange, answer: Answer, violations: list[str]) -> None:
        first = exchange.recipients[0] if exchange.recipients else None
        self._sandbox.rejections.appendleft(
            {
                "at": iso(exchange.at),
                "channel": self._vendor.channel,
                "to": first.to if first else "",
                "notification_id": first.notification_id if first else None,
                "status": answer.status,
                "answer": answer.body.decode(),
                "violations": violations,
            }
        )

    def _faulty(self, fault: StatusAction) -> Answer:
        own = self._vendor.error(fault.code)
        if fault.body is None:
            return Answer(fault.code, own.body, _merged(own.headers, fault.headers))
        return Answer(fault.code, _encoded(fault.body), _merged(JSON, fault.headers))

    async def _answer(
        self, exchange: Exchange, answer: Answer, fault: Action | None, send: Send
    ) -> None:
        self._sandbox.calls.finished(exchange.calls, answer.status, fault.type if fault else None)
        await answer.send(send)

    async def _leave(
        self, exchange: Exchange, fault: Action, scope: Scope, receive: Receive
    ) -> None:
        self._sandbox.calls.finished(exchange.calls, None, fault.type)
        if isinstance(fault, HangAction):
            await hold(scope, receive, None)
        await drop(scope, receive)


def _merged(own: Mapping[str, str], added: Mapping[str, str]) -> dict[str, str]:
    names = {name.lower() for name in added}
    return {**{name: value for name, value in own.items() if name.lower() not in names}, **added}


def _encoded(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()
