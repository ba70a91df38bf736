"""Contests between Clarion and the limit of what this machine can do, in one run.

The private RabbitMQ and PostgreSQL are those of the tests: `tests/support` is put on the path here,
as pytest's `pythonpath` does it for the tests.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))
