"""Run the WhatsApp worker: `python -m clarion_whatsapp`."""

from __future__ import annotations

from clarion.notification import Channel
from clarion.runner import run
from clarion_whatsapp.content import compose
from clarion_whatsapp.providers import open_provider
from clarion_whatsapp.reconciler import reconciling
from clarion_whatsapp.settings import WhatsAppSettings


def main() -> None:
    """Deliver WhatsApp messages until told to stop."""
    run(Channel.WHATSAPP, WhatsAppSettings, compose, open_provider, reconciling)


if __name__ == "__main__":
    main()
