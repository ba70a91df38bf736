"""Write definitions.json from the topology in code: `python rabbitmq/generate.py`."""

from pathlib import Path

from clarion.brokers.definitions import definitions, dump

Path(__file__).with_name("definitions.json").write_text(dump(definitions()))
