"""`python -m benchmarks`, from the root of the repository: measure, side by side in one run."""

from __future__ import annotations

import argparse
import datetime
import json
import logging
import os
import platform
from importlib.metadata import version
from pathlib import Path

import uvloop

from benchmarks import client
from benchmarks.drain import LATENCIES, Drain
from benchmarks.intake import Intake, loads
from benchmarks.processes import running
from benchmarks.report import Row, data, medians, table
from benchmarks.servers import Servers, observing, private_servers
from clarion_testing.rabbitmq_nodes import free_port

MOST = 100_000
LIBRARIES = ("aio-pika", "aiohttp", "asyncpg", "SQLAlchemy", "starlette", "uvicorn", "uvloop")


def main() -> None:
    """Run every contest, print the table and, if asked, write the numbers."""
    arguments = _parser().parse_args()
    count = 300 if arguments.quick else arguments.count
    rounds = 1 if arguments.quick else arguments.rounds
    load_before = os.getloadavg()[0]
    # what it reports while a server starts is no news: the servers' classes wait for that
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    with private_servers() as servers:
        about = _about(servers, count, rounds, load_before)
        print("; ".join(f"{key} {value}" for key, value in about.items()), flush=True)
        rows = uvloop.run(_run(servers, count, rounds))
    print(table(medians(rows)))
    if arguments.json:
        arguments.json.write_text(json.dumps(data(rows, about), indent=2) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--count", type=_count, default=2000, help="notifications per contest")
    parser.add_argument("--rounds", type=int, choices=range(1, 10), default=3)
    parser.add_argument("--quick", action="store_true", help="one small round, under a minute")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write the numbers here")
    return parser


def _count(text: str) -> int:
    count = int(text)
    if not 100 <= count <= MOST:
        raise argparse.ArgumentTypeError(f"must be 100 to {MOST}")
    return count


async def _run(servers: Servers, count: int, rounds: int) -> list[Row]:
    rows: list[Row] = []
    port = free_port()
    with running("benchmarks.provider", str(port), folder=servers.folder):
        await client.serves(port)
        async with observing(servers) as observer:
            drain = Drain(servers, observer, port, count)
            intake = Intake(servers, observer)
            for number in range(1, rounds + 1):
                print(f"round {number} of {rounds}", flush=True)
                for latency in LATENCIES:
                    rows.append(await drain.limit(latency))
                    rows += [await drain.clarion(latency), await drain.clarion_200(latency)]
                for load in loads(count):
                    rows += [await intake.limit(load), await intake.clarion(load)]
    return rows


def _about(servers: Servers, count: int, rounds: int, load_before: float) -> dict[str, object]:
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "count": count,
        "rounds": rounds,
        "cores": os.cpu_count(),
        "load before": round(load_before, 2),
        "Python": platform.python_version(),
        "RabbitMQ": servers.rabbitmq.version,
        "PostgreSQL": servers.postgres.version,
        **{name: version(name) for name in LIBRARIES},
    }


if __name__ == "__main__":
    main()
