"""Whether a dead letter can be sent again, and with what: decided before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clarion.errors import FieldProblem, InvalidEvent, TemplateError
from clarion.event import recipient_of
from clarion.notification import Notification, Reason
from clarion.store.base import NotificationRecord
from clarion.store.letters import Replay
from clarion.templates import TemplateRepository
from clarion_gateway.dead_letter_models import Obstacle, Skip
from clarion_gateway.problems import FieldError


@dataclass(frozen=True, slots=True)
class Mending:
    """What an operator changes before a replay: `payload` is a merge patch.

    Only letters that were named one by one may be `redirected`: a filter with an address in its
    payload would send many people's notifications to one of them.
    """

    payload: dict[str, Any] | None = None
    template_id: str | None = None
    redirected: bool = False


def mend(
    record: NotificationRecord, mending: Mending, templates: TemplateRepository, now: datetime
) -> Replay | Skip:
    """Return the order to send a letter again, or what would make it fail at once."""
    before = record.notification
    if before.expires_at is not None and before.expires_at <= now:
        said = f"its expires_at, {before.expires_at.isoformat(timespec='seconds')}, is past"
        return skip(before.notification_id, "expired", said)
    payload = before.payload if mending.payload is None else merged(before.payload, mending.payload)
    try:
        recipient = recipient_of(before.channel, payload)
    except InvalidEvent as error:
        return _invalid(before, error.problems)
    if recipient != before.recipient and not mending.redirected:
        said = "the payload changes its recipient; to mean that, name the letter in ids"
        return skip(before.notification_id, "recipient", said)
    after = before.model_copy(
        update={
            "payload": payload,
            "recipient": recipient,
            "template_id": mending.template_id or before.template_id,
        }
    )
    problems = templates.check(after) or _rendering_problems(record, after, templates)
    if problems:
        return _invalid(after, problems)
    return _replay(record.replay_no, before, after)


def merged(target: Any, patch: Any) -> Any:
    """Return the target with a JSON Merge Patch applied (RFC 7396, 2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def skip(
    notification_id: str, obstacle: Obstacle, detail: str, problems: Iterable[FieldProblem] = ()
) -> Skip:
    """Return why a letter is left as it is."""
    errors = [FieldError(path=each.path[:300], message=each.message[:500]) for each in problems]
    return Skip(
        notification_id=notification_id, obstacle=obstacle, detail=detail, errors=errors[:20]
    )


def _invalid(notification: Notification, problems: list[FieldProblem]) -> Skip:
    named = ", ".join(dict.fromkeys(problem.path[:100] for problem in problems[:5]))
    said = f"it would fail again at once: see {named}"
    return skip(notification.notification_id, "invalid", said, problems)


def _rendering_problems(
    record: NotificationRecord, after: Notification, templates: TemplateRepository
) -> list[FieldProblem]:
    if record.reason is not Reason.TEMPLATE_ERROR:
        return []
    try:
        templates.render(after)
    except TemplateError as error:
        return [FieldProblem("template_id", str(error))]
    return []


def _replay(replay_no: int, before: Notification, after: Notification) -> Replay:
    keys = dict.fromkeys([*before.payload, *after.payload])
    absent = object()
    changed = [
        f"payload.{key}"
        for key in keys
        if before.payload.get(key, absent) != after.payload.get(key, absent)
    ]
    same_payload = not changed
    changed += [
        field
        for field in ("recipient", "template_id")
        if getattr(before, field) != getattr(after, field)
    ]
    return Replay(
        before.notification_id,
        replay_no,
        template_id=after.template_id if "template_id" in changed else None,
        recipient=after.recipient if "recipient" in changed else None,
        payload=None if same_payload else after.payload,
        changed=tuple(changed),
    )
