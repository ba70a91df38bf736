"""Services as processes of their own, started again whenever they are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SUPPORT = Path(__file__).parents[2]
STOP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a process kills itself: at the `every`-th passage of `at`, such as `claim:before`."""

    at: str
    every: int


class Service:
    """One service; its first processes kill themselves as planned, the last one lives on."""

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str],
        folder: Path,
        crashes: Sequence[Crash] = (),
    ) -> None:
        self.module = module
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        self.kills = 0
        self._environment = dict(environment)
        self._log = folder / f"{module}-{environment['PORT']}.log"
        self._folder = folder
        self._planned = len(crashes)
        self._crashes: Iterator[Crash] = iter(crashes)
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping = False

    async def start(self) -> None:
        """Start it, and again whenever it is killed."""
        self._stopping = False
        await self._launch()
        self._keeper = asyncio.create_task(self._keep())

    def kill(self) -> None:
        """Kill the process that runs now; the next one starts at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def freeze(self) -> None:
        """Let it do nothing at all, and know nothing of that, until `thaw`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def spent(self) -> bool:
        """Whether every planned crash has happened."""
        return self.kills >= self._planned

    @property
    def running(self) -> bool:
        """Whether it was started, and not told to stop."""
        return self._process is not None and not self._stopping

    def check(self) -> None:
        """Raise `RuntimeError` with its last words when it ended by itself."""
        if self._keeper is not None and self._keeper.done():
            self._keeper.result()

    async def stop(self) -> None:
        """Ask it to stop. Raises `RuntimeError` with its last words unless it ends in order."""
        self._stopping = True
        if self._keeper is None or self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._keeper
        finally:
            await self.discard()

    async def discard(self) -> None:
        """Leave no process behind, whatever happened."""
        self._stopping = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    async def _keep(self) -> None:
        while self._process is not None:
            code = await self._process.wait()
            if code == -signal.SIGKILL and not self._stopping:
                self.kills += 1
                await self._launch()
                continue
            if code != 0 or not self._stopping:
                words = self._log.read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{self.module} ended with {code}:\n{words}")
            return

    async def _launch(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(SUPPORT),
            "SECRETS_DIR": str(self._folder / "none"),
            "LOG_LEVEL": "WARNING",
        }
        crash = next(self._crashes, None)
        planned = {} if crash is None else {"CRASH_AT": crash.at, "CRASH_EVERY": str(crash.every)}
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "clarion_testing.crashing", self.module),
                env=environment | self._environment | planned,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
