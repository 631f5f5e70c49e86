"""Interprets the answer to a call as a completion or a failure, with its usage. Pure functions of status and body.

result = outcome(200, "OK", {}, b'{"error": {"code": 402, "message": "Insufficient credits."}}', shown=str)
result.error.kind, result.usage                # "credit", Usage(): an error without usage is not billed
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from pydantic_core import from_json

from fathom.engines import Completion, EngineError, dialect
from fathom.engines.failures import OVERLOADED, Problem, body_problem, effective_status, problem_in, refusal
from fathom.engines.limits import retry_after
from fathom.engines.usage import Usage

UNKNOWN = Usage(unknown_calls=1)
"""The usage of a call that was sent and got no readable answer: it may be billed."""

Shown = Callable[[str], str]
"""Turns a server's text into one short line without secrets, for logs and results."""


class Outcome(NamedTuple):
    """The result of a call. `text` is the answer, from which unknown usage is estimated; None if none arrived."""

    usage: Usage = UNKNOWN
    text: str | None = None
    completion: Completion | None = None
    error: EngineError | None = None
    answered: bool = False
    """Whether the server answered at all."""
    overloaded: bool = False
    wait: float | None = None
    """Seconds for which the server asks for a pause."""


def outcome(
    status: int,
    reason: str,
    headers: Mapping[str, str],
    content: bytes,
    shown: Shown,
    parse: Callable[[Any], Completion] = dialect.parse,
) -> Outcome:
    """Interpret an answer, whose JSON value `parse` turns into a completion."""
    if status != HTTPStatus.OK:
        problem = body_problem(content) if content else Problem(reason)
        return _refused(problem, status, headers, content, shown)
    try:
        answer = _decoded(content)
        body_error = problem_in(answer)
        completion = None if body_error else parse(answer)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        return _unreadable(error, content, shown)
    if body_error is not None or completion is None:
        return _refused(body_error or Problem(""), status, headers, content, shown)
    return Outcome(completion.usage, completion.reasoning + completion.text, completion, answered=True)


def _decoded(content: bytes) -> Any:
    """The JSON value of a body, by the faster of two decoders if it can read it. Raises ValueError as `json` does."""
    try:
        return from_json(content)
    except ValueError:
        return json.loads(content)  # also reads unpaired surrogates, and names the place of an error


def _refused(problem: Problem, status: int, headers: Mapping[str, str], content: bytes, shown: Shown) -> Outcome:
    usage = dialect.usage_in(content) or Usage()
    code = effective_status(problem, status)
    if problem.declined and code not in OVERLOADED and (code is None or code < 500):
        declined = Completion(shown(problem.message), "content_filter", usage)
        return Outcome(usage, "", declined, answered=True)
    error = refusal(problem, status, _error_message(problem, status, shown), moved=shown(headers.get("location", "")))
    wait = retry_after(headers) if error.retryable else None
    return Outcome(usage, "", error=error, answered=True, overloaded=code in OVERLOADED, wait=wait or None)


def _error_message(problem: Problem, status: int, shown: Shown) -> str:
    message = shown(problem.message)
    if status == HTTPStatus.OK:
        code = f" {problem.status}" if problem.status else ""
        return f"the server answered with an error{code}: {message}"
    return f"HTTP {status}: {message}"


def _unreadable(error: Exception, content: bytes, shown: Shown) -> Outcome:
    """The outcome of an answer that is not a completion. A truncated one is retried; a web page is not."""
    text = content.decode(errors="replace")
    page = text.lstrip()[:1] == "<"
    words = "the answer is a web page" if page else f"the answer is not a completion: {type(error).__name__}: {error}"
    failure = EngineError(
        shown(f"{words}: {text}"),
        retryable=not page,
        hint="is base_url, which usually ends in /v1, the address of an OpenAI-compatible API?",
        kind="access" if page else "call",
    )
    usage = dialect.usage_in(content) or (Usage() if page else UNKNOWN)
    return Outcome(usage, text, error=failure, answered=True)


def lost(message: str, *, hint: str, sent: bool, **more: Any) -> Outcome:
    """The outcome of a call without a complete answer. A call that was `sent` may be billed."""
    error = EngineError(message, retryable=True, hint=hint, **more)
    return Outcome(UNKNOWN if sent else Usage(), error=error)
