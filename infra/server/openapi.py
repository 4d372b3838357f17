"""The OpenAPI document: what the app's gate, limits and errors add to what the routes say."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from infra.server.auth import OPEN, SAFE
from infra.server.problems import Problem, responses

_BODY = responses(408, 413, 415)


_WAYS = {
    "Bearer": {"type": "http", "scheme": "bearer"},
    "X-API-Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Basic": {"type": "http", "scheme": "basic", "description": "Any user; the key is the password."},
}
"""Ways to give the key; any one of them will do."""


def complete(app: FastAPI, *, needs_key: bool) -> None:
    """Make the app's OpenAPI document tell of everything that may be answered."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, needs_key)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI, needs_key: bool) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    schemas = found["components"]["schemas"]
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(described.pop("$defs", {}))
    schemas["Problem"] = described
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _complete(method.upper(), operation, needs_key and path not in OPEN)
    if needs_key:
        found["components"]["securitySchemes"] = _WAYS
    return found


def _complete(method: str, operation: dict[str, Any], needs_key: bool) -> None:
    answers = operation["responses"]
    if "422" in answers:
        answers["422"] = responses(422)[422]
    more = responses(401) if needs_key else {}
    if needs_key:
        operation["security"] = [{name: []} for name in _WAYS]
    if method not in SAFE:
        more = {**more, **responses(403), **_BODY}
    for status, described in more.items():
        answers.setdefault(str(status), described)
    operation["responses"] = dict(sorted(answers.items()))
