"""How each vendor's document becomes a JSON schema, and the known faults of the documents.

The three documents speak three dialects: OpenAPI 3.0 over JSON, OpenAPI 3.0 over a form, and
Google's discovery format. In all three, fields that the contract does not know are forbidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]

MESSAGE = "errorMessage"  # our own keyword: what to say in place of the validator's words
_ANNOTATIONS = frozenset({"description", "example", "examples", "title", "id", "deprecated"})
_ANNOTATIONS |= {"enumDescriptions", "readOnly", "default", "x-twilio"}
_FORM = "/2010-04-01/Accounts/{AccountSid}/Messages.json"


def _one_of(text: str, *names: str) -> Schema:
    return {"oneOf": [{"required": [name]} for name in names], MESSAGE: text}


def _any_of(text: str, *names: str) -> Schema:
    return {"anyOf": [{"required": [name]} for name in names], MESSAGE: text}


@dataclass(frozen=True)
class Source:
    """One vendor's document: where the request's schema is in it, and what is wrong with it.

    `corrections` replace or add properties, by the dotted path of the property; `rules` are what
    the document leaves out, by the dotted path of the object that they speak of.
    """

    file: str
    find: Callable[[Schema], Schema]
    refine: Callable[[Schema], Schema] = lambda schema: schema
    corrections: Mapping[str, Schema] = field(default_factory=dict)
    rules: Mapping[str, list[Schema]] = field(default_factory=dict)

    def schema(self, document: Schema) -> Schema:
        """Return the JSON schema of a request."""
        schema = self._convert(self.find(document), document)
        for path, correction in self.corrections.items():
            *parents, name = path.split(".")
            _at(schema, parents)["properties"][name] = correction
        for path, rules in self.rules.items():
            _at(schema, path.split(".") if path else [])["allOf"] = rules
        return schema

    def _convert(self, node: Schema, document: Schema) -> Schema:
        if "$ref" in node:
            return self._convert(_resolve(node["$ref"], document), document)
        schema = {key: value for key, value in node.items() if key not in _ANNOTATIONS}
        if "properties" in schema:
            schema["properties"] = {
                name: self._convert(value, document) for name, value in schema["properties"].items()
            }
            schema.setdefault("additionalProperties", False)
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                schema[key] = self._convert(schema[key], document)
        return self.refine(schema)


def _resolve(reference: str, document: Schema) -> Schema:
    if not reference.startswith("#/"):  # a discovery document names its schemas plainly
        reference = f"#/schemas/{reference}"
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    found: Schema = node
    return found


def _at(schema: Schema, path: list[str]) -> Schema:
    for name in path:
        schema = schema["properties"][name]
    return schema


def _form_schema(schema: Schema) -> Schema:
    """Every value of a form is a text."""
    patterns = {"integer": r"^-?\d+$", "number": r"^-?\d+(\.\d+)?$", "boolean": "^(true|false)$"}
    if schema.get("type") in patterns:
        return {"type": "string", "pattern": patterns[schema["type"]]}
    return schema


def _protobuf_schema(schema: Schema) -> Schema:
    """Protobuf's JSON takes each name in two spellings; `any` is no type of JSON schema."""
    if schema.get("type") == "any":
        return {}
    for name, value in list(schema.get("properties", {}).items()):
        schema["properties"][_snake_case(name)] = value
    return schema


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


SOURCES: dict[str, Source] = {
    "sendgrid": Source(
        "tsg_mail_v3.json",
        lambda document: document["components"]["requestBodies"]["PostMailSend"]["content"][
            "application/json"
        ]["schema"],
        # typed as a string in the document, but an object in the API
        corrections={"custom_args": {"type": "object"}},
    ),
    "twilio": Source(
        "twilio_messages_v2010.json",
        lambda document: document["paths"][_FORM]["post"]["requestBody"]["content"][
            "application/x-www-form-urlencoded"
        ]["schema"],
        refine=_form_schema,
        # newer than the document
        corrections={"MessageIntent": {"type": "string"}},
        rules={
            "": [
                _any_of("one of Body, MediaUrl and ContentSid", "Body", "MediaUrl", "ContentSid"),
                _any_of("one of From and MessagingServiceSid", "From", "MessagingServiceSid"),
            ]
        },
    ),
    "fcm": Source(
        "fcm.v1.json",
        lambda document: document["schemas"]["SendMessageRequest"],
        refine=_protobuf_schema,
        # the document has upper case only; Google's own samples and SDKs send lower case
        corrections={
            "message.android.priority": {
                "type": "string",
                "enum": ["NORMAL", "HIGH", "normal", "high"],
            }
        },
        rules={
            "": [_any_of("message is required", "message")],
            "message": [
                _one_of(
                    "exactly one of token, fid, topic and condition",
                    *("token", "fid", "topic", "condition"),
                )
            ],
        },
    ),
}
