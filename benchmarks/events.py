"""What is sent in every contest."""

from __future__ import annotations

import uuid


def event(priority: str = "normal") -> dict[str, object]:
    """Return an email event that is unlike every other: nothing of it can be kept and used again.

    The name before the @ is what the provider tells notifications apart by.
    """
    unique = uuid.uuid4().hex
    return {
        "message_id": unique,
        "target_user_id": f"user_{unique[:6]}",
        "channel": "email",
        "template_id": "welcome",
        "payload": {"user_name": f"Ann {unique[:6]}", "email": f"{unique}@example.com"},
        "priority": priority,
    }
