"""Processes that a contest starts, and what they cost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import ROOT

_TICK = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 30


class Process:
    """One process of this benchmark, with its output in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def cpu(self) -> float:
        """Return the CPU seconds, user and system, that it has used so far."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def peak_mb(self) -> float:
        """Return the most memory that was ever resident, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024

    def check(self) -> None:
        """Raise `RuntimeError` with the end of its output when it has ended."""
        if self._process.poll() is not None:
            output = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self._log.stem} ended by itself:\n{output}")

    def stop(self) -> None:
        """Ask it to stop, and insist after a while."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def running(
    module: str, *arguments: str, folder: Path, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run `python -m module` while the block runs, outside any folder with an `.env` file."""
    log = folder / f"{module}.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SECRETS_DIR": str(folder / "none"),
        "TEMPLATES_DIR": str(ROOT / "shared" / "templates"),
        **(env or {}),
    }
    with log.open("wb") as output:
        started = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            cwd=folder,
        )
    process = Process(started, log)
    try:
        yield process
    finally:
        process.stop()
