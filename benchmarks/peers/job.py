"""The job of the contestants that block: psycopg, and SendGrid's SDK as its README shows it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mako.lookup import TemplateLookup
from psycopg_pool import ConnectionPool
from sendgrid import SendGridAPIClient  # noqa: TID251  as its README shows it
from sendgrid.helpers.mail import Mail

CLAIM = """
INSERT INTO peer_notifications (message_id, status) VALUES (%s, 'sending')
ON CONFLICT (message_id) DO UPDATE SET attempts = peer_notifications.attempts + 1
WHERE peer_notifications.status <> 'sent' RETURNING attempts"""
RECORD = """
UPDATE peer_notifications SET status = 'sent', provider_id = %s, sent_at = now()
WHERE message_id = %s"""
PARTS = ("subject", "text", "html")


def templates() -> TemplateLookup:
    """Return Clarion's own templates: every contestant renders the same."""
    root = Path(os.environ["TEMPLATES_DIR"])
    return TemplateLookup(directories=[root], default_filters=["h"], filesystem_checks=False)


def render(lookup: TemplateLookup, event: dict[str, Any]) -> dict[str, str]:
    """Return the parts of the event's email."""
    return {
        part: lookup.get_template(f"{event['template_id']}/email.{part}.mako").render_unicode(
            **event["payload"]
        )
        for part in PARTS
    }


class Job:
    """Renders, calls the provider and records, unless that was done before."""

    def __init__(self, connections: int) -> None:
        self._lookup = templates()
        self._pool = ConnectionPool(
            os.environ["DATABASE_URL"], min_size=1, max_size=connections, open=True
        )
        self._sendgrid = SendGridAPIClient("SG.bench", host=os.environ["SENDGRID_BASE_URL"])

    def run(self, event: dict[str, Any]) -> None:
        """Send one email."""
        with self._pool.connection() as connection:
            if connection.execute(CLAIM, [event["message_id"]]).fetchone() is None:
                return
        parts = render(self._lookup, event)
        message = Mail(
            from_email="notifications@clarion.test",
            to_emails=event["payload"]["email"],
            subject=parts["subject"].strip(),
            plain_text_content=parts["text"],
            html_content=parts["html"],
        )
        response = self._sendgrid.send(message)
        with self._pool.connection() as connection:
            connection.execute(RECORD, [response.headers["X-Message-Id"], event["message_id"]])
