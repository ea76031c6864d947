"""Every error of the bridge as RFC 9457 problem details, with the `code` that MQTT uses for the same thing.

Source: https://www.rfc-editor.org/rfc/rfc9457
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from wattswap_mqtt.contract.codes import CODES as CODES_OF_COMMANDS
from wattswap_mqtt.core.errors import CommandError, StorageError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2

CODES: Mapping[str, str] = {
    "not_found": "there is nothing at this path",
    "method_not_allowed": "the path takes another method, see the `Allow` header",
    "too_large": "a body takes at most 64 KiB",
    "invalid_form": "the form cannot be read",
    "unknown_meter": "no simulator has this meter",
    "unknown_order": "there is no such order",
    "unknown_community": "no simulator runs this community",
    "no_fault": "no fault is active, so there is no other truth than the snapshot",
    "invalid_time": "a time is not ISO 8601",
    "reversed_range": "the end lies before the start",
    "invalid_cursor": "the cursor is not one that a reply gave",
    "broker_away": "the bridge has no connection to the MQTT broker",
    "simulator_away": "the simulator of this meter is not running",
    "meter_offline": "the meter says that it is offline",
    "no_snapshot": "the meter has not reported yet",
    "busy": "too many commands or streams at once",
    "storage": "the data file cannot be used now",
    "timeout": "the device did not answer in time; the command may still take effect",
    "internal_error": "a fault of the bridge; its log says more",
}
"""Codes that only the bridge gives; all others are those of the acks."""


class Problem(Exception):  # noqa: N818 (that is what the RFC calls it)
    """An answer that is an error; `more` are further members of the problem details."""

    def __init__(self, status: int, code: str, detail: str, **more: object) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.more = more


def unavailable(code: str, detail: str) -> Problem:
    """Return a 503: the same request may succeed in a moment."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, code, detail)


def invalid(code: str, detail: str) -> Problem:
    """Return a 422: nothing was published."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, code, detail)


def title_of(code: str) -> str:
    """Return what the code means in general, in words."""
    return CODES.get(code) or CODES_OF_COMMANDS.get(code) or code.replace("_", " ")


def body_of(problem: Problem) -> dict[str, Any]:
    """Return the members of the problem details."""
    return {
        "type": f"urn:wattswap:problem:{problem.code}",
        "title": title_of(problem.code),
        "status": int(problem.status),
        "detail": problem.detail,
        "code": problem.code,
        **problem.more,
    }


def response_to(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return the HTTP response."""
    retry = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(orjson.dumps(body_of(problem)), problem.status, {**(headers or {}), **retry}, MEDIA_TYPE)


def handle_problems(app: FastAPI) -> None:
    """Let every error leave `app` as a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(CommandError, _command_error)
    app.add_exception_handler(StorageError, _storage_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _internal_error)


async def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for it
    return response_to(error)


async def _command_error(_request: Request, error: Exception) -> Response:
    """Answer a command that could not be read: the same words that MQTT would give."""
    assert isinstance(error, CommandError)  # noqa: S101 - registered for it
    if error.code == "unknown_order":
        return response_to(Problem(HTTPStatus.NOT_FOUND, error.code, error.message))
    return response_to(invalid(error.code, error.message))


async def _storage_error(_request: Request, error: Exception) -> Response:
    return response_to(unavailable("storage", str(error)))


async def _validation_error(_request: Request, error: Exception) -> Response:
    """Answer a wrong parameter with the first thing that is wrong about it."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    first = error.errors()[0]
    kind, name = str(first["type"]), str(first["loc"][-1])
    if kind == "missing":
        return response_to(invalid("missing_field", f"{name} is missing"))
    wrong_type = kind.endswith(("_type", "_parsing", "_parsing_size"))
    sentence = first["msg"][:1].lower() + first["msg"][1:]
    return response_to(invalid("wrong_type" if wrong_type else "out_of_range", f"{name}: {sentence}"))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            problem = Problem(404, "not_found", "there is nothing at this path; /docs lists what there is")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            problem = Problem(405, "method_not_allowed", f"this path does not take {request.method}")
            allowed = (error.headers or {}).get("Allow", "")
            return response_to(problem, {"Allow": f"{allowed}, HEAD" if allowed == "GET" else allowed})
        case status:
            code = HTTPStatus(status).phrase.lower().replace(" ", "_")
            problem = Problem(status, code, str(error.detail))
    return response_to(problem, error.headers)


async def _internal_error(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return response_to(Problem(500, "internal_error", "this should not happen: the bridge's log says more"))
