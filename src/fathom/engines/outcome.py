"""What came of a call: a completion or a failure, and what it used. Pure: an answer's status and bytes in, values out.

told = outcome(200, "OK", {}, b'{"error": {"code": 402, "message": "Insufficient credits."}}', shown=str)
told.error.kind, told.usage                    # "credit", Usage(): an error without usage is not billed
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from fathom.engines import Completion, EngineError, dialect
from fathom.engines.failures import OVERLOADED, Problem, body_problem, effective_status, problem_in, refusal
from fathom.engines.limits import retry_after
from fathom.engines.usage import Usage

UNKNOWN = Usage(unknown_calls=1)
"""Of a call that was sent: it may be billed, whatever became of its answer."""

Shown = Callable[[str], str]
"""Makes what a server wrote fit for a log or a result: one short line without secrets."""


class Outcome(NamedTuple):
    """`usage` is what the call used. `text` is what came of it, by which unknown usage is estimated; None: nothing."""

    usage: Usage = UNKNOWN
    text: str | None = None
    completion: Completion | None = None
    error: EngineError | None = None
    answered: bool = False
    """Whether the server said anything."""
    overloaded: bool = False
    wait: float | None = None
    """Seconds that the server wants no call for."""


def outcome(status: int, reason: str, headers: Mapping[str, str], content: bytes, shown: Shown) -> Outcome:
    """What an answer is good for."""
    if status != HTTPStatus.OK:
        problem = body_problem(content) if content else Problem(reason)
        return _refused(problem, status, headers, content, shown)
    try:
        answer = json.loads(content)
        problem_told = problem_in(answer)
        completion = None if problem_told else dialect.parse(answer)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        return _unreadable(error, content, shown)
    if problem_told is not None or completion is None:
        return _refused(problem_told or Problem(""), status, headers, content, shown)
    return Outcome(completion.usage, completion.reasoning + completion.text, completion, answered=True)


def _refused(problem: Problem, status: int, headers: Mapping[str, str], content: bytes, shown: Shown) -> Outcome:
    usage = dialect.usage_in(content) or Usage()
    found = effective_status(problem, status)
    if problem.declined and found not in OVERLOADED and (found is None or found < 500):
        declined = Completion(shown(problem.message), "content_filter", usage)
        return Outcome(usage, "", declined, answered=True)
    error = refusal(problem, status, _told(problem, status, shown), moved=shown(headers.get("location", "")))
    wait = retry_after(headers) if error.retryable else None
    return Outcome(usage, "", error=error, answered=True, overloaded=found in OVERLOADED, wait=wait or None)


def _told(problem: Problem, status: int, shown: Shown) -> str:
    message = shown(problem.message)
    if status == HTTPStatus.OK:
        code = f" {problem.status}" if problem.status else ""
        return f"the server answered with an error{code}: {message}"
    return f"HTTP {status}: {message}"


def _unreadable(error: Exception, content: bytes, shown: Shown) -> Outcome:
    """An answer that is no completion. Half of one may be whole at the next try; a web page will not."""
    text = content.decode(errors="replace")
    page = text.lstrip()[:1] == "<"
    words = "the answer is a web page" if page else f"the answer is no completion: {type(error).__name__}: {error}"
    failure = EngineError(
        shown(f"{words}: {text}"),
        retryable=not page,
        hint="does base_url, which mostly ends in /v1, speak OpenAI's dialect?",
        kind="access" if page else "call",
    )
    usage = dialect.usage_in(content) or (Usage() if page else UNKNOWN)
    return Outcome(usage, text, error=failure, answered=True)


def lost(message: str, *, hint: str, sent: bool, **more: Any) -> Outcome:
    """No whole answer came. What was `sent` may be billed."""
    error = EngineError(message, retryable=True, hint=hint, **more)
    return Outcome(UNKNOWN if sent else Usage(), error=error)
