"""The server's error responses, the same for all protocols: `{"error": {"message", "type", "code", "trace_id"}}`.

Messages never quote a prompt or a response, because clients log them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.responses import Response

MAX_PROBLEMS = 5
"""Maximum number of problems of a body that a message lists."""


class RequestError(HTTPException):
    """An error to answer a request with. `retry_after`: seconds after which another try may succeed."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None, close: bool = False) -> None:
        headers = {} if retry_after is None else {"retry-after": str(retry_after)}
        if close:
            headers["connection"] = "close"
        if status == HTTPStatus.UNAUTHORIZED:
            headers["www-authenticate"] = "Bearer"
        super().__init__(status, message, headers)


def error_response(status: int, message: str, trace_id: str, headers: Mapping[str, str] | None = None) -> Response:
    kind = HTTPStatus(status).phrase.lower().replace(" ", "_")
    error = {"message": message, "type": kind, "code": status, "trace_id": trace_id}
    return Response(to_json({"error": error}), status, dict(headers or {}), media_type="application/json")


async def answer_error(request: Request, error: Exception) -> Response:
    """The response to a request that raised an error: an exception handler of FastAPI."""
    trace_id: str = request.state.trace_id
    if isinstance(error, RequestValidationError):
        return error_response(422, problems(error.errors()), trace_id)
    if isinstance(error, StarletteHTTPException):  # FastAPI's own is a subclass
        return error_response(error.status_code, str(error.detail), trace_id, error.headers)
    return error_response(500, "internal error; see the server's log for this trace_id", trace_id)


def problems(errors: Sequence[Any]) -> str:
    """The fields of a body that are wrong, and what was expected, without their values."""
    lines = [f"{_place(error['loc'])}: {_message(error)}" for error in errors[:MAX_PROBLEMS]]
    more = len(errors) - len(lines)
    return "; ".join(lines) + (f"; and {more} more problems" if more > 0 else "")


def _message(error: Mapping[str, Any]) -> str:
    return str(error["msg"]).removeprefix("Value error, ").replace("Input should be", "expected")


def _place(location: Sequence[str | int]) -> str:
    """`samples[3].prompt`"""
    text = ""
    for part in location[1:] or location:
        if isinstance(part, str) and not part.isidentifier():
            continue  # pydantic's name for an alternative of a union, such as list[Message]
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".") or "body"
