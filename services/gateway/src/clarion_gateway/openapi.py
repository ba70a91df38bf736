"""The OpenAPI 3.1 document, made from the endpoints and the models that they use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from clarion_gateway import VERSION
from clarion_gateway.endpoint import Endpoint
from clarion_gateway.problems import ProblemBody, title_of

Schema = dict[str, Any]
Mode = Literal["validation", "serialization"]

_REF = "#/components/schemas/{model}"
_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, made with `python -m clarion_gateway keys new NAME`. "
    "Each operation names the scope that its key must have.",
}

_GUARD_REFUSALS = (401, 403, 429)
"""No known key, a key that is not for this, too many requests."""


def build_document(endpoints: Sequence[Endpoint], *, keys_required: bool) -> Schema:
    """Return the document that describes these endpoints."""
    references, definitions = models_json_schema(_models(endpoints), ref_template=_REF)
    paths: Schema = {}
    for endpoint in endpoints:
        operation = _Operation(endpoint, references).describe(keys_required)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    components: Schema = {"schemas": definitions["$defs"]}
    if keys_required:
        components["securitySchemes"] = {"apiKey": _SECURITY_SCHEME}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clarion",
            "version": VERSION,
            "description": "Delivers notifications by email, WhatsApp and push. Every refusal is "
            "an RFC 9457 problem that names each bad field.",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(each.tag for each in endpoints)],
        "paths": paths,
        "components": components,
    }


class _Operation:
    def __init__(
        self,
        endpoint: Endpoint,
        references: Mapping[Any, Schema],
    ) -> None:
        self._endpoint = endpoint
        self._references = references

    def describe(self, keys_required: bool) -> Schema:
        endpoint = self._endpoint
        operation: Schema = {
            "operationId": endpoint.name,
            "summary": endpoint.summary,
            "tags": [endpoint.tag],
            "responses": self._responses(),
        }
        if endpoint.description:
            operation["description"] = endpoint.description
        parameters = [*self._path_parameters(), *self._query_parameters()]
        if parameters:
            operation["parameters"] = parameters
        if endpoint.body is not None:
            schema = self._references[endpoint.body, "validation"]
            content = {"application/json": {"schema": schema}}
            operation["requestBody"] = {"required": True, "content": content}
        if keys_required and endpoint.scope is not None:
            operation["security"] = [{"apiKey": [endpoint.scope]}]
        return operation

    def _responses(self) -> Schema:
        responses: Schema = {
            str(status): self._answer(status, answer)
            for status, answer in self._endpoint.answers.items()
        }
        problem = {"schema": self._references[ProblemBody, "serialization"]}
        guard = () if self._endpoint.scope is None else _GUARD_REFUSALS
        for status in sorted({*self._endpoint.refusals, *guard}):
            responses[str(status)] = {
                "description": title_of(status),
                "content": {"application/problem+json": problem},
            }
            if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
                schema = {"type": "integer"}
                headers = {"Retry-After": {"description": "Seconds to wait.", "schema": schema}}
                responses[str(status)]["headers"] = headers
        responses["default"] = {
            "description": "Any other refusal",
            "content": {"application/problem+json": problem},
        }
        return responses

    def _answer(self, status: int, answer: type[BaseModel] | str) -> Schema:
        description = title_of(status)
        if status in (HTTPStatus.SEE_OTHER, HTTPStatus.NO_CONTENT):
            return {"description": description}
        if isinstance(answer, str):
            schema: Schema = {"type": "object" if answer == "application/json" else "string"}
            return {"description": description, "content": {answer: {"schema": schema}}}
        reference = self._references[answer, "serialization"]
        return {
            "description": description,
            "content": {"application/json": {"schema": reference}},
        }

    def _path_parameters(self) -> list[Schema]:
        return [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "string", "pattern": self._endpoint.path_patterns[name]},
            }
            for name in re.findall(r"{(\w+)}", self._endpoint.path)
        ]

    def _query_parameters(self) -> list[Schema]:
        if self._endpoint.query is None:
            return []
        schema = self._endpoint.query.model_json_schema(ref_template=_REF)
        parameters = []
        for name, described in schema["properties"].items():
            parameter = {"name": name, "in": "query", "schema": _without_null(described)}
            if name in schema.get("required", []):
                parameter["required"] = True
            if "description" in described:
                parameter["description"] = described["description"]
            parameters.append(parameter)
        return parameters


def _without_null(schema: Schema) -> Schema:
    """Return the schema of a parameter: one that is absent is left out, never null."""
    schema = {key: value for key, value in schema.items() if key not in {"title", "description"}}
    if schema.get("default", 0) is None:
        del schema["default"]
    kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
    return schema | kinds[0] if kinds else schema


def _models(endpoints: Sequence[Endpoint]) -> list[tuple[type[BaseModel], Mode]]:
    models: dict[tuple[type[BaseModel], Mode], None] = {(ProblemBody, "serialization"): None}
    for endpoint in endpoints:
        if endpoint.body is not None:
            models[endpoint.body, "validation"] = None
        if endpoint.query is not None:
            models[endpoint.query, "validation"] = None
        for answer in endpoint.answers.values():
            if not isinstance(answer, str):
                models[answer, "serialization"] = None
    return list(models)
