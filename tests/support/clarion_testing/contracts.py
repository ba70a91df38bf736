"""The vendors' own descriptions of their APIs, as strict schemas: an unknown field is an error."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("CONTRACTS_DIR", ROOT.parent / "shared" / "contracts"))

# maps whose keys are the caller's: no field names to rename in them
_MAPS = frozenset({"data", "headers", "payload"})


def sendgrid_mail() -> Draft202012Validator:
    """Return the schema of SendGrid's mail/send body."""
    document = _load("tsg_mail_v3.json")
    pointer = "#/components/requestBodies/PostMailSend/content/application~1json/schema"
    return _validator({"$ref": pointer, "components": document["components"]})


def twilio_message() -> Draft202012Validator:
    """Return the schema of the form that creates a Twilio message."""
    document = _load("twilio_messages_v2010.json")
    path = document["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]
    form = path["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    return _validator({**form["schema"], "components": document["components"]})


def fcm_send() -> Draft202012Validator:
    """Return the schema of FCM's messages:send body, with its field names in lowerCamelCase."""
    schemas = _load("fcm.v1.json")["schemas"]
    return _validator({"$ref": "#/schemas/SendMessageRequest", "schemas": _discovery(schemas)})


def camel(value: Any) -> Any:
    """Return a protobuf JSON request with the other of its two spellings of field names."""
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_([a-z])", lambda found: found[1].upper(), name): (
            item if name in _MAPS else camel(item)
        )
        for name, item in value.items()
    }


def _load(name: str) -> Any:
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(
            f"the vendors' contracts are not at {FOLDER}; set CONTRACTS_DIR to their folder"
        )
    return json.loads(path.read_text())


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    closed = _closed(schema)
    Draft202012Validator.check_schema(closed)
    return Draft202012Validator(closed, format_checker=FormatChecker(["email"]))


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {name: _closed(item) for name, item in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _discovery(node: Any) -> Any:
    """Turn Google's discovery dialect into JSON Schema."""
    if isinstance(node, list):
        return [_discovery(item) for item in node]
    if not isinstance(node, dict):
        return node
    turned = {name: _discovery(item) for name, item in node.items()}
    if isinstance(node.get("$ref"), str):
        turned["$ref"] = f"#/schemas/{node['$ref']}"
    if node.get("type") == "any":
        del turned["type"]
    if isinstance(node.get("id"), str):  # the schema's name there, its base URI here
        del turned["id"]
    return turned
