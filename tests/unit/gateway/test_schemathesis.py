"""Schemathesis reads /openapi.json and looks for what does not keep to it."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

from clarion_gateway.auth import SCOPES, new_key, parse_keys

# What makes an event acceptable is more than its schema can say (the variables of its template,
# its channel's recipient), so 422 is a fair answer to a body that the schema allows. A webhook asks
# for a signature, which no schema describes.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "404", "409", "422"]

[[operations]]
include-path-regex = "^/webhooks/"
checks.positive_data_acceptance.expected-statuses = ["401", "403"]
"""
COMMAND = (
    *("--config-file", "schemathesis.toml", "run"),
    *("--checks", "all", "--max-examples", "20", "--seed", "1"),
    *("--generation-deterministic", "--no-color"),
)


async def test_schemathesis_finds_nothing(start_gateway: Any, tmp_path: Path) -> None:
    key, entry = new_key("everything", frozenset(SCOPES))
    gateway = await start_gateway(keys=parse_keys(entry), poll=1.0)
    (tmp_path / "schemathesis.toml").write_text(CONFIG)

    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        *COMMAND,
        f"{gateway.url}/openapi.json",
        *("-H", f"Authorization: Bearer {key}"),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    report = output.decode()
    assert process.returncode == 0, report
    assert re.search(r"Operations: +(\d\d) selected / \1 total", report)
