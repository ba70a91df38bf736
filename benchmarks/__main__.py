"""`python -m benchmarks`, from the root of the repository: measure, side by side in one run."""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import platform
import subprocess
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path

import uvloop

from benchmarks import client, growth
from benchmarks.contestants import Arena
from benchmarks.contests import CONTESTS, Size
from benchmarks.processes import PEERS, running
from benchmarks.report import Row, data, medians, tables
from benchmarks.servers import Servers, observing, private_servers
from clarion_testing.rabbitmq_nodes import free_port

MOST = 100_000
LIBRARIES = ("aio-pika", "aiohttp", "asyncpg", "SQLAlchemy", "starlette", "uvicorn", "uvloop")
PEER_LIBRARIES = ("celery", "dramatiq", "taskiq", "fastapi", "sendgrid", "psycopg")


def main() -> None:
    """Run the contests, print the tables and, if asked, write the numbers."""
    arguments = _parser().parse_args()
    size = Size.quick() if arguments.quick else Size(arguments.count, rows=tuple(arguments.rows))
    rounds = 1 if arguments.quick else arguments.rounds
    load_before = os.getloadavg()[0]
    # what it reports while a server starts is no news: the servers' classes wait for that
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    with private_servers() as servers:
        about = _about(servers, size, rounds, load_before)
        print("; ".join(f"{key} {value}" for key, value in about.items()), flush=True)
        rows = uvloop.run(_run(servers, arguments.only or list(CONTESTS), size, rounds))
    about["load after"] = round(os.getloadavg()[0], 2)
    print(tables(medians(rows)))
    if arguments.json:
        arguments.json.write_text(json.dumps(data(rows, about), indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--count", type=_count, default=10_000, help="notifications per contest")
    parser.add_argument("--rounds", type=int, choices=range(1, 10), default=3)
    parser.add_argument(
        "--only", nargs="+", choices=list(CONTESTS), metavar="CONTEST", help=", ".join(CONTESTS)
    )
    parser.add_argument(
        "--rows",
        nargs="+",
        type=int,
        default=[0, 1_000_000],
        help="rows in the table for the contest growth (10000000 takes half an hour)",
    )
    parser.add_argument("--quick", action="store_true", help="one small round of everything")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers here")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if not 100 <= count <= MOST:
        raise argparse.ArgumentTypeError(f"must be 100 to {MOST}")
    return count


async def _run(servers: Servers, names: list[str], size: Size, rounds: int) -> list[Row]:
    port = free_port()
    with running("benchmarks.provider", str(port), folder=servers.folder):
        await client.serves(port)
        async with observing(servers) as observer:
            arena = Arena(servers, observer, port)
            rows = [row async for row in _rows(arena, names, size, rounds)]
            if "growth" in names:
                print("\n".join(await growth.plans(arena)), flush=True)
            return rows


async def _rows(arena: Arena, names: list[str], size: Size, rounds: int) -> AsyncIterator[Row]:
    for number in range(rounds):
        for name in names:
            for entries in CONTESTS[name](arena, size):
                # each is first in turn: what the last one left on the machine is everybody's lot
                turn = number % len(entries)
                for entry in (*entries[turn:], *entries[:turn]):
                    row = await entry()
                    figures = "; ".join(f"{key} {value:,.2f}" for key, value in row.figures.items())
                    print(f"{number + 1}: {row.contest}, {row.contestant}: {figures}", flush=True)
                    yield row


def _about(servers: Servers, size: Size, rounds: int, load_before: float) -> dict[str, object]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "count": size.count,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "load before": round(load_before, 2),
        "Python": platform.python_version(),
        "RabbitMQ": servers.rabbitmq.version,
        "PostgreSQL": servers.postgres.version,
        **{name: version(name) for name in LIBRARIES},
        **_peer_versions(),
    }


def _peer_versions() -> dict[str, str]:
    code = f"from importlib.metadata import version; print(*map(version, {PEER_LIBRARIES}))"
    found = subprocess.run([PEERS, "-c", code], check=True, capture_output=True, text=True)
    return dict(zip(PEER_LIBRARIES, found.stdout.split(), strict=True))


if __name__ == "__main__":
    main()
