"""The OpenAPI document as a page: rendered once, no scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mako.template import Template

_FOLDER = Path(__file__).parent
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """A page and the Content-Security-Policy that allows its own style and nothing else."""

    html: str
    policy: str


def build_page(document: Schema) -> Page:
    """Return the page that shows an OpenAPI document to people."""
    style = (_FOLDER / "docs.css").read_text("utf-8")
    template = Template(  # noqa: S702  every expression is escaped by the default filter
        (_FOLDER / "docs.html.mako").read_text("utf-8"),
        default_filters=["str", "h"],
        strict_undefined=True,
    )
    page = template.render(
        document=document,
        style=style,
        curl=curl,
        example=example,
        prose=prose,
        type_name=type_name,
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return Page(str(page), policy)


def example(document: Schema, schema: Schema) -> str:
    """Return an example of a body as indented JSON, empty where the model gives none."""
    target = _resolve(document, schema)
    if "example" in target:
        return json.dumps(target["example"], indent=2)
    items = target.get("properties", {}).get("notifications", {}).get("items", {})
    for item in items.get("anyOf", [items]):
        found = _resolve(document, item).get("example")
        if found is not None:
            return json.dumps({"notifications": [found]}, indent=2)
    return ""


def curl(document: Schema, method: str, path: str, operation: Schema) -> str:
    """Return a command line that calls the operation, to be pasted into a shell."""
    words = ["curl -sS"]
    if "security" in operation:
        words.append('-H "Authorization: Bearer $CLARION_KEY"')
    body = operation.get("requestBody")
    if body:
        text = example(document, body["content"]["application/json"]["schema"])
        words.append("-H 'Content-Type: application/json'")
        words.append(f"-d '{json.dumps(json.loads(text))}'")
    elif method != "get":
        words.append(f"-X {method.upper()}")
    filled = path.replace("{template_id}", "welcome").replace("{notification_id}", "$ID")
    words.append(f'"http://localhost:3001{filled}"')
    return " \\\n  ".join(words)


def prose(text: str) -> str:
    """Return a description as HTML: escaped, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def type_name(schema: Schema) -> str:
    """Return a schema's type in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(type_name(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {type_name(schema.get('items', {}))}"
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    return str(schema.get("format") or schema.get("type") or "any")


def _resolve(document: Schema, schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return found
