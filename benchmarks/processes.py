"""Processes that a contest starts, and what they cost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import ROOT

_TICK = os.sysconf("SC_CLK_TCK")
STOP_SECONDS = 30
PEERS = ROOT / ".venv" / "peers" / "bin" / "python"
"""The interpreter of the other systems: see the Makefile."""


class Process:
    """One process of this benchmark, with its output in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def cpu(self) -> float:
        """Return the CPU seconds, user and system, that it and its children have used so far."""
        return cpu_of_tree(self._process.pid)

    def resident_mb(self) -> float:
        """Return the memory that is resident now, in MB, its children's included."""
        return _memory_of_tree(self._process.pid, "VmRSS:")

    def peak_mb(self) -> float:
        """Return the most memory that was ever resident, in MB, its children's included."""
        return _memory_of_tree(self._process.pid, "VmHWM:")

    def check(self) -> None:
        """Raise `RuntimeError` with the end of its output when it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._log.stem} ended by itself:\n{self.output()}")

    def output(self) -> str:
        """Return the end of what it wrote."""
        return self._log.read_text(errors="replace")[-2000:]

    async def has_ended(self) -> bool:
        """Whether it is done. Raises `RuntimeError` when it failed."""
        code = self._process.poll()
        if code:
            self.check()
        return code is not None

    def stop(self) -> None:
        """Ask it to stop, and insist after a while."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def cpu_of_tree(root: int) -> float:
    """Return the CPU seconds of a process and its descendants, those that have ended included."""
    total = 0
    for pid in _tree(root):
        with contextlib.suppress(OSError):
            # utime, stime, cutime, cstime (proc(5)): the latter two are of children that ended
            total += sum(int(field) for field in _stat(pid)[11:15])
    return total / _TICK


def _memory_of_tree(root: int, field: str) -> float:
    total = 0
    for pid in _tree(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field):
                    total += int(line.split()[1])
    return total / 1024


def _tree(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    # after the name, which may hold anything
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@contextlib.contextmanager
def running(
    module: str,
    *arguments: str,
    folder: Path,
    env: Mapping[str, str] | None = None,
    python: Path = Path(sys.executable),
) -> Iterator[Process]:
    """Run `python -m module` while the block runs, outside any folder with an `.env` file."""
    log = folder / f"{module}-{uuid.uuid4().hex[:6]}.log"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SECRETS_DIR": str(folder / "none"),
        "TEMPLATES_DIR": str(ROOT / "shared" / "templates"),
        **(env or {}),
    }
    with log.open("wb") as output:
        started = subprocess.Popen(
            [python, "-m", module, *arguments],
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
