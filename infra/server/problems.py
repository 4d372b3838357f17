"""Errors as problem details (RFC 9457), and the status of each of the project's errors."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from orchestrator.wording import redacted
from streams import errors as e

log = logging.getLogger("finagent.server")
MEDIA_TYPE = "application/problem+json"
RETRY_S = 1
"""Seconds after which a client may try again what was refused for load."""
_SHOWN = 200

STATUSES: Mapping[type[e.FinAgentError], int] = {
    e.ConfigError: 422,
    e.TopologyError: 503,
    e.DataError: 422,
    e.UnknownSymbol: 404,
    e.MissingData: 404,
    e.InvalidData: 422,
    e.DecodeError: 422,
    e.RecordTooLarge: 413,
    e.BrokerError: 503,
    e.Fenced: 409,
    e.UnknownTopic: 404,
    e.SecurityError: 503,
    e.StoreError: 503,
    e.WorkflowError: 409,
    e.UnknownPool: 422,
    e.UnknownAction: 422,
    e.UnknownWorkflow: 404,
    e.UnknownAccount: 404,
    e.PoolUnavailable: 503,
    e.ServiceError: 503,
    e.FinAgentError: 500,
}
"""The status of an error; of a type that is not listed, that of its nearest parent."""


class FieldProblem(BaseModel):
    """What is wrong with one part of a request."""

    where: str
    """Path to it, such as body.symbols.0."""
    message: str
    """What was expected."""


class Problem(BaseModel):
    """Why a request failed."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "no strategy 'trend'",
            }
        },
    )

    type: str = "about:blank"
    """Always about:blank: the status says it all."""
    title: str
    """The status in words."""
    status: int
    """The HTTP status."""
    detail: str
    """What was wrong, with the value and what was expected."""
    errors: list[FieldProblem] | None = Field(default=None)
    """The parts of the request that are wrong."""


class Refused(HTTPException):
    """A request that cannot be done: status, and why."""

    def __init__(self, status: int, detail: str, *, retry_s: int | None = None) -> None:
        super().__init__(status, detail, {"Retry-After": str(retry_s)} if retry_s else None)


def problem(
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """Return the answer that tells of a problem."""
    body: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body["detail"] = redacted(detail)
    if errors:
        body["errors"] = errors
    return JSONResponse(body, status, dict(headers or {}), media_type=MEDIA_TYPE)


def status_of(error: e.FinAgentError) -> int:
    """Return the status of an error."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def handle_problems(app: FastAPI) -> None:
    """Make the app answer every error with problem details."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(e.FinAgentError, _on_own)
    app.add_exception_handler(Exception, _on_unexpected)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of a route's problems."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request)) or headers.get("Allow", "GET")
    return problem(error.status_code, str(error.detail), headers)


def _methods(request: Request) -> list[str]:
    """Return the methods of a path; the router names those of one of its routes alone."""
    parts = request.url.path.split("/")
    found = [
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if len(parts) == len(path.split("/"))
        and all(own.startswith("{") or own == part for own, part in zip(path.split("/"), parts, strict=True))
        for method in operations
    ]
    return sorted(set(found))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"where": ".".join(map(str, each["loc"])), "message": _said(each)} for each in error.errors()[:20]]
    return problem(422, "; ".join(f"{each['where']}: {each['message']}" for each in found), errors=found)


def _said(error: Mapping[str, Any]) -> str:
    got = repr(error.get("input"))
    return f"{error['msg']}, got {got if len(got) <= _SHOWN else got[:_SHOWN] + '...'}"


async def _on_own(request: Request, error: Exception) -> Response:
    assert isinstance(error, e.FinAgentError)
    status = status_of(error)
    if status >= 500:
        log.warning("%s %s: %s", request.method, request.url.path, redacted(str(error)))
    return problem(status, str(error), {"Retry-After": str(RETRY_S)} if status == 503 else None)


async def _on_unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(500, f"unexpected {type(error).__name__}; the server's log has it")
