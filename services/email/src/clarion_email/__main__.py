"""Run the email worker: `python -m clarion_email`."""

from __future__ import annotations

from clarion.notification import Channel
from clarion.runner import run
from clarion_email.content import compose
from clarion_email.providers import open_provider
from clarion_email.settings import EmailSettings


def main() -> None:
    """Deliver emails until told to stop."""
    run(Channel.EMAIL, EmailSettings, compose, open_provider)


if __name__ == "__main__":
    main()
