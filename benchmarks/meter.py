"""What a stretch of time cost: seconds, and CPU of each process, the servers' included."""

from __future__ import annotations

import time

from benchmarks.processes import Process
from benchmarks.servers import Servers


class Meter:
    """Runs from when it is made."""

    def __init__(self, servers: Servers, *processes: Process) -> None:
        self._servers = servers
        self._processes = processes
        self._started = time.perf_counter()
        self._cpu = self._read()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.perf_counter() - self._started

    def figures(self, count: int) -> dict[str, float]:
        """Return the rate of `count` notifications so far, and what 1,000 of them cost."""
        rate = count / self.seconds
        own, broker, database = (
            (now - then) / count * 1000 for now, then in zip(self._read(), self._cpu, strict=True)
        )
        return {
            "per second": rate,
            "CPU s per 1,000": own,
            "broker": broker,
            "database": database,
            "peak MB": sum(process.peak_mb() for process in self._processes),
        }

    def _read(self) -> tuple[float, float, float]:
        return (sum(process.cpu() for process in self._processes), *self._servers.cpu())
