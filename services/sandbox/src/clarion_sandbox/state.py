"""All that one sandbox remembers; it lives in memory and ends with the process."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from clarion_sandbox.addresses import magic_rules
from clarion_sandbox.calls import CallLog
from clarion_sandbox.contracts import Contracts
from clarion_sandbox.faults import FaultBook
from clarion_sandbox.inbox import Inbox
from clarion_sandbox.receipts import Teller

REJECTIONS = 200


class Sandbox:
    """The inbox, the call log, the faults, the receipts and the contracts of one sandbox."""

    def __init__(
        self,
        *,
        contracts_dir: Path | None,
        inbox_limit: int,
        inbox_limit_bytes: int,
        calls_limit: int,
        secret: str | None = None,
        events_url: str | None = None,
    ) -> None:
        self.contracts = None if contracts_dir is None else Contracts(contracts_dir)
        self.inbox = Inbox(inbox_limit, inbox_limit_bytes)
        self.calls = CallLog(calls_limit)
        self.faults = FaultBook(magic_rules())
        self.teller = Teller(secret, events_url)
        self.rejections: deque[dict[str, Any]] = deque(maxlen=REJECTIONS)

    def version(self) -> str:
        """Return a text that changes whenever something on the page would."""
        return f"{self.inbox.changes}.{self.calls.changes}.{self.faults.changes}"
