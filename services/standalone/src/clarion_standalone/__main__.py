"""`python -m clarion_standalone`: all of Clarion in one process, for a first look."""

from __future__ import annotations

import sys

import uvloop

from clarion import logs
from clarion.errors import ClarionError
from clarion.runner import listen, stop_signal
from clarion.settings import load
from clarion_standalone.settings import StandaloneSettings
from clarion_standalone.system import running, url_of

WELCOME = """\
Clarion runs on its own: memory broker, SQLite in {data}, every provider a sandbox.

  gateway   {gateway}   the API is at /docs, health at /health
  inbox     {sandbox}   what the recipients see; it lists addresses that fail

Send one:

  curl -s {gateway}/v1/notifications -H 'Content-Type: application/json' \\
    -d '{{"message_id": "first-1", "target_user_id": "user_1", "channel": "email", \
"template_id": "welcome", "payload": {{"user_name": "Ann", "email": "ann@example.com"}}}}'

Ctrl-C stops it.
"""


def main() -> None:
    """Run until SIGTERM or SIGINT; exit 1 with one line if it cannot start."""
    logs.configure("standalone", "WARNING")
    try:
        settings = load(StandaloneSettings)
        logs.configure("standalone", settings.log_level)
        uvloop.run(_serve(settings))
    except ClarionError as error:
        sys.exit(f"clarion: {error}")


async def _serve(settings: StandaloneSettings) -> None:
    stop = stop_signal()
    gateway = listen(settings.host, settings.port)
    sandbox = listen(settings.host, settings.sandbox_port, "SANDBOX_PORT")
    async with running(settings, gateway, sandbox):
        print(
            WELCOME.format(
                gateway=url_of(gateway),
                sandbox=url_of(sandbox),
                data=settings.data_dir,
            ),
            flush=True,
        )
        await stop.wait()
        print("stopping", flush=True)


if __name__ == "__main__":
    main()
