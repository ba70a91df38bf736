"""The document and its page are what is served."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route

from clarion.event import Event
from clarion_gateway.app import create_app
from clarion_gateway.auth import SCOPES, ApiKeys


@pytest.fixture
async def document(gateway: Any) -> Any:
    return (await gateway.get("/openapi.json")).json


async def test_the_document_lists_what_answers(gateway: Any, document: Any) -> None:
    for path, operations in document["paths"].items():
        concrete = re.sub(r"{\w+}", "x", path)
        answer = await gateway.request("PATCH", concrete)
        allowed = set(answer.headers["Allow"].lower().split(", ")) - {"head"}

        assert answer.status == 405
        assert allowed == set(operations)


async def test_every_route_is_in_the_document_and_the_other_way_round(
    document: Any, store: Any, broker: Any, templates: Any
) -> None:
    app = create_app(store=store, broker=broker, templates=templates, keys=ApiKeys(), probes={})

    served = [route.path for route in app.routes if isinstance(route, Route)]

    assert len(served) == len(app.routes)
    assert sorted(served) == sorted(document["paths"])


async def test_references_lead_somewhere(document: Any) -> None:
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))

    assert references == references & set(document["components"]["schemas"])


async def test_the_schemas_are_valid_and_take_the_example(document: Any) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    schema = document["components"]["schemas"]["Event"] | {"components": document["components"]}

    jsonschema.validate(Event.model_config["json_schema_extra"]["example"], schema)  # type: ignore[index]


async def test_the_examples_are_accepted(gateway: Any, document: Any) -> None:
    event = document["components"]["schemas"]["Event"]["example"]
    preview = document["components"]["schemas"]["PreviewRequest"]["example"]

    assert (await gateway.post("/v1/notifications", event)).status == 202
    assert (await gateway.post("/v1/templates/welcome/preview", preview)).status == 200


async def test_security_is_described_where_keys_are_asked_for(
    start_gateway: Any, key_ring: Any, document: Any
) -> None:
    gateway = await start_gateway(keys=key_ring[0])

    keyed = (await gateway.get("/openapi.json")).json

    assert "securitySchemes" not in document["components"]
    assert keyed["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    for path, operations in keyed["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == path.startswith("/v1/")
            if "security" in operation:
                assert operation["security"][0]["apiKey"][0] in SCOPES
                assert {"401", "403", "429"} <= set(operation["responses"])


async def test_the_page_says_which_scope_an_operation_needs(
    start_gateway: Any, key_ring: Any
) -> None:
    gateway = await start_gateway(keys=key_ring[0])

    html = (await gateway.get("/docs")).body.decode()

    section = html.split('<section id="sendBatch">')[1].split("</section>")[0]
    assert "Needs a key with the scope <code>send</code>." in section


class Page(HTMLParser):
    """Collects what the tests look at."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.inline = False
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        self.inline = self.inline or any(n.startswith("on") or n == "style" for n in named)
        if named.get("id"):
            assert named["id"] not in self.ids
            self.ids.add(str(named["id"]))
        if tag == "a":
            self.links.add(str(named["href"]))
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "p" and self.open[-1] != "p":
            return
        assert self.open.pop() == tag


async def test_the_page_shows_every_operation_and_schema(gateway: Any, document: Any) -> None:
    answer = await gateway.get("/docs")
    html = answer.body.decode()
    page = Page()
    page.feed(html)

    assert answer.headers["Content-Type"].startswith("text/html")
    assert page.open == []
    for path, operations in document["paths"].items():
        assert path in html
        assert {operation["operationId"] for operation in operations.values()} <= page.ids
    assert {f"schema-{name}" for name in document["components"]["schemas"]} <= page.ids
    local = {link[1:] for link in page.links if link.startswith("#")}
    assert local <= page.ids
    assert page.links - {f"#{name}" for name in local} == {"/openapi.json"}


async def test_the_page_has_no_scripts_and_its_policy_allows_its_style(gateway: Any) -> None:
    answer = await gateway.get("/docs")
    html = answer.body.decode()
    page = Page()
    page.feed(html)

    policy = answer.headers["Content-Security-Policy"]
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.tags & {"script", "img", "link", "iframe", "form"} == set()
    assert not page.inline
