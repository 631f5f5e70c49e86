"""What a server's refusal means for its own call and for all others, and when refusals end a run.

    problem = problem_in({"error": {"code": 402, "message": "Insufficient credits."}})
    refusal(problem, status=200)        # EngineError of kind "credit": no other call can go well either

Servers say what is wrong by a status, by a code in the body (also under status 200), by a name, or in words alone;
where they disagree, what names the reason counts for more than a number.
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
"""Beside 5xx, the statuses that another try may change."""
NOT_PASSING = frozenset({501, 505})
"""Of 5xx, those that it will not."""

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
"""Names that servers give to the statuses of HTTP, for bodies that have no number."""

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
    400: "the server does not take this request: lower max_tokens where it is too long, check the model's name, and "
    "see max_tokens_field, and extra_body to leave out a field",
    401: "check the key: api_key_env or api_key_file names where it is, headers sends it under another name",
    402: "the account has no credit left",
    403: "the key may not use this model",
    404: "check the model's name, and base_url, which mostly ends in /v1",
    405: "check base_url, which mostly ends in /v1: nothing at this address completes text",
    407: "the proxy wants a user and a password; proxy='http://$NAME:$PASSWORD@host:port' takes both from variables",
    422: "the server does not know a field: extra_body can leave it out, as in {'seed': null}",
    429: "lower concurrency, or run again later: what is finished is kept",
    500: "the server's log says why; some answer so where they do not know the model's name",
    501: "check base_url, which mostly ends in /v1: nothing at this address completes text",
}


@dataclass(frozen=True)
class Problem:
    """An error as a server's body tells it."""

    message: str
    status: int | None = None
    """The code that the body gives, where that is a status of HTTP."""
    names: str = ""
    """Codes, types and reasons, each of one word, joined by spaces."""

    @property
    def lacks_credit(self) -> bool:
        return bool(_CREDIT.search(f"{self.names} {self.message}"))

    @property
    def declined(self) -> bool:
        """The service did not let the model judge this content."""
        return bool(_DECLINED.search(self.names) or _DECLINED_WORDS.search(self.message))


def problem_in(answer: Any) -> Problem | None:
    """The error in a decoded body; None where it holds none."""
    if isinstance(answer, list) and len(answer) == 1:  # as Gemini wraps it
        return problem_in(answer[0])
    if not isinstance(answer, Mapping) or answer.get("choices"):
        return None
    told = answer.get("error")
    if not told and isinstance(answer.get("errors"), list) and answer["errors"]:
        told = answer["errors"][0]
    if not told and not any(name in answer for name in ("message", "detail")):
        return None
    inner = told if isinstance(told, Mapping) else answer
    message = _message(told if told else answer)
    names = " ".join(name for name in _names(inner) if " " not in name)
    return Problem(message, _status(inner, names), names)


def body_problem(content: bytes) -> Problem:
    """What a refusal says: the error in its body, or the body itself."""
    try:
        found = problem_in(json.loads(content))
    except (ValueError, RecursionError):
        found = None
    return found or Problem(content.decode(errors="replace"))


def _message(told: Any) -> str:
    for name in ("error", "message", "detail", "msg"):
        if isinstance(told, Mapping) and told.get(name):
            return _message(told[name])
    return told if isinstance(told, str) else json.dumps(told, default=str)


def _names(told: Mapping[str, Any]) -> Iterator[str]:
    for name in ("code", "type", "status", "reason", "param"):
        if isinstance(told.get(name), str):
            yield told[name]
    for name in ("innererror", "metadata", "error"):
        inner = told.get(name)
        if isinstance(inner, Mapping):
            yield from (key for key, value in inner.items() if value)
            yield from _names(inner)


def _status(told: Mapping[str, Any], names: str) -> int | None:
    for name in ("code", "status", "status_code", "http_status"):
        code = told.get(name)
        if isinstance(code, str) and code.isdecimal():
            code = int(code)
        if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            return code
    return next((STATUSES[name] for name in names.lower().split() if name in STATUSES), None)


def effective_status(problem: Problem, status: int) -> int | None:
    """A code in the body counts as that status would, where the status itself says that all is well."""
    return problem.status if status == HTTPStatus.OK else status


def refusal(problem: Problem, status: int, message: str, *, moved: str = "") -> EngineError:
    """The failure of a call that was answered with `status` and this problem.

    `message` is for people; `moved` is where a redirection points to.
    """
    kind, found = _kind(problem, status)
    hint = f"base_url moved to {moved}" if 300 <= status < 400 else HINTS.get(found or status, "")
    return EngineError(message, retryable=kind == "call", hint=hint, kind=kind)


def _kind(problem: Problem, status: int) -> tuple[FailureKind, int | None]:
    """What the failure says about other calls, and the status that it amounts to."""
    found = effective_status(problem, status)
    if found == HTTPStatus.PAYMENT_REQUIRED or problem.lacks_credit:
        return "credit", 402
    words = f"{problem.names} {problem.message}"
    if found in (None, 400, 403) and _KEY.search(words):
        return "access", 401
    if found in (None, 400, 404, 422) and _MODEL.search(words):
        return "access", 404
    if found is None or (found >= 500 and found not in NOT_PASSING) or found in PASSING:
        return "call", found
    if found in (400, 422) and _SETTINGS.search(problem.names):
        return "access", found
    if found == HTTPStatus.FORBIDDEN:
        return "forbidden", found
    if found in (400, 413, 414, 422, 431, 451):
        return "request", found
    return "access", found


# When a run ends -----------------------------------------------------------------------------------------------------

LIMITS: Mapping[FailureKind, tuple[int, int | None]] = {
    "credit": (1, 1),
    "access": (1, 10),
    "forbidden": (3, 10),
    "request": (10, None),
    "exhausted": (16, 20),
    "unreachable": (1, 20),
}
"""How many failed completions of a kind in a row end a run: before any call went well, and after one did.

A refusal that is about one prompt (too long a text, words that a service does not allow) must not end a run. So what
can be about one prompt counts for little before the first success, and what a server said before it ever worked for
much: with a wrong key nothing else comes."""

WASTED = (32, 64)
"""How many tries in a row that may be billed and came to nothing end a run, whatever their kind: before and after."""

WHY: Mapping[FailureKind, str] = {
    "credit": "no further call can be paid for",
    "access": "the server would refuse every other call as well",
    "forbidden": "the server would refuse every other call as well",
    "request": "no call went well, and each was refused",
    "exhausted": "the server failed again and again, at every try",
    "unreachable": "no connection to the server can be made",
}


class Breaker:
    """Ends a run that cannot go on: one failure, or several in a row, after which no other call is made.

    `connect_wait`: seconds that a server which never answered has to accept a first connection.
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
        """Raises RunStoppedError where no further call is to be made."""
        if self._reason is not None:
            message, seconds = self._reason
            raise RunStoppedError(message, landing_seconds=seconds)

    def answered(self) -> None:
        """The server said something, if only that it refuses."""
        self.reached = True
        self._unreachable_since = None

    def success(self) -> None:
        self.succeeded += 1
        self._wasted = 0
        self._in_a_row.clear()

    def failure(self, error: EngineError) -> None:
        """A completion failed for good."""
        kind: FailureKind = error.kind
        if kind == "call" and error.retryable:
            kind = "exhausted"
        if kind == "unreachable" and self.reached:
            kind = "exhausted"
        if kind == "call":
            return
        self._in_a_row[kind] += 1
        before, after = LIMITS[kind]
        limit = after if self.succeeded else before
        if limit is not None and self._in_a_row[kind] >= limit:
            self._stop(error, kind)

    def wasted(self, error: EngineError) -> None:
        """A try failed that may be billed, as it was sent and not refused."""
        self._wasted += 1
        if self._wasted >= WASTED[self.succeeded > 0]:
            self.stop(f"{error}; {self._wasted} calls in a row came to nothing, and may be billed")

    def no_connection(self, error: EngineError) -> None:
        """A try that found no server. Raises RunStoppedError where there never was one for `connect_wait` seconds."""
        if self.reached:
            return
        now = time.monotonic()
        self._unreachable_since = self._unreachable_since or now
        if now - self._unreachable_since >= self.connect_wait:
            self._stop(error, "unreachable")
            self.check()

    def stop(self, reason: str, *, landing_seconds: float = 60.0) -> None:
        """From now on `check` raises. The first reason stays."""
        self._reason = self._reason or (reason, landing_seconds)

    def _stop(self, error: EngineError, kind: FailureKind) -> None:
        self.stop(f"{error}; {WHY[kind]}", landing_seconds=1.0 if kind == "unreachable" else 60.0)
