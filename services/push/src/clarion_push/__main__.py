"""Run the push worker: `python -m clarion_push`."""

from __future__ import annotations

from clarion.notification import Channel
from clarion.runner import run
from clarion_push.content import compose
from clarion_push.providers import open_provider
from clarion_push.settings import PushSettings


def main() -> None:
    """Deliver pushes until told to stop."""
    run(Channel.PUSH, PushSettings, compose, open_provider)


if __name__ == "__main__":
    main()
