"""Classifies server errors by what they imply for other calls, and decides when errors end a run.

    problem = problem_in({"error": {"code": 402, "message": "Insufficient credits."}})
    refusal(problem, status=200)        # EngineError of kind "credit": no other call can succeed either

Servers report errors by an HTTP status, by a code in the body (even under status 200), by an error name, or only in
words. If these disagree, a named reason takes precedence over a number.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fathom.engines import EngineError, FailureKind, RunStoppedError

OVERLOADED = frozenset({429, 503, 529})
PASSING = frozenset({408, 409, 425, 429})
"""Statuses below 500 after which another try may succeed."""
NOT_PASSING = frozenset({501, 505})
"""Statuses from 500 after which another try will not."""

STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400, "invalid_argument": 400, "bad_request": 400, "badrequesterror": 400,
    "context_length_exceeded": 400,
    "invalid_api_key": 401, "authentication_error": 401, "unauthenticated": 401, "unauthorized": 401,
    "payment_required": 402,
    "permission_error": 403, "permission_denied": 403, "permissiondenied": 403, "forbidden": 403,
    "not_found": 404, "not_found_error": 404, "notfounderror": 404,
    "timeout": 408, "request_timeout": 408,
    "rate_limit_exceeded": 429, "rate_limit_error": 429, "ratelimiterror": 429, "resource_exhausted": 429,
    "too_many_requests": 429,
    "internal": 500, "internal_error": 500, "internal_server_error": 500, "internalservererror": 500,
    "server_error": 500, "api_error": 500,
    "unavailable": 503, "service_unavailable": 503, "overloaded": 503, "engine_overloaded": 503,
    "deadline_exceeded": 504, "overloaded_error": 529,
}  # fmt: skip
"""Error names that servers use, with the HTTP status that each stands for, for bodies without a number."""

_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|balance|credits?|funds)|exceeded_current_quota|credit balance is too low"
    r"|billing_(?:hard_limit|not_active)|account_deactivated|(?:no|out of) credits?\b|payment required",
    re.IGNORECASE,
)
_DECLINED = re.compile(
    r"content_?filter|content_?policy|content_?moderation|moderation_?blocked|responsibleaipolicy|data_?inspection"
    r"|prompt_?blocked|flagged_input|safety_?violation",
    re.IGNORECASE,
)
_DECLINED_WORDS = re.compile(
    r"content management policy|content[ -](?:safety|moderation|usage) (?:policy|system|filter)"
    r"|(?:input|prompt|content|request)[\w ]{0,20} flagged|flagged by (?:our|the)",
    re.IGNORECASE,
)
_KEY = re.compile(r"invalid_?api_?key|\bkey (?:is )?(?:not valid|invalid)|(?:invalid|incorrect) api key", re.IGNORECASE)
_SETTINGS = re.compile(r"unsupported_(?:parameter|value)|unknown_parameter|extra_forbidden", re.IGNORECASE)
_MODEL = re.compile(
    r"model_?not_?found|deployment_?not_?found|no such model|unknown model"
    r"|\b(?:model|deployment)\b.{0,80}(?:does not exist|doesn't exist|not found|is not (?:a valid|supported|available))"
    r"|not a valid model",
    re.IGNORECASE,
)

HINTS = {
    400: "the server rejects this request: lower max_tokens if it is too long, check the model's name, and see "
    "max_tokens_field, and extra_body to omit a field",
    401: "check the key: api_key_env or api_key_file says where it is, headers sends it under another name",
    402: "the account has no credit left",
    403: "the key may not use this model",
    404: "check the model's name, and base_url, which usually ends in /v1",
    405: "check base_url, which usually ends in /v1: there is no completion endpoint at this address",
    407: "the proxy needs a user and a password; proxy='http://$NAME:$PASSWORD@host:port' takes both from variables",
    422: "the server does not know a field: extra_body can omit it, as in {'seed': null}",
    429: "lower concurrency, or run again later: finished calls are kept",
    500: "see the server's log; some servers answer this for an unknown model name",
    501: "check base_url, which usually ends in /v1: there is no completion endpoint at this address",
}


@dataclass(frozen=True)
class Problem:
    """An error in a server's body."""

    message: str
    status: int | None = None
    """The code in the body, if it is an HTTP status."""
    names: str = ""
    """Error codes, types and reasons of one word each, joined by spaces."""

    @property
    def lacks_credit(self) -> bool:
        return bool(_CREDIT.search(f"{self.names} {self.message}"))

    @property
    def declined(self) -> bool:
        """Whether a content filter rejected the request."""
        return bool(_DECLINED.search(self.names) or _DECLINED_WORDS.search(self.message))


def problem_in(answer: Any) -> Problem | None:
    """The error in a decoded body; None if it has none."""
    if isinstance(answer, list) and len(answer) == 1:  # as in Gemini's API
        return problem_in(answer[0])
    if not isinstance(answer, Mapping) or answer.get("choices"):
        return None
    error = answer.get("error")
    if not error and isinstance(answer.get("errors"), list) and answer["errors"]:
        error = answer["errors"][0]
    if not error and not any(name in answer for name in ("message", "detail")):
        return None
    inner = error if isinstance(error, Mapping) else answer
    message = _message(error if error else answer)
    names = " ".join(name for name in _names(inner) if " " not in name)
    return Problem(message, _status(inner, names), names)


def body_problem(content: bytes) -> Problem:
    """The error in the body of a refusal, or the body itself as the message."""
    try:
        problem = problem_in(json.loads(content))
    except (ValueError, RecursionError):
        problem = None
    return problem or Problem(content.decode(errors="replace"))


def _message(error: Any) -> str:
    for name in ("error", "message", "detail", "msg"):
        if isinstance(error, Mapping) and error.get(name):
            return _message(error[name])
    return error if isinstance(error, str) else json.dumps(error, default=str)


def _names(error: Mapping[str, Any]) -> Iterator[str]:
    for name in ("code", "type", "status", "reason", "param"):
        if isinstance(error.get(name), str):
            yield error[name]
    for name in ("innererror", "metadata", "error"):
        inner = error.get(name)
        if isinstance(inner, Mapping):
            yield from (key for key, value in inner.items() if value)
            yield from _names(inner)


def _status(error: Mapping[str, Any], names: str) -> int | None:
    for name in ("code", "status", "status_code", "http_status"):
        code = error.get(name)
        if isinstance(code, str) and code.isdecimal():
            code = int(code)
        if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            return code
    return next((STATUSES[name] for name in names.lower().split() if name in STATUSES), None)


def effective_status(problem: Problem, status: int) -> int | None:
    """The HTTP status, or the code in the body if the status is 200."""
    return problem.status if status == HTTPStatus.OK else status


def refusal(problem: Problem, status: int, message: str, *, moved: str = "") -> EngineError:
    """The error of a call that was answered with `status` and this problem.

    `message` is for people; `moved` is the target of a redirection.
    """
    kind, code = _kind(problem, status)
    hint = f"base_url moved to {moved}" if 300 <= status < 400 else HINTS.get(code or status, "")
    return EngineError(message, retryable=kind == "call", hint=hint, kind=kind)


def _kind(problem: Problem, status: int) -> tuple[FailureKind, int | None]:
    """The kind of a failure, and the HTTP status that fits it best."""
    code = effective_status(problem, status)
    if code == HTTPStatus.PAYMENT_REQUIRED or problem.lacks_credit:
        return "credit", 402
    words = f"{problem.names} {problem.message}"
    if code in (None, 400, 403) and _KEY.search(words):
        return "access", 401
    if code in (None, 400, 404, 422) and _MODEL.search(words):
        return "access", 404
    if code is None or (code >= 500 and code not in NOT_PASSING) or code in PASSING:
        return "call", code
    if code in (400, 422) and _SETTINGS.search(problem.names):
        return "access", code
    if code == HTTPStatus.FORBIDDEN:
        return "forbidden", code
    if code in (400, 413, 414, 422, 431, 451):
        return "request", code
    return "access", code


# When a run ends -----------------------------------------------------------------------------------------------------

LIMITS: Mapping[FailureKind, tuple[int, int | None]] = {
    "credit": (1, 1),
    "access": (1, 10),
    "forbidden": (3, 10),
    "request": (10, None),
    "exhausted": (16, 20),
    "unreachable": (1, 20),
}
"""How many consecutive failed completions of a kind end a run: before the first success, and after it. None: never.

A refusal that concerns one prompt (a text that is too long, or that a policy forbids) must not end a run. Such kinds
therefore have high limits. Failures that concern every call, such as a wrong key, have low limits before the first
success."""

WASTED = (32, 64)
"""How many consecutive failed tries that may be billed end a run, of any kind: before and after the first success."""

WHY: Mapping[FailureKind, str] = {
    "credit": "no further call can be paid for",
    "access": "the server would refuse every other call as well",
    "forbidden": "the server would refuse every other call as well",
    "request": "no call succeeded, and each was refused",
    "exhausted": "the server failed repeatedly, at every try",
    "unreachable": "no connection to the server can be made",
}


class Breaker:
    """Circuit breaker: ends a run after one failure, or several in a row, that further calls would repeat.

    `connect_wait`: seconds within which a server that never answered must accept a first connection.
    """

    def __init__(self, connect_wait: float) -> None:
        self.connect_wait = connect_wait
        self.succeeded = 0
        self.reached = False
        self._in_a_row: Counter[FailureKind] = Counter()
        self._wasted = 0
        self._unreachable_since: float | None = None
        self._reason: tuple[str, float] | None = None

    def check(self) -> None:
        """Raise RunStoppedError if the run has been ended."""
        if self._reason is not None:
            message, seconds = self._reason
            raise RunStoppedError(message, landing_seconds=seconds)

    def answered(self) -> None:
        """Record that the server answered at all, even with an error."""
        self.reached = True
        self._unreachable_since = None

    def success(self) -> None:
        self.succeeded += 1
        self._wasted = 0
        self._in_a_row.clear()

    def failure(self, error: EngineError) -> None:
        """Record a completion that failed after all its tries."""
        kind: FailureKind = error.kind
        if kind == "call" and error.retryable:
            kind = "exhausted"
        if kind == "unreachable" and self.reached:
            kind = "exhausted"
        if kind in ("call", "text"):
            return
        self._in_a_row[kind] += 1
        before, after = LIMITS[kind]
        limit = after if self.succeeded else before
        if limit is not None and self._in_a_row[kind] >= limit:
            self._stop(error, kind)

    def wasted(self, error: EngineError) -> None:
        """Record a failed try that may be billed, because it was sent and not refused."""
        self._wasted += 1
        if self._wasted >= WASTED[self.succeeded > 0]:
            self.stop(f"{error}; {self._wasted} calls in a row failed, and may be billed")

    def no_connection(self, error: EngineError) -> None:
        """Record a refused connection. Raises RunStoppedError if no server answered for `connect_wait` seconds."""
        if self.reached:
            return
        now = time.monotonic()
        self._unreachable_since = self._unreachable_since or now
        if now - self._unreachable_since >= self.connect_wait:
            self._stop(error, "unreachable")
            self.check()

    def stop(self, reason: str, *, landing_seconds: float = 60.0) -> None:
        """Make `check` raise from now on. The first reason is kept."""
        self._reason = self._reason or (reason, landing_seconds)

    def _stop(self, error: EngineError, kind: FailureKind) -> None:
        self.stop(f"{error}; {WHY[kind]}", landing_seconds=1.0 if kind == "unreachable" else 60.0)
